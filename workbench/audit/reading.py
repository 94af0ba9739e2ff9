"""Reading a round: each stratum's gate on its answered prefix, and the decision that stands."""

import time
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from pipelines.agreement.annotations import IntArray
from pipelines.agreement.decision import Decision
from pipelines.agreement.gate import Gate, GateReading, read_gate
from workbench.audit.active_draw import read_active, recorded_stages
from workbench.audit.argilla_votes import assisted_datasets
from workbench.audit.design import MAIN, RoundDesign, Stratum, StratumDesign
from workbench.audit.labels import PrefixLabels, read_prefix
from workbench.audit.rounds import find_round, lock_round, read_design
from workbench.db.models import GateCrossing, Round
from workbench.db.session import writing
from workbench.project import Project


@dataclass(frozen=True)
class StratumReading:
    """What a stratum says now, and what it said first."""

    design: StratumDesign
    labels: PrefixLabels
    outcomes: IntArray  # (t,) codes of pipelines.agreement.decision, in draw order
    gate: Gate  # at the alpha that is left after earlier rounds
    now: GateReading
    crossing: GateCrossing | None  # the first decision ever seen

    @property
    def decision(self) -> Decision:
        """The first decision, which stands; edits of votes after it change no decision."""
        if self.crossing is None:
            return self.now.decision
        standing: Decision = self.crossing.decision  # type: ignore[assignment]  # text in the table
        return standing

    @property
    def n_labels(self) -> int | None:
        """The place in the draw at which it was decided; None while undecided."""
        return self.now.n_labels if self.crossing is None else self.crossing.n_labels


@dataclass(frozen=True)
class RoundReading:
    """All strata of a round, read at one moment."""

    round: Round
    design: RoundDesign
    strata: tuple[StratumReading, ...]
    read_at: float  # Unix seconds
    assisted: bool = False  # the AI's labels were shown to annotators, so nothing is certified

    def stratum(self, name: Stratum) -> StratumReading | None:
        """The stratum of that name, where the round has it."""
        return next((part for part in self.strata if part.design.name == name), None)

    @property
    def main(self) -> StratumReading:
        """The main stratum, which every round has."""
        return next(part for part in self.strata if part.design.name == MAIN)

    @property
    def decision(self) -> Decision:
        """The main stratum's decision."""
        return self.main.decision

    @property
    def trusted(self) -> bool:
        """Whether the gate says yes: main TRUST, no WARN from safety-critical pairs, all blind."""
        no_warning = all(part.decision != "WARN" for part in self.strata)
        return self.decision == "TRUST" and no_warning and not self.assisted


def read_round(project: Project, name: str | None = None, now: float | None = None) -> RoundReading:
    """Read a round, and record any decision that is seen for the first time.

    Args:
        project: The project.
        name: The round; None is the newest open one.
        now: The time of the reading, Unix seconds.
    """
    with writing(project.engine) as session:
        session.expire_on_commit = False
        return read_in(session, lock_round(session, find_round(session, name).name), now)


def read_in(session: Session, found: Round, now: float | None = None) -> RoundReading:
    """As `read_round`, inside a transaction that may write."""
    now = time.time() if now is None else now
    read = read_as_of(session, found, None)
    strata = []
    for part in read.strata:
        crossing = part.crossing
        if crossing is None and part.now.decision != "UNDECIDED":
            crossing = _record(session, found.id, part.design.name, part.now, now)
        strata.append(replace(part, crossing=crossing))
    return replace(read, strata=tuple(strata), read_at=now)


def read_as_of(session: Session, found: Round, as_of: float | None) -> RoundReading:
    """A round as it stood at a time (None: now), without recording anything."""
    design = read_design(found)
    strata = tuple(_read_stratum(session, found.id, design, part, as_of) for part in design.strata)
    return RoundReading(
        round=found,
        design=design,
        strata=strata,
        read_at=time.time() if as_of is None else as_of,
        assisted=bool(assisted_datasets(session, found.id, as_of)),
    )


def gate_of(part: StratumDesign) -> Gate:
    """The gate as the statistics take it, its alpha spent for earlier rounds."""
    declared = part.gate
    gate = Gate(declared.trust_above, declared.warn_below, declared.alpha, declared.ties)
    return gate.spend(part.n_earlier)


def _read_stratum(
    session: Session,
    round_id: int,
    design: RoundDesign,
    part: StratumDesign,
    as_of: float | None,
) -> StratumReading:
    labels = read_prefix(session, round_id, part.name, as_of=as_of)
    gate = gate_of(part)
    codes = labels.outcomes(gate.ties)
    if part.n_population == 0:
        reading = nothing_to_read()
    elif design.is_active(part.name):
        stages = recorded_stages(session, round_id, part.name, as_of)
        reading = read_active(gate, codes, stages)
    else:
        reading = read_gate(gate, codes, part.n_population)
    crossing = session.get(GateCrossing, (round_id, part.name))
    if crossing is not None and as_of is not None and crossing.created_at > as_of:
        crossing = None
    return StratumReading(part, labels, codes, gate, reading, crossing)


def nothing_to_read() -> GateReading:
    """The reading of a stratum in which every pair was excluded."""
    return GateReading("UNDECIDED", None, 0, 0, (), None, 0, 0, 0, 0)


def _record(
    session: Session, round_id: int, stratum: str, reading: GateReading, now: float
) -> GateCrossing:
    crossing = GateCrossing(
        round_id=round_id,
        stratum=stratum,
        decision=reading.decision,
        n_labels=reading.n_labels or reading.n_answered,
        evidence=reading.as_dict(),
        created_at=now,
    )
    session.add(crossing)
    session.flush()
    return crossing
