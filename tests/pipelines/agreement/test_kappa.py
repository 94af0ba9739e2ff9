import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from pipelines.agreement.intervals import Clusters
from pipelines.agreement.kappa import (
    HALF_CREDIT,
    ac1_of_table,
    agreement,
    cohen_kappa,
    crosstab,
    gwet_ac1,
    kappa_of_table,
)
from pipelines.errors import BadInput, Undefined

# cont3x3abstractors of the R package irrCAC (Gwet 2014): kappa, its SE, AC1 and its SE published.
ABSTRACTORS = np.array([[13, 0, 0], [0, 20, 7], [0, 4, 56]])
# Gwet's paradox: 118 agree on one category, none on the other.
SKEWED = np.array([[118, 5], [2, 0]])

codes = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=4, max_size=60)


def units(table):
    """Two arrays of codes with that table."""
    first, second = np.indices(table.shape)
    return np.repeat(first.ravel(), table.ravel()), np.repeat(second.ravel(), table.ravel())


def test_kappa_by_hand():
    # observed 3/4; expected 1/2·1/4 + 1/2·3/4 = 1/2; kappa = (1/4)/(1/2)
    assert cohen_kappa(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])).estimate == 1 / 2


def test_kappa_and_its_standard_error_as_published():
    statistic = kappa_of_table(ABSTRACTORS)
    assert round(statistic.value, 6) == 0.796409
    assert round(statistic.standard_error(ABSTRACTORS), 6) == 0.058911


def test_ac1_and_its_standard_error_as_published():
    statistic = ac1_of_table(ABSTRACTORS)
    assert round(statistic.value, 6) == 0.849331
    assert abs(statistic.standard_error(ABSTRACTORS) - 0.04321747) < 5e-6


def test_kappa_collapses_under_skewed_prevalence_and_ac1_does_not():
    first, second = units(SKEWED)
    assert round(cohen_kappa(first, second).estimate, 4) == -0.0234
    assert round(gwet_ac1(first, second).estimate, 4) == 0.9408


@given(codes)
def test_kappa_equals_scikit_learns(pairs):
    first, second = np.array(pairs).T
    try:
        ours = cohen_kappa(first, second).estimate
    except Undefined:
        assert len(set(first) | set(second)) == 1
        return
    assert math.isclose(ours, cohen_kappa_score(first, second), abs_tol=1e-12)


@given(codes, st.permutations([0, 1, 2]))
def test_renaming_the_labels_and_swapping_the_raters_change_nothing(pairs, names):
    first, second = np.array(pairs).T
    renamed = np.array(names)
    for statistic in (agreement, cohen_kappa, gwet_ac1):
        try:
            once = statistic(first, second)
        except Undefined:
            continue
        again = statistic(renamed[second], renamed[first])
        assert math.isclose(once.estimate, again.estimate, abs_tol=1e-9)
        assert math.isclose(once.low, again.low, abs_tol=1e-6)
        assert math.isclose(once.high, again.high, abs_tol=1e-6)


@given(codes)
def test_half_credit_does_not_care_which_response_is_called_a(pairs):
    first, second = np.array(pairs).T
    swapped = np.array([1, 0, 2])
    for statistic in (agreement, cohen_kappa, gwet_ac1):
        try:
            once = statistic(first, second, ties="half").estimate
        except Undefined:
            continue
        again = statistic(swapped[first], swapped[second], ties="half").estimate
        assert math.isclose(once, again, abs_tol=1e-9)


def test_half_credit_is_linearly_weighted_kappa():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 3, 200)
    second = np.where(rng.random(200) < 0.6, first, rng.integers(0, 3, 200))
    in_order = np.array([0, 2, 1])  # A, tie, B stand in a line
    oracle = cohen_kappa_score(in_order[first], in_order[second], weights="linear")
    assert math.isclose(cohen_kappa(first, second, ties="half").estimate, oracle)


def test_raw_agreement_by_way_of_counting_ties():
    # A-A, A-tie, tie-tie, B-A: strict 2 of 4; half 2.5 of 4; drop 1 of 2 (A-A and B-A remain).
    first, second = np.array([0, 0, 2, 1]), np.array([0, 2, 2, 0])
    assert agreement(first, second).estimate == 0.5
    assert agreement(first, second, ties="half").estimate == 0.625
    dropped = agreement(first, second, ties="drop")
    assert (dropped.estimate, dropped.n) == (0.5, 2)


def test_a_failure_that_counts_as_wrong_never_raises_a_coefficient():
    rng = np.random.default_rng(1)
    human = rng.integers(0, 3, 400)
    judge = np.where(rng.random(400) < 0.7, human, rng.integers(0, 3, 400))
    failed = judge.copy()
    failed[:40] = 3
    for statistic in (agreement, cohen_kappa, gwet_ac1):
        assert statistic(human, failed).estimate < statistic(human, judge).estimate
        assert statistic(human, failed).estimate < statistic(human[40:], judge[40:]).estimate
    assert HALF_CREDIT[3, :3].sum() == 0


def test_undefined_is_an_error_and_not_a_number():
    same = np.zeros(5, dtype=int)
    with pytest.raises(Undefined):
        cohen_kappa(same, same)
    with pytest.raises(Undefined):
        gwet_ac1(same, same)
    with pytest.raises(Undefined):
        agreement(same[:0], same[:0])
    with pytest.raises(BadInput, match="missing verdict"):
        crosstab(np.array([0, -1]), np.array([0, 0]))
    with pytest.raises(BadInput, match="2 and 3 units"):
        crosstab(np.array([0, 1]), np.array([0, 0, 0]))


def delete_one_error(statistic, table):
    """The slow definition: the jackknife, one unit of one cell left out at a time."""
    n = table.sum()
    left_out = []
    for cell in np.ndindex(table.shape):
        if table[cell]:
            rest = table.copy()
            rest[cell] -= 1
            left_out += [statistic(rest).value] * int(table[cell])
    values = np.array(left_out)
    return math.sqrt((n - 1) / n * ((values - values.mean()) ** 2).sum())


@pytest.mark.parametrize("statistic", [kappa_of_table, ac1_of_table])
@pytest.mark.parametrize("weights", [None, HALF_CREDIT[:3, :3]])
def test_the_linearised_error_is_that_of_the_jackknife(statistic, weights):
    table = np.array([[120, 20, 11], [15, 170, 9], [14, 8, 33]])
    fast = statistic(table, weights).standard_error(table)
    slow = delete_one_error(lambda rest: statistic(rest, weights), table)
    assert abs(fast / slow - 1) < 0.02


@pytest.mark.parametrize("statistic", [cohen_kappa, gwet_ac1])
def test_influence_values_sum_to_zero(statistic):
    table = kappa_of_table(ABSTRACTORS) if statistic is cohen_kappa else ac1_of_table(ABSTRACTORS)
    assert abs((ABSTRACTORS * table.influence).sum()) < 1e-9


@pytest.mark.parametrize(
    "chances",
    [
        [[0.41, 0.09], [0.09, 0.41]],
        [[0.85, 0.05], [0.05, 0.05]],
        [[0.40, 0.02, 0.01], [0.02, 0.42, 0.01], [0.01, 0.02, 0.09]],
    ],
)
def test_intervals_of_kappa_and_ac1_cover_95_percent(chances):
    rng = np.random.default_rng(2)
    chances = np.array(chances)
    size = len(chances)
    million = np.round(chances * 1e6).astype(int)
    for statistic, of_table in ((cohen_kappa, kappa_of_table), (gwet_ac1, ac1_of_table)):
        truth = of_table(million).value
        hits = []
        for counts in rng.multinomial(200, chances.ravel(), 600):
            interval = statistic(*units(counts.reshape(size, size)))
            hits.append(interval.low <= truth <= interval.high)
        assert 0.92 <= np.mean(hits) <= 0.98


def test_clustered_intervals_of_kappa_cover_95_percent_where_unclustered_ones_do_not():
    rng = np.random.default_rng(3)
    # Each prompt has its own chance of agreement, .55 or .95; four pairs a prompt, fair labels:
    # agreement .75, kappa .5.
    hits, naive_hits = [], []
    for _ in range(500):
        ease = np.repeat(np.where(rng.random(60) < 0.5, 0.55, 0.95), 6)
        code = np.repeat(np.arange(60), 6)
        first = rng.integers(0, 2, 360)
        second = np.where(rng.random(360) < ease, first, 1 - first)
        interval = cohen_kappa(first, second, Clusters.of(code))
        naive = cohen_kappa(first, second)
        hits.append(interval.low <= 0.5 <= interval.high)
        naive_hits.append(naive.low <= 0.5 <= naive.high)
    assert 0.93 <= np.mean(hits) <= 0.98
    assert np.mean(naive_hits) < 0.92


def test_perfect_agreement_of_few_pairs_is_no_certainty():
    labels = np.array([0, 1, 2, 0, 1, 0, 1, 1])
    for statistic in (cohen_kappa, gwet_ac1):
        interval = statistic(labels, labels)
        assert interval.estimate == 1.0
        assert interval.high == 1.0
        assert interval.low < 0.7


def test_perfect_agreement_on_a_rare_label_is_still_less_certain():
    balanced, rare = np.repeat([0, 1], 20), np.repeat([0, 1], [38, 2])
    assert cohen_kappa(rare, rare).low < cohen_kappa(balanced, balanced).low
