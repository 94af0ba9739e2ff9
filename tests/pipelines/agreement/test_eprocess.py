from fractions import Fraction
from math import comb, exp, inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.agreement.eprocess import (
    alternative_counts,
    boundary,
    effect_sizes,
    log_e,
    log_mixture_ratio,
    log_threshold,
    null_count,
)
from pipelines.errors import BadInput

SIDES = ("up", "down")


def exact_e(agree, labels, n_population, tau, side):
    """The definition, in exact arithmetic: the mean of hypergeometric likelihood ratios."""

    def chance(k):
        return Fraction(comb(k, agree) * comb(n_population - k, labels - agree))

    null = chance(null_count(n_population, tau, side))
    ratios = [chance(int(k)) for k in alternative_counts(n_population, tau, side)]
    if null == 0:  # the labels rule the null out, or they prove it
        proven = agree > null_count(n_population, tau, side)
        return inf if proven == (side == "up") else Fraction(0)
    return sum(ratios) / len(ratios) / null


@pytest.mark.parametrize(
    ("agree", "labels", "e"),
    [(175, 200, 16.33), (176, 200, 26.67), (342, 400, 19.71), (343, 400, 27.90)],
)
def test_worked_examples_of_the_default_grid(agree, labels, e):
    assert exp(log_e(agree, labels, 20_000, 0.80, "up")) == pytest.approx(e, abs=0.005)


def test_one_alternative_by_hand():
    # K = 8 of 10 against K0 = 5: after 3 of 3, (8·7·6)/(5·4·3) = 5.6; then a disagreement
    # multiplies by (2/7)/(5/7): 2.24
    ratio = log_mixture_ratio(np.array([3, 3]), np.array([0, 1]), 10, 5, np.array([8]), "up")
    np.testing.assert_allclose(np.exp(ratio), [5.6, 2.24], rtol=1e-12)


def test_the_first_label_that_can_certify_is_the_25th():
    needed = boundary(20_000, 0.80, "up", 0.05, 400).count
    assert next(t for t in range(1, 401) if needed[t] <= t) == 25
    # Published with the study: the counts that certify at these labels.
    assert needed[[25, 30, 50, 100, 200, 400]].tolist() == [25, 30, 48, 91, 176, 343]


def test_the_declared_grid():
    up, down = effect_sizes(0.80, "up"), effect_sizes(0.75, "down")
    assert len(up) == len(down) == 80
    assert (up[0], up[-1]) == (pytest.approx(0.01), pytest.approx(0.98 * 0.20))
    assert (down[0], down[-1]) == (pytest.approx(0.01), pytest.approx(0.30))
    np.testing.assert_allclose(np.diff(np.log(up)), np.log(19.6) / 79)
    counts = alternative_counts(20_000, 0.80, "up")
    assert (len(counts), counts[0], counts[-1]) == (80, 16_200, 19_920)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("n_population", "tau"), [(6, 0.5), (11, 0.8), (13, 0.75), (9, 0.97)])
def test_under_every_population_of_the_null_wealth_falls_on_average(n_population, tau, side):
    null = null_count(n_population, tau, side)
    members = range(null + 1) if side == "up" else range(null, n_population + 1)
    for k in members:
        for labels in range(n_population):
            low, high = max(0, labels - (n_population - k)), min(labels, k)
            for agree in range(low, high + 1):
                p = Fraction(k - agree, n_population - labels)
                mean = Fraction(0)
                if p > 0:
                    mean += p * exact_e(agree + 1, labels + 1, n_population, tau, side)
                if p < 1:
                    mean += (1 - p) * exact_e(agree, labels + 1, n_population, tau, side)
                assert mean <= exact_e(agree, labels, n_population, tau, side)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("n_population", "tau"), [(1, 0.5), (11, 0.8), (25, 0.755), (30, 0.99)])
def test_the_fast_value_is_the_exact_one(n_population, tau, side):
    for labels in range(n_population + 1):
        for agree in range(labels + 1):
            exact = exact_e(agree, labels, n_population, tau, side)
            fast = float(log_e(agree, labels, n_population, tau, side))
            if exact == 0:
                assert fast == -inf
            else:
                assert exp(fast) == pytest.approx(float(exact), rel=1e-9)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("n_population", "tau"), [(1, 0.8), (7, 0.5), (130, 0.755), (210, 0.80)])
def test_the_table_is_the_definition_at_every_label(n_population, tau, side):
    table = boundary(n_population, tau, side, 0.05, n_population).count
    labels = np.arange(n_population + 1)
    agree = np.arange(n_population + 1)[:, None]
    value = log_e(np.minimum(agree, labels), labels, n_population, tau, side)
    rejects = (value >= log_threshold(0.05)) & (agree <= labels)
    if side == "up":
        expected = np.where(rejects.any(axis=0), rejects.argmax(axis=0), labels + 1)
    else:
        expected = np.where(rejects.any(axis=0), n_population - rejects[::-1].argmax(axis=0), -1)
    np.testing.assert_array_equal(table, expected)


def test_a_longer_table_begins_with_the_shorter_one():
    short = boundary(50_000, 0.80, "up", 0.05, 300).count
    long = boundary(50_000, 0.80, "up", 0.05, 5_000).count
    np.testing.assert_array_equal(short, long[: len(short)])


@given(st.integers(1, 400), st.data())
def test_swapping_agreement_and_disagreement_swaps_the_sides(n_population, data):
    tau = data.draw(st.sampled_from([0.5, 0.6, 0.75, 0.8, 0.9]))
    labels = data.draw(st.integers(0, n_population))
    agree = data.draw(st.integers(0, labels))
    swapped = round(1 - tau, 10)
    up = float(log_e(agree, labels, n_population, tau, "up"))
    down = float(log_e(labels - agree, labels, n_population, swapped, "down"))
    # Halves are rounded to even on both sides, so one alternative in eighty may differ by a pair.
    assert (up == down) or up == pytest.approx(down, abs=0.05) or not np.isfinite(up)


@pytest.mark.parametrize("tau", [0.001, 0.02, 0.5, 0.98, 0.999])
def test_a_census_is_certain(tau):
    n_population = 40
    for k in range(n_population + 1):
        up = log_e(k, n_population, n_population, tau, "up")
        down = log_e(k, n_population, n_population, tau, "down")
        assert up == (inf if k > null_count(n_population, tau, "up") else -inf)
        assert down == (inf if k < null_count(n_population, tau, "down") else -inf)


def test_the_line_is_the_decimal_that_was_written():
    # 0.57 * 100 is 56.99999999999999 in binary
    assert null_count(100, 0.57, "up") == null_count(100, 0.57, "down") == 57
    assert null_count(10, 0.75, "up") == 7
    assert null_count(10, 0.75, "down") == 8


def test_impossible_counts_are_refused():
    with pytest.raises(BadInput, match="agreements and labels"):
        log_e(3, 2, 10, 0.8, "up")
    with pytest.raises(BadInput, match="agreements and labels"):
        log_e(3, 11, 10, 0.8, "up")
