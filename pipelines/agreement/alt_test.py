"""The alternative annotator test: may the AI stand in for one of the people?

For annotator j on item i, the AI wins where it agrees with at least as many of the *other*
annotators as j does; j wins where the reverse holds. The AI may replace j when it wins nearly as
often, to within epsilon, which a one-sided t-test decides.
Source: Calderon, Reichart and Dror (2025), arXiv:2501.10970.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from pipelines.agreement.annotations import FloatArray, IntArray
from pipelines.agreement.multirater import count_matrix
from pipelines.agreement.reference import Votes
from pipelines.errors import Undefined


@dataclass(frozen=True)
class AltTest:
    """The outcome; the AI passes where omega is at least one half."""

    epsilon: float
    omega: float  # share of annotators that the AI may replace
    rho: float  # mean share of items on which the AI does at least as well
    annotators: tuple[int, ...]  # those tested: codes of the annotators
    p_values: tuple[float, ...]  # one each, before the Benjamini-Yekutieli correction

    def as_dict(self) -> dict[str, Any]:
        """The JSON form of DESIGN.md."""
        return {"epsilon": self.epsilon, "omega": self.omega, "rho": self.rho}


def alt_test(
    votes: Votes,
    ai_label: IntArray,
    *,
    epsilon: float = 0.2,
    rate: float = 0.05,
    min_items: int = 30,
) -> AltTest:
    """The test for one judge.

    Args:
        votes: Human labels, one per person and pair.
        ai_label: The judge's label of each pair, shape (n_pairs,); -1 leaves the pair out, a code
            that no human uses (3: a failure counted as wrong) agrees with nobody.
        epsilon: How much worse the AI may do; the paper's 0.2 is for experts' labels.
        rate: False discovery rate over the annotators.
        min_items: Annotators with fewer items are not tested.

    Raises:
        Undefined: No annotator shares `min_items` labelled pairs with another one.
    """
    answered = ai_label[votes.pair] >= 0
    pair, annotator, label = (
        votes.pair[answered],
        votes.annotator[answered],
        votes.label[answered],
    )
    _, unit = np.unique(pair, return_inverse=True)
    counts = count_matrix(unit, label, int(unit.max(initial=-1)) + 1, 4)
    shared = counts.sum(axis=1)[unit] >= 2
    unit, annotator, label, pair = unit[shared], annotator[shared], label[shared], pair[shared]
    ai = ai_label[pair].astype(np.int64)
    # How many of the others agree with the AI, and with this annotator; both have equal many.
    with_ai = counts[unit, ai] - (ai == label)
    with_human = counts[unit, label] - 1
    ai_wins, human_wins = with_ai >= with_human, with_human >= with_ai
    lead = human_wins.astype(np.float64) - ai_wins  # of the human, -1..1
    n_items = np.bincount(annotator)
    tested = np.flatnonzero(n_items >= min_items)
    if len(tested) == 0:
        raise Undefined(f"no annotator shares {min_items} labelled pairs with another one")
    n = n_items[tested].astype(np.float64)
    mean = np.bincount(annotator, weights=lead)[tested] / n
    square = np.bincount(annotator, weights=lead * lead)[tested].astype(np.float64)
    wins = np.bincount(annotator, weights=ai_wins)[tested] / n
    p_values = _p_below(mean, square, n, epsilon)
    return AltTest(
        epsilon=epsilon,
        omega=float(benjamini_yekutieli(p_values, rate).mean()),
        rho=float(wins.mean()),
        annotators=tuple(int(code) for code in tested),
        p_values=tuple(float(p) for p in p_values),
    )


def benjamini_yekutieli(p_values: FloatArray, rate: float) -> FloatArray:
    """Which hypotheses are rejected (1.0, else 0.0) at that false discovery rate, shape (m,).

    Valid under any dependence. Source: Benjamini and Yekutieli (2001), doi:10.1214/aos/1013699998.
    """
    m = len(p_values)
    order = np.argsort(p_values)
    ranks = np.arange(1, m + 1)
    line = ranks / m * rate / (1.0 / ranks).sum()
    below = np.flatnonzero(p_values[order] <= line)
    rejected = np.zeros(m)
    if len(below):
        rejected[order[: below[-1] + 1]] = 1.0
    return rejected


def _p_below(mean: FloatArray, square: FloatArray, n: FloatArray, epsilon: float) -> FloatArray:
    """P-values of one-sided t-tests of a mean below epsilon, from means and sums of squares."""
    variance = np.maximum(0.0, square - n * mean * mean) / np.maximum(1.0, n - 1.0)
    error = np.sqrt(variance / n)
    constant = error < 1e-12  # every item the same: the sample decides alone
    t = (mean - epsilon) / np.where(constant, 1.0, error)
    p = np.asarray(stats.t.cdf(t, np.maximum(1.0, n - 1.0)))
    return np.where(constant, np.where(mean < epsilon, 0.0, 1.0), p)
