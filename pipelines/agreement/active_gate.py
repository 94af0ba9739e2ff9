"""The sequential gate of an active round, read from its recorded stages alone.

Which pairs a stage drew, the fit it drew them with and the outcomes in draw order are all that is
needed: the same record gives the same e-values anywhere, so a certificate can be replayed.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from pipelines.agreement.active import ConfidenceGroups, Stage, stage_weights
from pipelines.agreement.active_bets import StageDraws, Wealth
from pipelines.agreement.annotations import FloatArray, IntArray
from pipelines.agreement.decision import (
    AGREE,
    DISAGREE,
    HUMAN_TIE,
    UNANSWERED,
    Gate,
    GateReading,
    TestName,
    check_outcomes,
    first_decision,
    first_true,
    read_test,
    worst_case,
)
from pipelines.agreement.eprocess import Side, log_threshold
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.gate import GatePath, chart_points
from pipelines.errors import BadInput

COARSE = np.linspace(0.0, 1.0, 51)[1:-1]  # lines first tried for the interval
LINES_AT_ONCE = 16  # bounds the memory at 16 x 24 x labels floats


def read_active_gate(
    gate: Gate, groups: ConfidenceGroups, stages: Sequence[Stage], outcomes: npt.ArrayLike
) -> GateReading:
    """Read the gate after the answered prefix of an active round.

    Args:
        gate: The declared gate.
        groups: Score and size of each confidence group (`member` is not used).
        stages: The stages drawn so far, in order.
        outcomes: Outcome codes in draw order over all stages, shape (t,).

    Raises:
        BadInput: More outcomes than the stages drew, or codes that the gate does not know.
    """
    codes = _check(gate, groups, stages, outcomes)
    threshold = log_threshold(gate.alpha)
    tests = tuple(
        read_test(name, tau, side, _log_path(groups, stages, codes, tau, side), threshold)
        for name, tau, side in gate.tests()
    )
    crossed = {test.name: test.crossed_at for test in tests}
    decision, n_labels = first_decision(gate, crossed, codes, groups.n_population)
    counts = {code: int(np.sum(codes == code)) for code in (AGREE, DISAGREE, HUMAN_TIE, UNANSWERED)}
    return GateReading(
        decision=decision,
        n_labels=n_labels,
        n_answered=len(codes),
        n_population=groups.n_population,
        tests=tests,
        estimate=_estimate(gate, groups, stages, codes),
        n_agree=counts[AGREE],
        n_disagree=counts[DISAGREE],
        n_tie=counts[HUMAN_TIE],
        n_unanswered=counts[UNANSWERED],
    )


def active_path(
    gate: Gate,
    groups: ConfidenceGroups,
    stages: Sequence[Stage],
    outcomes: npt.ArrayLike,
    max_points: int = 400,
) -> GatePath:
    """The path of an active round for a chart; there are no boundaries in counts.

    The interval is on a grid of lines half a point apart around the estimate, ends outward.
    """
    codes = _check(gate, groups, stages, outcomes)
    threshold = log_threshold(gate.alpha)
    paths: dict[TestName, FloatArray] = {
        name: _log_path(groups, stages, codes, tau, side) for name, tau, side in gate.tests()
    }
    t = chart_points(
        len(codes), max_points, [first_true(path >= threshold) for path in paths.values()]
    )
    estimate = _estimates(groups, stages, codes)[t - 1]
    middle = estimate[-1] if len(t) and np.isfinite(estimate[-1]) else 0.5
    near = np.linspace(max(middle - 0.15, 0.005), min(middle + 0.15, 0.995), 61)
    lines = np.union1d(COARSE, near)
    low, high = _interval(gate, groups, stages, codes, lines, t - 1)
    return GatePath(
        t=t,
        n_agree=np.cumsum(codes == AGREE)[t - 1],
        n_decisive=np.cumsum(codes != HUMAN_TIE)[t - 1],
        estimate=estimate,
        low=low,
        high=high,
        log_e={name: path[t - 1] for name, path in paths.items()},
        boundaries=None,
        boundaries_exact=False,
    )


def _check(
    gate: Gate, groups: ConfidenceGroups, stages: Sequence[Stage], outcomes: npt.ArrayLike
) -> IntArray:
    codes = check_outcomes(gate, outcomes, groups.n_population)
    drawn = sum(len(stage.group) for stage in stages)
    if len(codes) > drawn:
        raise BadInput(f"{len(codes)} outcomes, but the stages drew {drawn} pairs")
    return codes


def _stage_draws(
    groups: ConfidenceGroups, stages: Sequence[Stage], codes: IntArray, side: Side
) -> Iterator[StageDraws]:
    """The read part of each stage, with a leading axis of 1."""
    rest = groups.size.astype(np.int64).copy()
    start = 0
    for stage in stages:
        part = codes[start : start + len(stage.group)]
        if len(part) == 0:
            return
        chance = stage.fit.chance(groups.score)
        agree, tie = worst_case(part, side)
        yield StageDraws(
            rest=rest[None].copy(),
            weight=stage_weights(chance, rest)[None],
            chance=chance[None],
            tie_share=np.array([stage.fit.tie_share]),
            group=stage.group[None, : len(part)],
            agree=agree[None],
            tie=tie[None],
        )
        rest -= np.bincount(stage.group, minlength=len(rest))
        start += len(stage.group)


def _log_path(
    groups: ConfidenceGroups, stages: Sequence[Stage], codes: IntArray, tau: float, side: Side
) -> FloatArray:
    """Log e-value of one test after each label, shape (t,)."""
    return np.asarray(_log_paths(groups, stages, codes, np.array([tau]), side)[0])


def _log_paths(
    groups: ConfidenceGroups, stages: Sequence[Stage], codes: IntArray, tau: FloatArray, side: Side
) -> FloatArray:
    """The same for several lines at once, shape (n_lines, t)."""
    wealth = Wealth(groups.n_population, tau, side)
    parts = [np.zeros((len(tau), 0))]
    parts += [wealth.advance(draws) for draws in _stage_draws(groups, stages, codes, side)]
    return np.concatenate(parts, axis=1)


def _estimates(groups: ConfidenceGroups, stages: Sequence[Stage], codes: IntArray) -> FloatArray:
    """Unbiased running estimate of agreement, shape (t,): the mean of the increments so far.

    phi_t is linear in what a tie scores, a_t + b_t tau; agreement among decisive pairs is the tau
    that equals its own mean, a / (1 - b). An unanswerable pair takes its fitted value.
    """
    n = float(groups.n_population)
    constant, slope = [np.zeros(0)], [np.zeros(0)]
    won = tied = 0.0
    for draws in _stage_draws(groups, stages, np.where(codes == UNANSWERED, DISAGREE, codes), "up"):
        rest, weight, group = draws.rest[0], draws.weight[0], draws.group[0]
        share = float(draws.tie_share[0])
        fit = (1.0 - share) * draws.chance[0]
        start = sum(len(part) for part in constant)
        missing = codes[start : start + len(group)] == UNANSWERED
        x = np.where(missing, fit[group], draws.agree[0])
        y = np.where(missing, share, draws.tie[0])
        left = float(rest @ weight) - (np.cumsum(weight[group]) - weight[group])
        inverse = left / (n * weight[group])
        fit_left = float(rest @ fit) - (np.cumsum(fit[group]) - fit[group])
        pairs_left = rest.sum() - np.arange(len(group))
        constant.append((won + np.cumsum(x) - x + fit_left) / n + (x - fit[group]) * inverse)
        slope.append((tied + np.cumsum(y) - y + share * pairs_left) / n + (y - share) * inverse)
        won, tied = won + float(x.sum()), tied + float(y.sum())
    t = np.arange(1, len(codes) + 1)
    a, b = np.cumsum(np.concatenate(constant)) / t, np.cumsum(np.concatenate(slope)) / t
    decided = np.cumsum((codes == AGREE) | (codes == DISAGREE)) > 0
    return np.where(decided, np.clip(a / np.maximum(1.0 - b, 1e-9), 0.0, 1.0), np.nan)


def _interval(
    gate: Gate,
    groups: ConfidenceGroups,
    stages: Sequence[Stage],
    codes: IntArray,
    lines: FloatArray,
    at: IntArray,
) -> tuple[FloatArray, FloatArray]:
    """Ends of the anytime interval at the label positions `at`, from the lines not yet rejected.

    Each side is tested at alpha / 2; an end is the nearest rejected line outside all that stand,
    0 or 1 where no such line was rejected.
    """
    threshold = log_threshold(gate.alpha / 2.0)
    stands = {
        side: np.concatenate(
            [
                _log_paths(groups, stages, codes, part, side)[:, at] < threshold
                for part in np.array_split(lines, max(1, len(lines) // LINES_AT_ONCE))
            ]
        )
        for side in ("up", "down")
    }
    edges = np.concatenate([[0.0], lines, [1.0]])
    first = np.where(stands["up"].any(axis=0), stands["up"].argmax(axis=0), len(lines))
    last = np.where(
        stands["down"].any(axis=0), len(lines) - 1 - stands["down"][::-1].argmax(axis=0), -1
    )
    return edges[first], edges[last + 2]


def _estimate(
    gate: Gate, groups: ConfidenceGroups, stages: Sequence[Stage], codes: IntArray
) -> Estimate | None:
    """The estimate now with its interval, to a twentieth of a point; None before it exists."""
    n = int(np.sum((codes == AGREE) | (codes == DISAGREE)))
    if n == 0:
        return None
    estimate = float(_estimates(groups, stages, codes)[-1])
    now = np.array([len(codes) - 1])
    low, high = _interval(gate, groups, stages, codes, COARSE, now)
    step = COARSE[1] - COARSE[0]
    fine = np.union1d(
        np.linspace(low[0], low[0] + step, 41)[1:], np.linspace(high[0] - step, high[0], 41)[:-1]
    )
    fine = fine[(fine > 0.0) & (fine < 1.0)]
    lower, upper = _interval(gate, groups, stages, codes, fine, now)
    # Lines outside the coarse interval are rejected; what the finer lines leave lies within it.
    low, high = np.maximum(low, lower), np.minimum(high, upper)
    return Estimate(estimate, float(low[0]), float(high[0]), "betting", n)
