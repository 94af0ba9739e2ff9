"""The checks of one stratum of a certificate: pairs, draw, texts, labels, gate."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipelines.agreement.annotations import LABEL_NAMES, NONE
from pipelines.agreement.decision import GateReading, outcomes
from pipelines.agreement.gate import read_gate
from pipelines.errors import BadInput
from workbench.audit.active_draw import (
    candidates_of,
    draw_active,
    from_records,
    read_active,
    with_rows,
)
from workbench.audit.certificate_file import (
    Certificate,
    LabelEntry,
    StratumCertificate,
    hash_labels,
    hash_pairs,
)
from workbench.audit.design import StratumDesign
from workbench.audit.draw import stratum_order
from workbench.audit.evidence import drawn_pairs, label_entries
from workbench.audit.items import text_fingerprint
from workbench.audit.labels import read_prefix
from workbench.audit.population import Population
from workbench.audit.reading import gate_of, nothing_to_read
from workbench.db.models import Item, Vote
from workbench.project import Project

N_TOLD = 3  # differences of one kind that are told one by one


@dataclass(frozen=True)
class Check:
    """One thing that was held against the project; `detail` says what differs, or what was seen."""

    name: str
    ok: bool
    detail: str


def compare(name: str, found: Iterable[str], match: str) -> Check:
    """A check from the differences that were found; `match` is what to say where there are none.

    A certificate can be so wrong that it cannot be computed again: that is a difference too.
    """
    told: list[str] = []
    try:
        told += found
    except BadInput as error:
        told.append(str(error))
    if not told:
        return Check(name, True, match)
    more = f"; and {len(told) - N_TOLD} more" if len(told) > N_TOLD else ""
    return Check(name, False, "; ".join(told[:N_TOLD]) + more)


class StratumChecker:
    """The checks of one stratum against the project's pairs and votes."""

    def __init__(
        self,
        project: Project,
        session: Session,
        certificate: Certificate,
        part: StratumCertificate,
        design: StratumDesign,
        round_id: int,
        population: Population,
    ) -> None:
        self.project, self.session, self.certificate = project, session, certificate
        self.part, self.design, self.round_id = part, design, round_id
        self.population = population
        self.active = certificate.design.is_active(part.name)
        self.items = session.execute(
            select(Item.pair_id, Item.ai_label)
            .where(Item.round_id == round_id, Item.stratum == part.name)
            .order_by(Item.position)
            .limit(part.n_drawn)
        ).all()

    def checks(self) -> Iterator[Check]:
        """Pairs, draw, texts, labels, gate, in this order."""
        name = self.part.name
        n = self.design.n_population
        yield compare(f"{name}: pairs", self._pairs(), f"{n:,} in N, the same labels")
        drawn = f"{self.part.n_drawn:,} pairs in the order of seed {self.certificate.design.seed}"
        yield compare(f"{name}: draw", self._draw(), drawn)
        yield compare(f"{name}: texts", self._texts(), f"{self.part.n_drawn:,} pairs")
        read = f"{self.part.n_read:,} labels as they stood"
        yield compare(f"{name}: labels", self._labels(), read)
        yield compare(f"{name}: gate", self._gate(), self.part.decision_now)

    def notes(self) -> Iterator[str]:
        """What happened since, without making the certificate wrong."""
        since = self.certificate.created_at
        in_round = (Vote.round_id == self.round_id, Item.stratum == self.part.name)
        joined = select(func.count()).select_from(Vote).join(Item, Item.id == Vote.item_id)
        n_new = self.session.scalar(joined.where(*in_round, Vote.created_at > since)) or 0
        n_undone = self.session.scalar(joined.where(*in_round, Vote.undone_at > since)) or 0
        if n_new or n_undone:
            yield (
                f"{self.part.name}: since the certificate {n_new:,} votes came and {n_undone:,} "
                "were taken back; certify again to read them"
            )

    def _pairs(self) -> Iterator[str]:
        """The population: its hash, its size, and the labels of the drawn pairs."""
        design = self.design
        rows = self.population.rows(self.part.name)
        if self.part.n_population != design.n_population:
            yield f"N is {self.part.n_population:,} here and {design.n_population:,} in the design"
        if self.population.hash(self.part.name) == design.population_hash:
            return
        yield (
            f"the imported pairs are not those of the draw (N is {len(rows):,} now and was "
            f"{design.n_population:,})"
            if len(rows) != design.n_population
            else "the imported labels are not those of the draw"
        )
        label = dict(zip(self.population.pair_ids, self.population.label.tolist(), strict=True))
        for pair_id, drawn_as in self.items:
            code = label.get(pair_id, NONE)
            now = "no label" if code == NONE else LABEL_NAMES[code]
            if now != drawn_as:
                yield f"pair {pair_id!r} was drawn with label {drawn_as} and has {now} now"

    def _replay(self) -> list[str]:
        """Ids of the pairs that the recorded seed draws from the imported pairs."""
        ids = self.population.pair_ids
        if not self.active:
            order = stratum_order(self.population, self.certificate.design, self.part.name)
            return [ids[row] for row in order[: self.part.n_drawn]]
        candidates = candidates_of(self.population)
        place = {ids[row]: k for k, row in enumerate(candidates.rows.tolist())}
        recorded = from_records([stage["fit"] for stage in self.part.stages])
        n = recorded.n_drawn
        index = np.array([place.get(pair_id, 0) for pair_id, _ in self.items[:n]], dtype=np.int64)
        if len(index) < n:
            return []
        stages = with_rows(recorded, index)
        codes = self._outcomes()
        order, start = [], 0
        for number, stage in enumerate(stages):
            size = len(stage.group)
            again = draw_active(
                candidates, self.certificate.design, stages[:number], codes[:start], size
            )
            order += candidates.rows[again.index].tolist()
            start += size
        return [ids[row] for row in order]

    def _draw(self) -> Iterator[str]:
        order = self._replay()
        listed = [entry.pair_id for entry in self.part.labels]
        drawn = [pair_id for pair_id, _ in self.items]
        for where, found in (("the round holds", drawn), ("the certificate lists", listed)):
            for place, (ours, theirs) in enumerate(zip(order, found, strict=False)):
                if ours != theirs:
                    yield f"place {place}: {where} {theirs!r} and the seed draws {ours!r}"
        if len(drawn) != self.part.n_drawn or len(order) != self.part.n_drawn:
            yield (
                f"{self.part.n_drawn:,} pairs were drawn; the round holds {len(drawn):,} and the "
                f"seed draws {len(order):,}"
            )

    def _texts(self) -> Iterator[str]:
        """What reviewers saw, against what is imported, against the certificate's hash."""
        shown = list(drawn_pairs(self.session, self.round_id, self.part.name, self.part.n_drawn))
        if hash_pairs(shown) != self.part.pairs_hash:
            yield "the drawn pairs do not have the certificate's hash"
        known = {pair_id: text for pair_id, text, _ in shown}
        found = self.project.store.rows_of(list(known)).tolist()
        rows = sorted(row for row in found if row >= 0)  # neighbours share a row group
        for first in range(0, len(rows), 2_000):
            for pair in self.project.store.pairs(rows[first : first + 2_000]):
                text = text_fingerprint(pair.prompt_json(), pair.response_a, pair.response_b)
                if pair.id is not None and known[pair.id] != text:
                    yield f"pair {pair.id!r}: reviewers saw another text than the imported one"

    def _labels(self) -> Iterator[str]:
        claimed = self.part.labels
        if hash_labels(claimed) != self.part.labels_hash:
            yield "the certificate's labels do not have the hash that stands beside them"
        prefix = read_prefix(
            self.session,
            self.round_id,
            self.part.name,
            as_of=self.certificate.created_at,
        )
        stored = label_entries(self.session, prefix)
        for place, (ours, theirs) in enumerate(zip(stored, claimed, strict=False)):
            if ours != theirs:
                yield (
                    f"place {place}, pair {theirs.pair_id!r}: the certificate read "
                    f"{_vote(theirs)}, the database holds {_vote(ours)}"
                )
        if len(stored) != len(claimed) or len(claimed) != self.part.n_read:
            yield (
                f"the certificate says that {self.part.n_read:,} labels were read and lists "
                f"{len(claimed):,}; the database holds {len(stored):,}"
            )

    def _outcomes(self) -> npt.NDArray[np.int8]:
        code: dict[str | None, int] = {name: k for k, name in enumerate(LABEL_NAMES)}
        code[None] = NONE
        ai = np.array([code[entry.ai] for entry in self.part.labels], dtype=np.int8)
        human = np.array([code[entry.human] for entry in self.part.labels], dtype=np.int8)
        return np.asarray(outcomes(ai, human, self.design.gate.ties), dtype=np.int8)

    def _read(self) -> GateReading:
        gate = gate_of(self.design)
        if self.design.n_population == 0:
            return nothing_to_read()
        if self.active:
            recorded = from_records([stage["fit"] for stage in self.part.stages])
            return read_active(gate, self._outcomes(), recorded)
        return read_gate(gate, self._outcomes(), self.design.n_population)

    def _gate(self) -> Iterator[str]:
        part, now = self.part, self._read()
        alpha = gate_of(self.design).alpha
        if alpha != part.alpha:
            yield f"each test ran at {part.alpha:g} here and at {alpha:g} by the design"
        if now.decision != part.decision_now:
            yield f"the certificate says {part.decision_now}, its labels say {now.decision}"
        counts = ("n_agree", "n_disagree", "n_tie", "n_unanswered")
        for name in counts:
            if getattr(part, name) != getattr(now, name):
                yield f"{name} is {getattr(part, name)} here and {getattr(now, name)} by the labels"
        for ours, theirs in zip(now.tests, part.tests, strict=False):
            same = np.isclose(ours.max_e_value, theirs.max_e_value, rtol=1e-6)
            if not same or ours.crossed_at != theirs.crossed_at:
                yield (
                    f"test {ours.name}: e-value {theirs.max_e_value:.4g} (crossed at "
                    f"{theirs.crossed_at}) here, {ours.max_e_value:.4g} ({ours.crossed_at}) again"
                )
        if len(now.tests) != len(part.tests):
            yield f"the gate has {len(now.tests)} tests, the certificate {len(part.tests)}"
        if part.agreement is not None and now.estimate is not None:
            ours_, theirs_ = now.estimate, part.agreement
            for name in ("estimate", "low", "high"):
                if not np.isclose(getattr(ours_, name), getattr(theirs_, name), atol=1e-9):
                    yield f"agreement ({name}) differs"


def _vote(entry: LabelEntry) -> str:
    if entry.human is None:
        return "no answer"
    return f"{entry.human} by {entry.annotator}"
