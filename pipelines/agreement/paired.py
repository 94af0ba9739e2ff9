"""Two judges on the same pairs: does one agree with people more often than the other?

Only the pairs on which exactly one of them is right say anything. Pairs that share a prompt are one
piece of evidence: the test flips whole prompts, the interval sums within them.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from pipelines.agreement.annotations import FloatArray, IntArray
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import (
    Clusters,
    check_confidence,
    mean_of,
    wilson_bounds,
)
from pipelines.errors import BadInput, Undefined


@dataclass(frozen=True)
class PairedComparison:
    """First against second on n common units."""

    n: int
    n_first_better: int  # only the first is right
    n_second_better: int
    first: Estimate
    second: Estimate
    difference: Estimate  # first - second, between -1 and 1
    p_value: float  # two-sided, exact

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def compare_paired(
    first: FloatArray,
    second: FloatArray,
    prompt: IntArray,
    *,
    confidence: float = 0.95,
) -> PairedComparison:
    """Compare two judges that were asked about the same units.

    Args:
        first: The first judge's points: 1 where it agrees with people, 0 where it does not, 1/2
            where it left that to a coin. Shape (n_units,).
        second: The second judge's points, same shape.
        prompt: Prompt codes, same shape; equal codes are one cluster.
        confidence: Level of the intervals.

    Raises:
        BadInput: The arrays differ in length, or hold other points.
        Undefined: No units.
    """
    if not len(first) == len(second) == len(prompt):
        raise BadInput("both judges must be compared on the same pairs; give equal lengths")
    if len(first) == 0:
        raise Undefined("the judges share no labelled pair, so there is nothing to compare")
    halves = np.stack([2.0 * first, 2.0 * second])
    if not np.isin(halves, (0.0, 1.0, 2.0)).all():
        raise BadInput("a judge's points on a pair are 0, 1/2 or 1; leave failures out first")
    clusters = Clusters.of(prompt)
    gap = first - second
    if clusters.repeated or (halves == 1.0).any():
        difference = _adjusted_difference(gap, clusters, confidence)
    else:
        cells = np.bincount((first + 2.0 * second).astype(np.int64), minlength=4)
        neither, only_first, only_second, both = (int(count) for count in cells)
        difference = newcombe_paired(both, only_first, only_second, neither, confidence)
    totals = np.bincount(clusters.code, halves[0] - halves[1], minlength=clusters.n_clusters)
    return PairedComparison(
        n=len(first),
        n_first_better=int((gap > 0).sum()),
        n_second_better=int((gap < 0).sum()),
        first=mean_of(first, clusters, confidence=confidence),
        second=mean_of(second, clusters, confidence=confidence),
        difference=difference,
        p_value=sign_flip_p(np.rint(totals).astype(np.int64)),
    )


def sign_flip_p(totals: IntArray) -> float:
    """Two-sided p of a sum of whole numbers of which each could as well have had the other sign.

    Exact: the sum's distribution over all sign patterns is convolved out, one binomial for each
    size of number. With all numbers 1 or -1 this is McNemar's exact test (1947,
    doi:10.1007/BF02295996); with a number a prompt (right answers of one judge more than of the
    other) it is that test for clustered pairs. 1 when all numbers are 0.

    Args:
        totals: Shape (n_clusters,).
    """
    sizes, counts = np.unique(np.abs(totals[totals != 0]), return_counts=True)
    if len(sizes) == 0:
        return 1.0
    # chance[k] is the chance of a sum of 2k - reach; the sum of all sizes moves in steps of 2.
    chance: FloatArray = np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        spread = np.zeros(size * count + 1)
        spread[::size] = stats.binom.pmf(np.arange(count + 1), count, 0.5)
        chance = np.convolve(chance, spread)
    reach = len(chance) - 1
    sums = 2 * np.arange(reach + 1) - reach
    return float(min(1.0, chance[np.abs(sums) >= abs(int(totals.sum()))].sum()))


def newcombe_paired(
    both: int, only_first: int, only_second: int, neither: int, confidence: float = 0.95
) -> Estimate:
    """The difference of two paired shares with Newcombe's interval (his method 10).

    Wilson's interval of each share, combined by square-and-add with the pairs' correlation. It
    keeps a width when no pair is discordant, where the usual one has none.

    Raises:
        Undefined: No pairs.
    Source: Newcombe (1998), doi:10.1002/(SICI)1097-0258(19981130)17:22<2635::AID-SIM954>3.0.CO;2-C.
    """
    n = both + only_first + only_second + neither
    if n == 0:
        raise Undefined("the difference of two shares of no pairs is undefined")
    check_confidence(confidence)
    critical = float(stats.norm.ppf(0.5 + confidence / 2.0))
    first, second = (both + only_first) / n, (both + only_second) / n
    low_1, high_1 = wilson_bounds(first, n, critical)
    low_2, high_2 = wilson_bounds(second, n, critical)
    phi = _phi(both, only_first, only_second, neither)

    def reach(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one * one - 2.0 * phi * one * other + other * other))

    gap = first - second
    low = gap - reach(first - low_1, high_2 - second)
    high = gap + reach(second - low_2, high_1 - first)
    return Estimate(gap, max(-1.0, low), min(1.0, high), "newcombe", n)


def _adjusted_difference(gap: FloatArray, clusters: Clusters, confidence: float) -> Estimate:
    """The mean gap, with prompts as units and one made-up pair for each judge.

    The two made-up pairs are Bonett and Price's: without them a few discordant pairs give an
    interval that is too short, and none gives one without a width. Theirs is for independent
    pairs; here the gaps are summed within a prompt first.

    Source: Bonett and Price (2012), doi:10.3102/1076998611411915.
    """
    check_confidence(confidence)
    n, g = len(gap), clusters.n_clusters
    mean = float(gap.mean())
    method = "cluster" if clusters.repeated else "bonett-price"
    if g < 2:
        return Estimate(mean, -1.0, 1.0, method, n)
    centre = float(gap.sum()) / (n + 2)
    totals = np.bincount(clusters.code, gap - centre, minlength=g)
    squares = float(np.square(totals).sum()) + (1.0 - centre) ** 2 + (1.0 + centre) ** 2
    error = math.sqrt(squares * g / (g - 1)) / (n + 2)
    tail = 0.5 + confidence / 2.0
    critical = float(stats.t.ppf(tail, g - 1) if clusters.repeated else stats.norm.ppf(tail))
    low, high = min(mean, centre - critical * error), max(mean, centre + critical * error)
    return Estimate(mean, max(-1.0, low), min(1.0, high), method, n)


def _phi(both: int, only_first: int, only_second: int, neither: int) -> float:
    """The pairs' correlation as method 10 takes it: a positive one is continuity-corrected."""
    margins = (
        (both + only_first)
        * (only_second + neither)
        * (both + only_second)
        * (only_first + neither)
    )
    if margins == 0:
        return 0.0
    n = both + only_first + only_second + neither
    cross = both * neither - only_first * only_second
    if cross > 0:
        return max(cross - n / 2.0, 0.0) / math.sqrt(margins)
    return cross / math.sqrt(margins)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for being looked at together: all errors of 5% stay under 5% in all.

    Source: Holm (1979), Scandinavian Journal of Statistics 6, 65-70.
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted
