"""One policy against another on the same prompts: wins, ties, losses, and what n could show."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from pipelines.agreement.annotations import FloatArray, IntArray
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import Clusters, mean_of
from pipelines.agreement.paired import sign_flip_p
from pipelines.errors import BadInput, Undefined


@dataclass(frozen=True)
class WinRate:
    """The first policy's wins over the second's, as one judge sees them.

    Attributes:
        n: Pairs.
        raw: Wins over pairs: a tie is no win.
        tie_aware: Wins and half the ties: one half means that the two are alike.
        p_value: Two-sided and exact, of the two being alike: whole prompts change sides.
        detectable: The least distance of `tie_aware` from one half that so many prompts with so
            many ties would show (p < 0.05) in four of five evaluations; None where all tie.
    """

    n: int
    wins: int
    ties: int
    losses: int
    raw: Estimate
    tie_aware: Estimate
    p_value: float
    detectable: float | None


def win_rate(score: FloatArray, prompt: IntArray, *, confidence: float = 0.95) -> WinRate:
    """Count and test.

    Args:
        score: 1 for a win of the first policy, 1/2 for a tie, 0 for a loss. Shape (n_pairs,).
        prompt: Prompt codes, same shape; equal codes are one cluster.
        confidence: Of the intervals.

    Raises:
        BadInput: Other scores, or arrays of different lengths.
        Undefined: No pairs.
    """
    if len(score) != len(prompt):
        raise BadInput("each pair needs a score and a prompt; give equal lengths")
    if not len(score):
        raise Undefined("a win rate over no pairs is undefined")
    halves = 2.0 * score
    if not np.isin(halves, (0.0, 1.0, 2.0)).all():
        raise BadInput("a score is 0, 1/2 or 1; leave failures out first")
    clusters = Clusters.of(prompt)
    totals = np.bincount(clusters.code, halves - 1.0, minlength=clusters.n_clusters)
    return WinRate(
        n=len(score),
        wins=int((halves == 2.0).sum()),
        ties=int((halves == 1.0).sum()),
        losses=int((halves == 0.0).sum()),
        raw=mean_of((halves == 2.0).astype(np.float64), clusters, confidence=confidence),
        tie_aware=mean_of(score, clusters, confidence=confidence),
        p_value=sign_flip_p(np.rint(totals).astype(np.int64)),
        # Were the two alike, wins and losses would be coins: no mean is taken off.
        detectable=detectable(math.sqrt(float(np.square(totals / 2.0).sum())) / len(score))
        if totals.any()
        else None,
    )


def detectable(error: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The least true difference that a two-sided test at `alpha` shows with this power.

    Args:
        error: Standard error of the estimated difference.
        alpha: Of the test.
        power: Chance of showing it.
    Source: the usual normal approximation, (z_(1-alpha/2) + z_power) times the error.
    """
    return float(stats.norm.ppf(1.0 - alpha / 2.0) + stats.norm.ppf(power)) * error


def length_points(chars_first: IntArray, chars_second: IntArray) -> FloatArray:
    """How much longer the first response is, in spreads of the difference, squashed to -1..1.

    Args:
        chars_first: Characters of the first policy's responses, shape (n_pairs,).
        chars_second: Of the second's, same shape.

    Returns:
        tanh(difference / standard deviation of the differences), all 0 where lengths are equal.

    Raises:
        Undefined: One constant difference other than 0: length and policy cannot be told apart.
    Source: the length term of Dubois et al. (2024), arXiv:2404.04475.
    """
    gap = np.asarray(chars_first, dtype=np.float64) - np.asarray(chars_second, dtype=np.float64)
    if not gap.any():
        return gap
    spread = float(gap.std(ddof=1)) if len(gap) > 1 else 0.0
    if spread == 0.0:
        raise Undefined("all responses differ in length by the same: length cannot be held equal")
    return np.asarray(np.tanh(gap / spread))
