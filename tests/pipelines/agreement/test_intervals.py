import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipelines.agreement.intervals import (
    Clusters,
    clopper_pearson,
    from_influence,
    hypergeometric_interval,
    mean_of,
    standard_error,
    wilson,
    wilson_bounds,
)
from pipelines.errors import BadInput, Undefined

counts = st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def test_wilson_and_clopper_pearson_of_81_in_263():
    # Newcombe (1998), Statistics in Medicine 17, table I: 81/263, Wilson and exact.
    score, exact = wilson(81, 263), clopper_pearson(81, 263)
    assert (round(score.low, 4), round(score.high, 4)) == (0.2553, 0.3662)
    assert (round(exact.low, 4), round(exact.high, 4)) == (0.2527, 0.3676)
    assert score.n == exact.n == 263


def test_wilson_and_clopper_pearson_of_170_in_200():
    score, exact = wilson(170, 200), clopper_pearson(170, 200)
    assert (round(score.low, 5), round(score.high, 5)) == (0.79394, 0.89286)
    assert (round(exact.low, 5), round(exact.high, 5)) == (0.79284, 0.89645)


def test_wilson_of_a_sample_from_a_finite_population():
    sample = wilson(1700, 2000, n_population=20000)
    assert (round(sample.low, 5), round(sample.high, 5)) == (0.83455, 0.86424)
    assert sample.method == "wilson-fpc"


def test_a_population_that_was_drawn_whole_leaves_no_doubt():
    whole = wilson(17, 20, n_population=20)
    assert (whole.low, whole.high) == (0.85, 0.85)
    exact = hypergeometric_interval(17, 20, 20)
    assert (exact.low, exact.high) == (0.85, 0.85)


def test_hypergeometric_intervals_of_the_worked_examples():
    large, small = hypergeometric_interval(170, 200, 20000), hypergeometric_interval(85, 100, 500)
    assert (large.low, large.high) == (0.79315, 0.8962)
    assert (small.low, small.high) == (0.774, 0.906)


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_bisection_finds_the_counts_that_a_scan_of_all_finds(case):
    successes, n = case
    n_population = 2 * n + 7
    every = np.arange(successes, n_population - (n - successes) + 1)
    kept = every[
        (stats.hypergeom.sf(successes - 1, n_population, every, n) > 0.025)
        & (stats.hypergeom.cdf(successes, n_population, every, n) > 0.025)
    ]
    interval = hypergeometric_interval(successes, n, n_population)
    assert interval.low == kept.min() / n_population
    assert interval.high == kept.max() / n_population


@given(counts)
def test_counting_failures_instead_mirrors_the_interval(case):
    successes, n = case
    for method in (wilson, clopper_pearson):
        one, other = method(successes, n), method(n - successes, n)
        assert math.isclose(one.low, 1 - other.high, abs_tol=1e-9)
        assert 0 <= one.low <= one.estimate <= one.high <= 1


@given(counts)
def test_the_exact_interval_is_within_every_wider_confidence(case):
    narrow, wide = clopper_pearson(*case, confidence=0.8), clopper_pearson(*case, confidence=0.99)
    assert wide.low <= narrow.low
    assert narrow.high <= wide.high


def test_no_units_is_undefined_and_a_bad_count_is_an_error():
    with pytest.raises(Undefined):
        wilson(0, 0)
    with pytest.raises(Undefined):
        mean_of(np.zeros(0))
    with pytest.raises(BadInput, match="7 of 5"):
        wilson(7, 5)
    with pytest.raises(BadInput, match="population of 4"):
        hypergeometric_interval(2, 5, 4)
    with pytest.raises(BadInput, match="confidence is 95"):
        wilson(1, 2, confidence=95)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_intervals_of_independent_shares_cover_95_percent(share):
    # Exact coverage, no simulation: the binomial probability of the counts that cover.
    n = 200
    weight = stats.binom.pmf(np.arange(n + 1), n, share)
    for method, least in ((wilson, 0.93), (clopper_pearson, 0.95)):
        ends = [method(k, n) for k in range(n + 1)]
        covered = np.array([e.low <= share <= e.high for e in ends])
        assert least <= weight @ covered <= 0.985


def test_intervals_of_a_finite_population_cover_95_percent():
    n, n_population, n_good = 100, 500, 425
    weight = stats.hypergeom.pmf(np.arange(n + 1), n_population, n_good, n)
    share = n_good / n_population
    exact = [hypergeometric_interval(k, n, n_population) for k in range(60, n + 1)]
    score = [wilson(k, n, n_population=n_population) for k in range(60, n + 1)]
    assert weight[60:] @ [e.low <= share <= e.high for e in exact] >= 0.95
    assert 0.93 <= weight[60:] @ [e.low <= share <= e.high for e in score] <= 0.98


def clustered_scores(rng, n_clusters, share, spread):
    """Scores whose success probability varies between clusters of 1 to 8 units."""
    sizes = rng.integers(1, 9, n_clusters)
    chance = rng.beta(share * spread, (1 - share) * spread, n_clusters)
    code = np.repeat(np.arange(n_clusters), sizes)
    return (rng.random(len(code)) < chance[code]).astype(float), code


@pytest.mark.parametrize(("n_clusters", "share"), [(40, 0.75), (150, 0.9)])
def test_clustered_intervals_cover_95_percent_where_unclustered_ones_do_not(n_clusters, share):
    rng = np.random.default_rng(1)
    hit_clustered, hit_naive = [], []
    for _ in range(800):
        scores, code = clustered_scores(rng, n_clusters, share, spread=1.0)
        clustered, naive = mean_of(scores, Clusters.of(code)), mean_of(scores)
        assert clustered.method == "cluster"
        assert naive.method == "wilson"
        hit_clustered.append(clustered.low <= share <= clustered.high)
        hit_naive.append(naive.low <= share <= naive.high)
    assert 0.93 <= np.mean(hit_clustered) <= 0.98
    assert np.mean(hit_naive) < 0.85


def test_half_points_get_an_interval_that_covers_95_percent():
    rng = np.random.default_rng(2)
    truth = 0.2 * 0.5 + 0.7
    hits = []
    for _ in range(1000):
        scores = rng.choice([0.0, 0.5, 1.0], size=100, p=[0.1, 0.2, 0.7])
        interval = mean_of(scores)
        hits.append(interval.low <= truth <= interval.high)
    assert 0.93 <= np.mean(hits) <= 0.97


def test_clusters_of_one_change_nothing():
    scores = np.array([1.0, 0, 1, 1, 0, 1, 1, 1])
    assert mean_of(scores, Clusters.of(np.arange(8))) == mean_of(scores)


def test_a_repeated_unit_is_no_news():
    # Every unit twice, known to be the same: the standard error is that of the single units.
    scores = np.random.default_rng(3).random(50)
    once = standard_error(scores - scores.mean())
    twice = np.repeat(scores, 2)
    clusters = Clusters.of(np.repeat(np.arange(50), 2))
    clustered = standard_error(twice - twice.mean(), clusters)
    assert math.isclose(clustered, once * math.sqrt(50 / 49))


def test_the_clustered_error_equals_its_slow_definition():
    rng = np.random.default_rng(4)
    influence, code = rng.normal(size=60), rng.integers(0, 12, 60)
    totals = [sum(influence[k] for k in range(60) if code[k] == g) for g in range(12)]
    slow = math.sqrt(12 / 11 * sum(t * t for t in totals)) / 60
    assert math.isclose(standard_error(influence, Clusters.of(code)), slow)


def test_one_prompt_says_nothing_about_other_prompts():
    one = mean_of(np.array([1.0, 1.0, 0.0]), Clusters.of(np.zeros(3, dtype=int)))
    assert (one.low, one.high, one.method) == (0.0, 1.0, "cluster")


def test_perfect_agreement_keeps_a_doubt_as_wide_as_its_clusters():
    scores, code = np.ones(60), np.repeat(np.arange(20), 3)
    low, _ = wilson_bounds(1.0, 20, stats.t.ppf(0.975, 19))
    interval = mean_of(scores, Clusters.of(code))
    assert interval.low == low
    assert interval.high == 1.0


def test_an_interval_stays_within_the_bounds_of_its_statistic():
    influence = np.random.default_rng(5).normal(scale=3.0, size=10)
    interval = from_influence(0.97, influence - influence.mean(), bounds=(-1.0, 1.0))
    assert -1.0 <= interval.low < 0.97 < interval.high <= 1.0
