"""Active mode: draw the pairs on which the judge is likeliest to be wrong, a stage at a time.

Pairs are grouped by the judge's confidence (its rank: the number itself need not be calibrated).
Within a stage a pair of group g is drawn with probability proportional to sqrt(f (1 - f)), f the
chance of agreement that a ridge-Platt fit gives from the labels of *earlier* stages, floored at
0.55 of the mean so that no pair is out of reach. Everything that fixes a draw is recorded in its
`Stage`, so that the round can be drawn again from its seed and its certificate computed again
from the record (`active_gate`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, ndtri
from scipy.stats import rankdata

from pipelines.agreement.annotations import FloatArray, IntArray
from pipelines.agreement.decision import AGREE, DISAGREE, HUMAN_TIE, UNANSWERED
from pipelines.errors import BadInput

MAX_GROUPS = 100
WEIGHT_FLOOR = 0.55  # of the mean weight of the pairs left
PRIOR = (1.4, 1.0)  # intercept and slope before any label: agreement near .8, some skill
RIDGE = (0.5, 2.0)  # how strongly the fit is drawn towards the prior
FIRST_STAGE = 60


@dataclass(frozen=True)
class ConfidenceGroups:
    """The population cut into groups of like confidence; all that active mode knows of a pair."""

    score: FloatArray  # (n_groups,) normal score of the group's rank, ascending; 0 is the middle
    size: IntArray  # (n_groups,) pairs in each group
    member: IntArray  # (n_population,) group of each pair; may be empty when only reading

    @property
    def n_population(self) -> int:
        """Pairs in the audited population."""
        return int(self.size.sum())


@dataclass(frozen=True)
class StageFit:
    """P(agree | score) = expit(intercept + slope score) on decisive pairs; the share of ties."""

    intercept: float
    slope: float
    tie_share: float
    n_labels: int  # labels of earlier stages that it was fitted on

    def chance(self, score: FloatArray) -> FloatArray:
        """Chance of agreement at each score, kept off 0 and 1."""
        return chance_of_agreement(self.intercept + self.slope * score)


@dataclass(frozen=True)
class Stage:
    """One drawn stage, in draw order."""

    fit: StageFit
    index: IntArray  # (m,) rows of the population
    group: IntArray  # (m,) their confidence groups
    q: FloatArray  # (m,) chance with which each was drawn, given all drawn before it


def group_by_confidence(
    confidence: npt.ArrayLike, max_groups: int = MAX_GROUPS
) -> ConfidenceGroups:
    """Group pairs by the rank of the judge's confidence in its own label.

    Args:
        confidence: Any number that grows with confidence, such as max(p_a, 1 - p_a), shape
            (n_population,); equal numbers share a group, NaN (none given) is a group of its own
            with the middle score.
        max_groups: Most groups among the pairs with a confidence.

    Raises:
        BadInput: No pairs.
    """
    values = np.asarray(confidence, dtype=np.float64)
    if len(values) == 0:
        raise BadInput("the audited population is empty; no pair has a label to audit")
    known = np.flatnonzero(~np.isnan(values))
    member = np.zeros(len(values), dtype=np.int64)
    scores: list[float] = []
    if len(known):
        quantile = (rankdata(values[known]) - 0.5) / len(known)
        _, group = np.unique((quantile * max_groups).astype(np.int64), return_inverse=True)
        member[known] = group
        centre = np.bincount(group, weights=quantile) / np.bincount(group)
        scores = [float(ndtri(c)) for c in centre]
    if len(known) < len(values):
        member[np.isnan(values)] = len(scores)
        scores.append(0.0)
    return ConfidenceGroups(
        score=np.asarray(scores), size=np.bincount(member, minlength=len(scores)), member=member
    )


def next_stage_size(n_already: int, n_wanted: int) -> int:
    """Pairs of the next stage: 60, then as many as all stages before, up to `n_wanted` in all."""
    return max(0, min(n_wanted - n_already, max(FIRST_STAGE, n_already)))


def stage_sizes(n_drawn: int) -> tuple[int, ...]:
    """The sizes of all stages of a round that draws `n_drawn` pairs."""
    sizes: list[int] = []
    while size := next_stage_size(sum(sizes), n_drawn):
        sizes.append(size)
    return tuple(sizes)


def fit_stage(
    groups: ConfidenceGroups, earlier: Sequence[Stage], outcomes: npt.ArrayLike
) -> StageFit:
    """Fit the next stage's chances on the complete outcomes of all earlier stages, nothing else.

    Args:
        groups: The population.
        earlier: The stages drawn so far, in order.
        outcomes: Their outcome codes in draw order; as many as they drew.

    Raises:
        BadInput: An earlier stage is not fully read yet.
    """
    codes = np.asarray(outcomes)
    drawn = _concatenate([stage.group for stage in earlier])
    if len(codes) != len(drawn):
        raise BadInput(
            f"{len(codes)} of the {len(drawn)} pairs drawn so far are read; the next active stage "
            "can be drawn when all of them are answered or given up"
        )
    n_groups = len(groups.score)
    wins = np.bincount(drawn[codes == AGREE], minlength=n_groups)
    losses = np.bincount(drawn[codes == DISAGREE], minlength=n_groups)
    n_tie = int(np.sum(codes == HUMAN_TIE))
    n_read = int(np.sum(codes != UNANSWERED))
    intercept, slope = ridge_platt(groups.score, wins, losses)
    return StageFit(intercept, slope, float(share_of_ties(n_tie, n_read)), n_read)


def chance_of_agreement(linear: FloatArray) -> FloatArray:
    """The logistic of the fit, kept off 0 and 1: no group is ever taken for certain."""
    return np.asarray(np.clip(expit(linear), 1e-3, 1.0 - 1e-3))


def share_of_ties(n_tie: npt.ArrayLike, n_labels: int) -> FloatArray:
    """The expected share of ties among further labels, drawn towards none while there are few."""
    return np.asarray(n_tie) / (n_labels + 2.0)


def ridge_platt(score: FloatArray, wins: IntArray, losses: IntArray) -> tuple[float, float]:
    """Intercept and slope of a logistic fit to counts by group, shrunk to `PRIOR` by `RIDGE`.

    Newton's method with step halving: undamped it diverges on sharply separated groups.
    """
    design = np.stack([np.ones_like(score), score], axis=1)
    prior, ridge = np.asarray(PRIOR), np.diag(RIDGE)
    total = wins + losses

    def loss(beta: FloatArray) -> float:
        linear = design @ beta
        fit = np.sum(total * np.logaddexp(0.0, linear) - wins * linear)
        return float(fit + 0.5 * (beta - prior) @ ridge @ (beta - prior))

    beta, value = prior.copy(), loss(prior)
    for _ in range(50):
        chance = expit(design @ beta)
        gradient = design.T @ (wins - total * chance) - ridge @ (beta - prior)
        curvature = (design.T * (total * chance * (1.0 - chance))) @ design + ridge
        step = np.linalg.solve(curvature, gradient)
        scale = 1.0
        while (new := loss(beta + scale * step)) > value and scale > 1e-6:
            scale /= 2.0
        if scale <= 1e-6:
            break
        beta, value = beta + scale * step, new
        if np.abs(scale * step).max() < 1e-9:
            break
    return float(beta[0]), float(beta[1])


def stage_weights(chance: FloatArray, rest: IntArray) -> FloatArray:
    """Sampling weight of one pair of each group: sqrt(f (1 - f)), floored, with mean 1 over `rest`.

    Args:
        chance: Fitted chance of agreement, shape (..., n_groups).
        rest: Pairs not yet drawn, same shape.
    """
    left = np.maximum(rest.sum(axis=-1, keepdims=True), 1)
    spread = np.sqrt(chance * (1.0 - chance))
    spread = np.maximum(spread, WEIGHT_FLOOR * (rest * spread).sum(axis=-1, keepdims=True) / left)
    mean = (rest * spread).sum(axis=-1, keepdims=True) / left
    return np.asarray(spread / np.where(mean > 0.0, mean, 1.0))


def draw_stage(
    groups: ConfidenceGroups, fit: StageFit, earlier: Sequence[Stage], n_draw: int, seed: int
) -> Stage:
    """Draw the next stage without replacement, one pair after another by weight.

    The draw depends on the seed, the number of the stage, the fit and the pairs drawn before it,
    so that it can be replayed. Only the generator's raw bits are used, whose stream numpy keeps
    stable between versions.

    Raises:
        BadInput: Fewer than `n_draw` pairs are left.
    """
    drawn = _concatenate([stage.index for stage in earlier])
    left = groups.n_population - len(drawn)
    if n_draw > left:
        raise BadInput(f"a stage of {n_draw} pairs was asked for, but only {left} are left")
    rest = groups.size - np.bincount(groups.member[drawn], minlength=len(groups.size))
    weight = stage_weights(fit.chance(groups.score), rest)
    # An exponential clock for each pair: the order of ringing is sequential weighted sampling.
    clock = _exponentials(groups.n_population, (seed, len(earlier))) / weight[groups.member]
    clock[drawn] = np.inf
    first = np.argpartition(clock, n_draw - 1)[:n_draw] if 0 < n_draw < len(clock) else None
    candidates = np.argsort(clock, kind="stable")[:n_draw] if first is None else first
    index = candidates[np.argsort(clock[candidates], kind="stable")]
    group = groups.member[index]
    return Stage(fit, index, group, draw_chances(weight, rest, group))


def draw_chances(weight: FloatArray, rest: IntArray, group: IntArray) -> FloatArray:
    """Chance of each draw given those before it: the pair's weight over all weight left."""
    gone = np.concatenate([[0.0], np.cumsum(weight[group])[:-1]])
    return np.asarray(weight[group] / (float(rest @ weight) - gone))


def _exponentials(n: int, key: tuple[int, ...]) -> FloatArray:
    """Standard exponential numbers from raw 64-bit words: 53 bits each, never 0."""
    words = np.random.PCG64(np.random.SeedSequence(key)).random_raw(n)
    return np.asarray(-np.log(((words >> np.uint64(11)) + 0.5) * 2.0**-53))


def _concatenate(parts: Sequence[IntArray]) -> IntArray:
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts])
