import math

import krippendorff
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.agreement import kappa
from pipelines.agreement.intervals import Clusters
from pipelines.agreement.multirater import (
    count_matrix,
    fleiss_kappa,
    gwet_ac1,
    krippendorff_alpha,
    ordinal_distance,
    pairwise_agreement,
)
from pipelines.errors import Undefined

# Four raters, twelve units, missing ratings: Krippendorff (2011), also raw4raters of irrCAC.
FOUR_RATERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]
# Fleiss' kappa, the worked example of Wikipedia: 14 raters, 10 subjects, 5 categories.
FLEISS = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]


def counts_of(raters):
    cells = [
        (unit, label - 1)
        for ratings in raters
        for unit, label in enumerate(ratings)
        if label is not None
    ]
    unit, label = np.array(cells).T
    return count_matrix(unit, label, len(raters[0]), 5)


def test_four_raters_with_missing_ratings_as_published():
    counts = counts_of(FOUR_RATERS)
    assert round(gwet_ac1(counts).estimate, 5) == 0.77544
    assert round(krippendorff_alpha(counts).estimate, 4) == 0.7434
    ordinal = krippendorff_alpha(counts, distance=ordinal_distance)
    assert round(ordinal.estimate, 3) == 0.815


def test_fleiss_kappa_as_in_the_worked_example():
    assert round(fleiss_kappa(np.array(FLEISS)).estimate, 4) == 0.2099


ratings = st.lists(
    st.lists(st.sampled_from([0, 1, 2, None]), min_size=3, max_size=3), min_size=3, max_size=30
)


@given(ratings)
def test_alpha_equals_the_krippendorff_library(table):
    numbers = np.array([[np.nan if x is None else x for x in row] for row in table]).T
    counts = np.array([[row.count(k) for k in range(3)] for row in table])
    rated = counts[counts.sum(axis=1) >= 2]
    if len(rated) == 0 or (rated.sum(axis=0) > 0).sum() < 2:
        with pytest.raises(Undefined):
            krippendorff_alpha(counts)
        return
    ours = krippendorff_alpha(counts).estimate
    theirs = krippendorff.alpha(numbers, level_of_measurement="nominal", value_domain=[0, 1, 2])
    assert math.isclose(ours, theirs, abs_tol=1e-9)


@given(ratings, st.permutations([0, 1, 2]))
def test_the_order_of_raters_and_the_names_of_labels_change_nothing(table, names):
    counts = np.array([[row.count(k) for k in range(3)] for row in table])
    for statistic in (fleiss_kappa, gwet_ac1, krippendorff_alpha, pairwise_agreement):
        try:
            once = statistic(counts)
        except Undefined:
            continue
        again = statistic(counts[:, names])
        assert math.isclose(once.estimate, again.estimate, abs_tol=1e-9)
        assert math.isclose(once.low, again.low, abs_tol=1e-6)
        assert once.low <= once.estimate + 1e-9
        assert once.estimate <= once.high + 1e-9


def two_raters(seed, n=300):
    rng = np.random.default_rng(seed)
    first = rng.choice(3, size=n, p=[0.5, 0.35, 0.15])
    second = np.where(rng.random(n) < 0.7, first, rng.choice(3, size=n))
    return first, second, np.eye(3, dtype=int)[first] + np.eye(3, dtype=int)[second]


@pytest.mark.parametrize("ties", ["strict", "half"])
def test_two_raters_agree_with_the_statistics_of_a_table(ties):
    first, second, counts = two_raters(0)
    weights = kappa.credit(ties, 3)
    for many, two in ((pairwise_agreement, kappa.agreement), (gwet_ac1, kappa.gwet_ac1)):
        ours, theirs = many(counts, weights=weights), two(first, second, ties=ties)
        assert math.isclose(ours.estimate, theirs.estimate)
        assert math.isclose(ours.low, theirs.low)
        assert math.isclose(ours.high, theirs.high)


STATISTICS = [pairwise_agreement, fleiss_kappa, gwet_ac1, krippendorff_alpha]


def incomplete(rng, n_units, agree=0.75):
    """Units with one to four ratings around a common truth."""
    truth = rng.choice(3, size=n_units, p=[0.5, 0.35, 0.15])
    n_ratings = rng.integers(1, 5, n_units)
    unit = np.repeat(np.arange(n_units), n_ratings)
    right = rng.random(len(unit)) < agree
    label = np.where(right, truth[unit], rng.choice(3, size=len(unit)))
    return count_matrix(unit, label, n_units, 3)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_the_linearised_error_is_that_of_the_jackknife(statistic):
    counts = incomplete(np.random.default_rng(1), 300)
    if statistic is not gwet_ac1:
        counts = counts[counts.sum(axis=1) >= 2]
    n = len(counts)
    values = np.array([statistic(np.delete(counts, k, axis=0)).estimate for k in range(n)])
    slow = math.sqrt((n - 1) / n * ((values - values.mean()) ** 2).sum())
    interval = statistic(counts)
    fast = (interval.high - interval.low) / (2 * 1.96)
    assert abs(fast / slow - 1) < 0.05


@pytest.mark.parametrize("statistic", STATISTICS)
def test_intervals_cover_95_percent(statistic):
    rng = np.random.default_rng(2)
    truth = statistic(incomplete(rng, 200_000)).estimate
    hits = []
    for _ in range(400):
        interval = statistic(incomplete(rng, 120))
        hits.append(interval.low <= truth <= interval.high)
    assert 0.92 <= np.mean(hits) <= 0.98


def test_clustered_intervals_cover_95_percent_where_unclustered_ones_do_not():
    rng = np.random.default_rng(3)
    code = np.repeat(np.arange(50), 5)

    def sample(n_prompts):
        ease = np.repeat(np.where(rng.random(n_prompts) < 0.5, 0.5, 1.0), 5)
        truth = rng.integers(0, 2, 5 * n_prompts)
        votes = [
            np.where(rng.random(len(truth)) < (1 + ease) / 2, truth, 1 - truth) for _ in range(3)
        ]
        return sum(np.eye(3, dtype=int)[vote] for vote in votes)

    truth = krippendorff_alpha(sample(50_000)).estimate
    hits, naive_hits = [], []
    for _ in range(400):
        counts = sample(50)
        clustered, naive = krippendorff_alpha(counts, Clusters.of(code)), krippendorff_alpha(counts)
        assert clustered.method == "cluster"
        hits.append(clustered.low <= truth <= clustered.high)
        naive_hits.append(naive.low <= truth <= naive.high)
    assert 0.92 <= np.mean(hits) <= 0.98
    assert np.mean(naive_hits) < 0.91


def test_nobody_rated_twice_is_undefined():
    for statistic in STATISTICS:
        with pytest.raises(Undefined):
            statistic(np.eye(3, dtype=int))


def test_one_label_throughout_is_perfect_agreement_but_no_chance_corrected_one():
    counts = np.array([[2, 0, 0], [3, 0, 0]])
    assert pairwise_agreement(counts).estimate == 1.0
    for statistic in (fleiss_kappa, gwet_ac1, krippendorff_alpha):
        with pytest.raises(Undefined):
            statistic(counts)
