"""The sequential gate of a uniform round: TRUST, WARN, BETWEEN or UNDECIDED, at any label.

What is read is the longest answered prefix of the draw, in draw order: completion order would
let whoever labels early decide. The first crossing stands, whatever comes after.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pipelines.agreement.annotations import FloatArray, IntArray
from pipelines.agreement.betting import log_e_path
from pipelines.agreement.decision import (
    AGREE,
    DISAGREE,
    HUMAN_TIE,
    UNANSWERED,
    Decision,
    Gate,
    GateReading,
    TestName,
    TestReading,
    Ties,
    check_outcomes,
    first_decision,
    first_true,
    outcome,
    outcomes,
    read_test,
    worst_case,
)
from pipelines.agreement.eprocess import boundary, log_threshold
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.sequence import decisive_interval, ppr_interval
from pipelines.errors import BadInput

__all__ = [
    "AGREE",
    "DISAGREE",
    "HUMAN_TIE",
    "UNANSWERED",
    "Decision",
    "Gate",
    "GatePath",
    "GateReading",
    "TestName",
    "TestReading",
    "Ties",
    "gate_path",
    "outcome",
    "outcomes",
    "read_gate",
    "read_slices",
]


@dataclass(frozen=True)
class GatePath:
    """The whole way of a round, thinned for a chart; arrays of shape (n_points,).

    `boundaries[name]` is what the count of agreements must reach ("up") or fall to ("down") at
    each point, NaN where no count would do. Under `strict` it is the exact integer table; under
    `decisive` the test looks at the order of ties too, and the line drawn is that of the same
    test on the decisive labels alone: `boundaries_exact` says which. The interval and the gate
    need not cross a line at the same label.
    """

    t: IntArray  # position in the draw, 1..n_answered
    n_agree: IntArray
    n_decisive: IntArray  # labels that are no tie, unanswerable pairs included
    estimate: FloatArray  # NaN before the first decisive label
    low: FloatArray
    high: FloatArray
    log_e: dict[TestName, FloatArray]
    boundaries: dict[TestName, FloatArray] | None
    boundaries_exact: bool


def read_gate(gate: Gate, outcomes: npt.ArrayLike, n_population: int) -> GateReading:
    """Read the gate after the answered prefix of a uniform draw.

    Args:
        gate: The declared gate, its alpha already spent for earlier rounds.
        outcomes: Outcome codes in draw order, shape (t,); see `decision.outcomes`.
        n_population: Pairs in the audited population, at least t.

    Raises:
        BadInput: Unknown codes, more outcomes than pairs, or an empty population.
    """
    codes = check_outcomes(gate, outcomes, n_population)
    threshold = log_threshold(gate.alpha)
    tests = tuple(
        read_test(name, tau, side, path, threshold)
        for (name, tau, side), path in zip(
            gate.tests(), _log_paths(gate, codes, n_population).values(), strict=True
        )
    )
    crossed = {test.name: test.crossed_at for test in tests}
    decision, n_labels = first_decision(gate, crossed, codes, n_population)
    n_agree, n_disagree, n_tie, n_unanswered = (
        int(np.sum(codes == code)) for code in (AGREE, DISAGREE, HUMAN_TIE, UNANSWERED)
    )
    return GateReading(
        decision=decision,
        n_labels=n_labels,
        n_answered=len(codes),
        n_population=n_population,
        tests=tests,
        estimate=_estimate(gate, n_agree, n_disagree, n_tie, n_unanswered, n_population),
        n_agree=n_agree,
        n_disagree=n_disagree,
        n_tie=n_tie,
        n_unanswered=n_unanswered,
    )


def read_slices(
    gate: Gate,
    outcomes: npt.ArrayLike,
    slice_codes: npt.ArrayLike,
    sizes: Mapping[str, int],
) -> dict[str, GateReading]:
    """Read the gate within each declared slice, each at alpha / K, so that all K hold together.

    Within a slice the uniform draw is a uniform draw of the slice, in the same order.

    Args:
        gate: The gate of the round.
        outcomes: Outcome codes in draw order, shape (t,).
        slice_codes: Index into `sizes` of each outcome's slice, -1 for none; shape (t,).
        sizes: Pairs of the population in each slice, by name.
    """
    codes, member = np.asarray(outcomes), np.asarray(slice_codes)
    if codes.shape != member.shape:
        raise BadInput(f"{len(codes)} outcomes but {len(member)} slice codes; give one for each")
    shared = replace(gate, alpha=gate.alpha / max(len(sizes), 1))
    return {
        name: read_gate(shared, codes[member == k], size)
        for k, (name, size) in enumerate(sizes.items())
        if size > 0
    }


def gate_path(
    gate: Gate, outcomes: npt.ArrayLike, n_population: int, max_points: int = 400
) -> GatePath:
    """The path of the gate for a chart: every label, or `max_points` spread over them.

    The labels at which a test first crossed are always among the points.
    """
    codes = check_outcomes(gate, outcomes, n_population)
    paths = _log_paths(gate, codes, n_population)
    threshold = log_threshold(gate.alpha)
    crossings = [first_true(path >= threshold) for path in paths.values()]
    t = chart_points(len(codes), max_points, crossings)
    agree, tie, unanswered, decisive = (
        np.cumsum(part)[t - 1]
        for part in (
            codes == AGREE,
            codes == HUMAN_TIE,
            codes == UNANSWERED,
            codes != HUMAN_TIE,
        )
    )
    answered = decisive - unanswered
    low, high = _interval(gate, agree, decisive, tie, unanswered, n_population)
    return GatePath(
        t=t,
        n_agree=agree,
        n_decisive=decisive,
        estimate=np.where(answered > 0, agree / np.maximum(answered, 1), np.nan),
        low=low,
        high=high,
        log_e={name: path[t - 1] for name, path in paths.items()},
        boundaries=boundary_lines(gate, decisive, tie, n_population),
        boundaries_exact=gate.ties == "strict",
    )


def boundary_lines(
    gate: Gate, n_decisive: IntArray, n_tie: IntArray, n_population: int
) -> dict[TestName, FloatArray]:
    """Agreements that each test asks for after so many decisive labels and ties; NaN: none do.

    Exact without ties. With ties, the table of as many pairs as seem decisive by the last point,
    to a twentieth of the population, so that a growing round does not ask for ever new tables.
    """
    most = int(n_decisive.max()) if len(n_decisive) else 0
    size = n_population
    if len(n_tie) and n_tie[-1]:
        grain = max(1, n_population // 20)
        seem = n_population * most / (most + int(n_tie[-1]))
        size = max(round(seem / grain) * grain, most, 1)
    lines: dict[TestName, FloatArray] = {}
    for name, tau, side in gate.tests():
        needed = boundary(size, tau, side, gate.alpha, most).count[n_decisive]
        never = needed > n_decisive if side == "up" else needed < 0
        lines[name] = np.where(never, np.nan, needed)
    return lines


def chart_points(n_labels: int, max_points: int, always: Sequence[int | None]) -> IntArray:
    """At most about `max_points` labels of 1..n_labels, evenly spread, with some always kept."""
    if n_labels == 0:
        return np.zeros(0, dtype=np.int64)
    spread = np.rint(np.linspace(1, n_labels, min(n_labels, max_points))).astype(np.int64)
    kept = [label for label in always if label is not None]
    return np.unique(np.concatenate([spread, np.asarray(kept, dtype=np.int64)]))


def _log_paths(gate: Gate, codes: IntArray, n_population: int) -> dict[TestName, FloatArray]:
    """Log e-values of each test after each label, shape (t,) each."""
    paths: dict[TestName, FloatArray] = {}
    for name, tau, side in gate.tests():
        agree, tie = worst_case(codes, side)
        paths[name] = log_e_path(
            agree, tie, n_population, tau, side, ties_score=gate.ties == "decisive"
        )
    return paths


def _interval(
    gate: Gate,
    agree: npt.ArrayLike,
    decisive: npt.ArrayLike,
    tie: npt.ArrayLike,
    unanswered: npt.ArrayLike,
    n_population: int,
) -> tuple[FloatArray, FloatArray]:
    """The anytime interval at confidence 1 - alpha, unanswerable pairs at their worst each way."""
    most = np.add(agree, unanswered)
    if gate.ties == "strict":
        low, _ = ppr_interval(agree, decisive, n_population, gate.alpha)
        _, high = ppr_interval(most, decisive, n_population, gate.alpha)
    else:
        low, _ = decisive_interval(agree, decisive, tie, n_population, gate.alpha)
        _, high = decisive_interval(most, decisive, tie, n_population, gate.alpha)
    return low, high


def _estimate(
    gate: Gate, agree: int, disagree: int, tie: int, unanswered: int, n_population: int
) -> Estimate | None:
    """Agreement among the answered decisive labels; None before the first."""
    answered = agree + disagree
    if answered == 0:
        return None
    low, high = _interval(gate, agree, answered + unanswered, tie, unanswered, n_population)
    return Estimate(agree / answered, float(low), float(high), "ppr", answered)
