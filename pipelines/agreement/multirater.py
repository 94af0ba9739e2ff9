"""Agreement among any number of raters, with missing ratings: Fleiss, Krippendorff, Gwet.

All read a matrix of counts: row = unit (a pair), column = category, entry = how many raters put
the unit there. Units with fewer than two ratings say nothing about agreement; Fleiss' kappa and
alpha leave them out, AC1 still learns the prevalence of the categories from them.
"""

from collections.abc import Callable

import numpy as np

from pipelines.agreement.annotations import FloatArray, IntArray
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import Clusters, from_influence, mean_of
from pipelines.errors import Undefined


def count_matrix(unit: IntArray, category: IntArray, n_units: int, n_categories: int) -> IntArray:
    """Counts of shape (n_units, n_categories) from ratings in long form, shape (n_ratings,)."""
    cells = unit.astype(np.int64) * n_categories + category
    counts = np.bincount(cells, minlength=n_units * n_categories)
    return counts.reshape(n_units, n_categories)


def pairwise_agreement(
    counts: IntArray,
    clusters: Clusters | None = None,
    *,
    weights: FloatArray | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """The mean, over units, of the share of its pairs of raters that agree: the human ceiling."""
    rated, groups = _rated_twice(counts, clusters)
    return mean_of(_unit_agreement(rated, weights), groups, confidence=confidence)


def fleiss_kappa(
    counts: IntArray,
    clusters: Clusters | None = None,
    *,
    weights: FloatArray | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Fleiss' kappa; where units have different numbers of ratings every unit weighs the same.

    Raises:
        Undefined: No unit with two ratings, or one category throughout.
    Source: Fleiss (1971), doi:10.1037/h0031619.
    """
    rated, groups = _rated_twice(counts, clusters)
    w = np.eye(counts.shape[1]) if weights is None else weights
    agreed = _unit_agreement(rated, weights)
    shares = rated / rated.sum(axis=1, keepdims=True)
    prevalence = shares.mean(axis=0)
    expected_credit = w @ prevalence
    expected = float(prevalence @ expected_credit)
    if 1.0 - expected < 1e-12:
        raise Undefined("Fleiss' kappa is undefined: all ratings are one same category")
    moved = 2.0 * (shares @ expected_credit - expected)
    return _chance_corrected(agreed, expected, moved, groups, confidence)


def gwet_ac1(
    counts: IntArray,
    clusters: Clusters | None = None,
    *,
    weights: FloatArray | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Gwet's AC1 (with weights: AC2) over the categories that occur.

    Raises:
        Undefined: No unit with two ratings, or one category throughout.
    Source: Gwet (2008), doi:10.1348/000711006X126600; its variance is the one used here.
    """
    n_ratings = counts.sum(axis=1)
    if not bool(np.any(n_ratings >= 2)):
        raise Undefined("no unit has two ratings")
    present = n_ratings > 0
    counts, n_ratings = counts[present], n_ratings[present]
    groups = None if clusters is None else Clusters.of(clusters.code[present])
    used = counts.sum(axis=0) > 0
    n_used = int(used.sum())
    if n_used < 2:
        raise Undefined("AC1 is undefined: only one category was used")
    w = np.eye(counts.shape[1]) if weights is None else weights
    scale = float(w[np.ix_(used, used)].sum()) / (n_used * (n_used - 1))
    shares = counts / n_ratings[:, None]
    prevalence = shares.mean(axis=0)
    slope = scale * (1.0 - prevalence)
    expected = float(slope @ prevalence)
    twice = n_ratings >= 2
    # A unit with one rating has no agreement: it counts in the prevalence alone.
    agreed = np.zeros(len(counts))
    agreed[twice] = _unit_agreement(counts[twice], weights)
    observed = float(agreed[twice].mean())
    value = (observed - expected) / (1.0 - expected)
    own = np.where(twice, agreed - observed, 0.0) * len(counts) / int(twice.sum())
    gradient = scale * (1.0 - 2.0 * prevalence)
    moved = shares @ gradient - float(gradient @ prevalence)
    influence = (own - (1.0 - value) * moved) / (1.0 - expected)
    estimate = from_influence(
        value, influence, groups, bounds=(-1.0, 1.0), confidence=confidence, chance=expected
    )
    return Estimate(value, estimate.low, estimate.high, estimate.method, int(twice.sum()))


def krippendorff_alpha(
    counts: IntArray,
    clusters: Clusters | None = None,
    *,
    distance: FloatArray | Callable[[IntArray], FloatArray] | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Krippendorff's alpha, 1 - observed / expected disagreement.

    Args:
        counts: Shape (n_units, n_categories).
        clusters: The units' clusters.
        distance: Disagreement between categories, shape (n_categories, n_categories), 0 on the
            diagonal, or a function of the category totals (`ordinal_distance`); nominal when
            left out. An interval takes the distance as given.
        confidence: Level of the interval.

    Raises:
        Undefined: No unit with two ratings, or one category throughout.
    Source: Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability".
    """
    rated, groups = _rated_twice(counts, clusters)
    totals = rated.sum(axis=0)
    if distance is None:
        delta: FloatArray = 1.0 - np.eye(counts.shape[1])
    else:
        delta = distance(totals) if callable(distance) else distance
    n_ratings = rated.sum(axis=1)
    n = float(n_ratings.sum())
    within = ((rated @ delta) * rated).sum(axis=1) / (n_ratings - 1)
    spread = delta @ totals
    between = float(totals @ spread)
    if between <= 0.0:
        raise Undefined("alpha is undefined: all ratings are one same category")
    observed, expected = float(within.sum()) / n, between / (n * (n - 1.0))
    value = 1.0 - observed / expected
    observed_moved = (within - observed * n_ratings) / n
    expected_moved = (2.0 * rated @ spread - between * (2 * n - 1) / (n * (n - 1)) * n_ratings) / (
        n * (n - 1)
    )
    influence = len(rated) * (-observed_moved / expected + observed / expected**2 * expected_moved)
    return from_influence(
        value,
        influence - influence.mean(),
        groups,
        bounds=(-1.0, 1.0),
        confidence=confidence,
        chance=max(0.0, 1.0 - expected),
    )


def ordinal_distance(totals: IntArray) -> FloatArray:
    """Krippendorff's ordinal metric for categories in order, shape (n_categories, n_categories)."""
    upto = np.cumsum(totals) - totals / 2.0  # ratings below a category, plus half of its own
    return np.asarray(np.square(upto[:, None] - upto[None, :]), dtype=np.float64)


def _rated_twice(counts: IntArray, clusters: Clusters | None) -> tuple[IntArray, Clusters | None]:
    twice = counts.sum(axis=1) >= 2
    if not bool(twice.any()):
        raise Undefined("no unit has two ratings")
    return counts[twice], None if clusters is None else Clusters.of(clusters.code[twice])


def _unit_agreement(counts: IntArray, weights: FloatArray | None) -> FloatArray:
    """Share of agreeing pairs of raters within each unit, shape (n_units,)."""
    n_ratings = counts.sum(axis=1)
    credited = counts if weights is None else counts @ weights
    pairs = (counts * (credited - 1.0)).sum(axis=1)
    return np.asarray(pairs / (n_ratings * (n_ratings - 1)), dtype=np.float64)


def _chance_corrected(
    agreed: FloatArray,
    expected: float,
    expected_moved: FloatArray,
    clusters: Clusters | None,
    confidence: float,
) -> Estimate:
    observed = float(agreed.mean())
    value = (observed - expected) / (1.0 - expected)
    influence = (agreed - observed - (1.0 - value) * expected_moved) / (1.0 - expected)
    return from_influence(
        value, influence, clusters, bounds=(-1.0, 1.0), confidence=confidence, chance=expected
    )
