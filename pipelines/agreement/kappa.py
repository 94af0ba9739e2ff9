"""Agreement of two raters on the same pairs: raw, Cohen's kappa, Gwet's AC1.

All read a square table of counts (rows: first rater, columns: second) and a weight matrix: the
credit for each combination of categories. The identity is strict agreement; `HALF_CREDIT` gives
half a point where one rater says tie and the other does not. The influence matrix of a statistic
says how much one more unit in a cell moves it.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipelines.agreement.annotations import LABEL_NAMES, FloatArray, IntArray
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import Clusters, from_influence, mean_of
from pipelines.errors import BadInput, Undefined

Ties = Literal["strict", "half", "drop"]

# A, B, tie as 0, 1, 1/2 of a win: a tie against a decision is half a disagreement, which is
# linearly weighted agreement. The fourth category, a failure that counts as wrong, earns nothing.
HALF_CREDIT: FloatArray = np.array(
    [[1.0, 0.0, 0.5, 0.0], [0.0, 1.0, 0.5, 0.0], [0.5, 0.5, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)


@dataclass(frozen=True)
class TableStatistic:
    """A statistic of a table of counts, with what its standard error needs."""

    value: float
    influence: FloatArray  # (n_categories, n_categories); its mean over the units is 0
    chance: float  # the agreement expected by chance

    def standard_error(self, table: IntArray) -> float:
        """Standard error for independent units; for kappa Fleiss, Cohen and Everitt (1969)."""
        total = float(table.sum())
        return float(np.sqrt((table * np.square(self.influence)).sum())) / total


def credit(ties: Ties, n_categories: int) -> FloatArray:
    """The weight matrix, shape (n_categories, n_categories), of a way to count ties."""
    if ties == "half":
        return HALF_CREDIT[:n_categories, :n_categories]
    return np.eye(n_categories)


def crosstab(first: IntArray, second: IntArray, n_categories: int = 3) -> IntArray:
    """Counts of each combination: shape (n_categories, n_categories), rows are `first`."""
    cells = _cells(first, second, n_categories)
    counts = np.bincount(cells, minlength=n_categories**2)
    return counts.reshape(n_categories, n_categories)


def kappa_of_table(table: IntArray, weights: FloatArray | None = None) -> TableStatistic:
    """Cohen's (weighted) kappa, (po - pe) / (1 - pe).

    Raises:
        Undefined: No units, or both raters used one same category throughout.
    Source: Cohen (1960), doi:10.1177/001316446002000104.
    """
    shares, w = _shares(table), _weights(weights, len(table))
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    observed = float((w * shares).sum())
    row_credit, column_credit = w @ columns, w.T @ rows  # expected credit of a row, of a column
    expected = float(rows @ row_credit)
    if 1.0 - expected < 1e-12:
        raise Undefined("kappa is undefined: both raters used one same category throughout")
    value = (observed - expected) / (1.0 - expected)
    moved = row_credit[:, None] + column_credit[None, :] - 2.0 * expected
    influence = (w - observed - (1.0 - value) * moved) / (1.0 - expected)
    return TableStatistic(value, influence, expected)


def ac1_of_table(
    table: IntArray, weights: FloatArray | None = None, n_labels: int | None = None
) -> TableStatistic:
    """Gwet's AC1 (with weights: AC2) over the categories that either rater used.

    Args:
        table: Counts, shape (n_categories, n_categories).
        weights: Credit, same shape.
        n_labels: Categories from this one on are failures that count as wrong: they agree with
            nothing by chance either. (As categories they would *raise* AC1.)

    Raises:
        Undefined: No units, or only one category was used.
    Source: Gwet (2008), doi:10.1348/000711006X126600.
    """
    shares, w = _shares(table), _weights(weights, len(table))
    prevalence = (shares.sum(axis=0) + shares.sum(axis=1)) / 2.0
    label = np.arange(len(table)) < (n_labels or len(table))
    used = (prevalence > 0) & label
    n_used = int(used.sum())
    if n_used < 2:
        raise Undefined("AC1 is undefined: only one category was used")
    scale = float(w[np.ix_(used, used)].sum()) / (n_used * (n_used - 1))
    observed = float((w * shares).sum())
    expected = scale * float((prevalence * (1.0 - prevalence))[label].sum())
    value = (observed - expected) / (1.0 - expected)
    # of the expected agreement, by prevalence
    slope = np.where(label, scale * (1.0 - 2.0 * prevalence), 0.0)
    moved = (slope[:, None] + slope[None, :]) / 2.0 - float(slope @ prevalence)
    influence = (w - observed - (1.0 - value) * moved) / (1.0 - expected)
    return TableStatistic(value, influence, expected)


def agreement(
    first: IntArray,
    second: IntArray,
    clusters: Clusters | None = None,
    *,
    ties: Ties = "strict",
    confidence: float = 0.95,
) -> Estimate:
    """Raw agreement of two raters, codes of shape (n_units,); `drop` leaves out ties of either.

    Raises:
        Undefined: No units (left).
    """
    first, second, clusters = without_ties(first, second, clusters, ties)
    n_categories = _n_categories(first, second)
    scores = credit(ties, n_categories)[first, second]
    return mean_of(scores, clusters, confidence=confidence)


def cohen_kappa(
    first: IntArray,
    second: IntArray,
    clusters: Clusters | None = None,
    *,
    ties: Ties = "strict",
    confidence: float = 0.95,
) -> Estimate:
    """Cohen's kappa of two raters, codes of shape (n_units,), with a delta-method interval.

    Raises:
        Undefined: No units (left), or one same category throughout.
    """
    first, second, clusters = without_ties(first, second, clusters, ties)
    n_categories = _n_categories(first, second)
    table = crosstab(first, second, n_categories)
    statistic = kappa_of_table(table, credit(ties, n_categories))
    return estimate_of(statistic, first, second, clusters, confidence)


def gwet_ac1(
    first: IntArray,
    second: IntArray,
    clusters: Clusters | None = None,
    *,
    ties: Ties = "strict",
    confidence: float = 0.95,
) -> Estimate:
    """Gwet's AC1 of two raters, codes of shape (n_units,), with a delta-method interval.

    Raises:
        Undefined: No units (left), or only one category was used.
    """
    first, second, clusters = without_ties(first, second, clusters, ties)
    n_categories = _n_categories(first, second)
    table = crosstab(first, second, n_categories)
    statistic = ac1_of_table(table, credit(ties, n_categories), n_labels=len(LABEL_NAMES))
    return estimate_of(statistic, first, second, clusters, confidence)


def estimate_of(
    statistic: TableStatistic,
    first: IntArray,
    second: IntArray,
    clusters: Clusters | None,
    confidence: float,
) -> Estimate:
    """A chance-corrected statistic with the interval that its units and clusters imply."""
    return from_influence(
        statistic.value,
        statistic.influence[first, second],
        clusters,
        bounds=(-1.0, 1.0),
        confidence=confidence,
        chance=statistic.chance,
    )


def without_ties(
    first: IntArray, second: IntArray, clusters: Clusters | None, ties: Ties
) -> tuple[IntArray, IntArray, Clusters | None]:
    """The units that remain under `drop`: neither rater says tie; unchanged otherwise."""
    if ties != "drop":
        return first, second, clusters
    decisive = (first != 2) & (second != 2)
    kept = None if clusters is None else Clusters.of(clusters.code[decisive])
    return first[decisive], second[decisive], kept


def _n_categories(first: IntArray, second: IntArray) -> int:
    if len(first) == 0:
        raise Undefined("no units to compare")
    return max(3, int(first.max()) + 1, int(second.max()) + 1)


def _cells(first: IntArray, second: IntArray, n_categories: int) -> IntArray:
    if first.shape != second.shape:
        raise BadInput(f"two raters of {len(first)} and {len(second)} units cannot be compared")
    if len(first) and min(int(first.min()), int(second.min())) < 0:
        raise BadInput("a missing verdict (-1) cannot be compared; leave such units out first")
    return first.astype(np.int64) * n_categories + second


def _shares(table: IntArray) -> FloatArray:
    total = float(table.sum())
    if total <= 0:
        raise Undefined("no units to compare")
    return np.asarray(table, dtype=np.float64) / total


def _weights(weights: FloatArray | None, n_categories: int) -> FloatArray:
    return np.eye(n_categories) if weights is None else weights
