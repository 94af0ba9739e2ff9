"""Anytime-valid intervals of agreement: they hold at every label at once, so they may be watched.

The prior-posterior-ratio confidence sequence of a finite population: with a uniform prior on the
count K of agreeing pairs, the set {K : prior(K) / posterior(K) < 1/alpha} covers the true K at
all labels together with probability 1 - alpha. Source: Waudby-Smith and Ramdas (2020),
arXiv:2006.04347.
"""

import math

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from pipelines.agreement.annotations import FloatArray, IntArray


def ppr_interval(
    n_agree: npt.ArrayLike, n_labels: npt.ArrayLike, n_population: npt.ArrayLike, alpha: float
) -> tuple[FloatArray, FloatArray]:
    """Lower and upper end of the share K/N that the confidence sequence holds after these counts.

    Args:
        n_agree: Agreements so far, any shape.
        n_labels: Labels so far, broadcast with `n_agree`; 0 gives the interval from 0 to 1.
        n_population: Pairs in the population, broadcast likewise; at least 1.
        alpha: One minus the confidence.

    Returns:
        Two arrays: the smallest and the largest K/N kept, both ends included.
    """
    agree, labels, population = np.broadcast_arrays(
        np.asarray(n_agree, dtype=np.int64),
        np.asarray(n_labels, dtype=np.int64),
        np.asarray(n_population, dtype=np.int64),
    )
    low = _outermost(agree, labels, population, alpha)
    # The upper end for agreements is the lower end for disagreements, seen from N.
    high = population - _outermost(labels - agree, labels, population, alpha)
    return low / population, high / population


def decisive_interval(
    n_agree: npt.ArrayLike,
    n_decisive: npt.ArrayLike,
    n_tie: npt.ArrayLike,
    n_population: int,
    alpha: float,
) -> tuple[FloatArray, FloatArray]:
    """The same for agreement among decisive pairs, whose number M in the population is unknown.

    The decisive labels are a uniform draw from the M decisive pairs, so the sequence for the true
    M covers, and M is at most N less the ties seen. The interval is that of the largest M, widened
    by one pair while pairs are left: smaller M give narrower ones (checked against the union over
    all M in the tests).
    """
    ties = np.asarray(n_tie, dtype=np.int64)
    decisive = np.asarray(n_decisive, dtype=np.int64)
    most = n_population - ties
    size = np.maximum(most, 1)
    low, high = ppr_interval(n_agree, decisive, size, alpha)
    spare = np.where(most > decisive, 1.0 / size, 0.0)
    undefined = most <= 0
    low = np.where(undefined, 0.0, np.maximum(low - spare, 0.0))
    high = np.where(undefined, 1.0, np.minimum(high + spare, 1.0))
    return low, high


def _outermost(agree: IntArray, labels: IntArray, population: IntArray, alpha: float) -> IntArray:
    """The smallest K that the sequence keeps, by bisection: the likelihood of K has one mode."""
    smallest, largest = agree, population - (labels - agree)
    mode = (population + 1) * agree // np.maximum(labels, 1)
    high = np.where(labels > 0, np.clip(mode, smallest, largest), smallest)
    low = smallest.copy()
    while np.any(low < high):
        middle = (low + high) // 2
        kept = _log_posterior_ratio(middle, agree, labels, population) > math.log(alpha)
        high = np.where(kept, middle, high)
        low = np.where(kept, low, np.minimum(middle + 1, high))
    return np.asarray(high)


def _log_posterior_ratio(
    k: IntArray, agree: IntArray, labels: IntArray, population: IntArray
) -> FloatArray:
    """Log posterior(K) / prior(K): the hypergeometric chance of the counts, times labels + 1.

    A uniform prior on K makes every count of agreements equally likely, 1 / (labels + 1).
    """
    return np.asarray(
        np.log(labels + 1.0)
        + _log_choose(k, agree)
        + _log_choose(population - k, labels - agree)
        - _log_choose(population, labels)
    )


def _log_choose(n: IntArray, k: IntArray) -> FloatArray:
    return np.asarray(gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0))
