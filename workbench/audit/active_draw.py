"""Active mode of a round's main stratum: its stages as the database keeps them, and their reading.

The statistics are `pipelines.agreement.active` and `active_gate`; here is what makes a stage a
matter of record: the fit that it was drawn by, the group of each pair, the chance of each draw.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from sqlalchemy import select
from sqlalchemy.orm import Session

from pipelines.agreement.active import (
    ConfidenceGroups,
    Stage,
    StageFit,
    draw_stage,
    fit_stage,
    group_by_confidence,
    stage_weights,
)
from pipelines.agreement.active_gate import read_active_gate
from pipelines.agreement.annotations import FloatArray, IntArray
from pipelines.agreement.decision import Gate, GateReading
from pipelines.errors import BadInput
from workbench.audit.design import MAIN, RoundDesign
from workbench.audit.order import key
from workbench.audit.population import Population
from workbench.db.models import DrawStage


@dataclass(frozen=True)
class Candidates:
    """The pairs an active draw chooses from: store rows sorted by pair id, and their groups."""

    rows: npt.NDArray[np.intp]
    groups: ConfidenceGroups


def candidates_of(population: Population) -> Candidates:
    """The main stratum's pairs, grouped by how sure the audited label is: the distance of p_a
    from one half.

    Raises:
        BadInput: No label has a p_a, so there is nothing to choose by.
    """
    rows = population.rows(MAIN)
    rows = np.array(sorted(rows.tolist(), key=population.pair_ids.__getitem__), dtype=np.intp)
    confidence = np.abs(population.p_a[rows] - 0.5)
    if np.isnan(confidence).all():
        raise BadInput(
            "active mode chooses pairs by the judge's confidence, and no verdict of this label has "
            "a p_a; draw with --mode uniform"
        )
    return Candidates(rows, group_by_confidence(confidence))


def draw_active(
    candidates: Candidates,
    design: RoundDesign,
    earlier: Sequence[Stage],
    outcomes: npt.ArrayLike,
    size: int,
) -> Stage:
    """The next stage, from the labels of all earlier ones."""
    fit = fit_stage(candidates.groups, earlier, outcomes)
    return draw_stage(candidates.groups, fit, earlier, size, stage_seed(design))


def stage_seed(design: RoundDesign) -> int:
    """The seed of every stage: the first 8 bytes of SHA-256 of 'seed|round|main|active'."""
    return int.from_bytes(key(design.seed, design.name, MAIN, "active")[:8])


def inclusion(groups: ConfidenceGroups, stages: Sequence[Stage]) -> FloatArray:
    """Chance that a pair of each group is drawn by these stages, given their fits. (n_groups,).

    A stage draws by exponential clocks with the weights as rates; a clock rings before the
    stage's last draw with probability 1 - exp(-w T), T being when as many have rung as it drew.
    """
    rest = groups.size.astype(np.float64)
    rate = np.zeros(len(rest))
    for stage in stages:
        weight = stage_weights(stage.fit.chance(groups.score), rest.astype(np.int64))
        rest_now, size = rest.copy(), len(stage.group)

        def too_many(
            t: float, weight: FloatArray = weight, rest: FloatArray = rest_now, size: int = size
        ) -> float:
            return float(rest @ -np.expm1(-weight * t)) - size

        left = float(rest_now.sum())
        if size >= left:
            return np.ones(len(rest))
        rate += weight * float(brentq(too_many, 0.0, 60.0 * left))
        rest -= np.bincount(stage.group, minlength=len(rest))
    return np.asarray(-np.expm1(-rate))


def as_record(stage: Stage, groups: ConfidenceGroups) -> dict[str, Any]:
    """A stage for its row in the database: enough to read the gate without the population."""
    return {
        **asdict(stage.fit),
        "group": stage.group.tolist(),
        "q": stage.q.tolist(),
        "score": groups.score.tolist(),
        "size": groups.size.tolist(),
    }


@dataclass(frozen=True)
class RecordedStages:
    """The stages of a round as they were recorded; `index` and `member` are empty."""

    groups: ConfidenceGroups
    stages: tuple[Stage, ...]

    @property
    def n_drawn(self) -> int:
        """Pairs drawn so far."""
        return sum(len(stage.group) for stage in self.stages)


def from_records(records: Sequence[dict[str, Any]]) -> RecordedStages:
    """Stages from the `fit` of their rows, first to last."""
    none: IntArray = np.zeros(0, dtype=np.int64)
    stages = tuple(
        Stage(
            fit=StageFit(
                float(record["intercept"]),
                float(record["slope"]),
                float(record["tie_share"]),
                int(record["n_labels"]),
            ),
            index=none,
            group=np.array(record["group"], dtype=np.int64),
            q=np.array(record["q"], dtype=np.float64),
        )
        for record in records
    )
    first = records[0] if records else {"score": [0.0], "size": [0]}
    groups = ConfidenceGroups(
        score=np.array(first["score"], dtype=np.float64),
        size=np.array(first["size"], dtype=np.int64),
        member=none,
    )
    return RecordedStages(groups, stages)


def with_rows(recorded: RecordedStages, index: IntArray) -> list[Stage]:
    """The stages with the rows of the population that they drew, all in one array in draw order."""
    stages, start = [], 0
    for stage in recorded.stages:
        stop = start + len(stage.group)
        stages.append(replace(stage, index=index[start:stop]))
        start = stop
    return stages


def recorded_stages(
    session: Session, round_id: int, stratum: str, as_of: float | None = None
) -> RecordedStages:
    """The stages of a stratum that had been drawn by a time (None: by now), from the database."""
    query = select(DrawStage.fit).where(
        DrawStage.round_id == round_id, DrawStage.stratum == stratum
    )
    if as_of is not None:
        query = query.where(DrawStage.created_at <= as_of)
    return from_records(list(session.scalars(query.order_by(DrawStage.number))))


def read_active(gate: Gate, outcomes: npt.ArrayLike, recorded: RecordedStages) -> GateReading:
    """The gate on the answered prefix of an active draw."""
    return read_active_gate(gate, recorded.groups, recorded.stages, outcomes)
