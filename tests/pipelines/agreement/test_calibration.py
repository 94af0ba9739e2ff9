import math

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from pipelines.agreement.calibration import calibration
from pipelines.errors import BadInput, Undefined


def said(rng, n, sharpen):
    """p_a of a judge whose logits are `sharpen` times the true ones, and people's choices."""
    logit = rng.normal(0, 1.2, n)
    human = np.where(rng.random(n) < 1 / (1 + np.exp(-logit)), 0, 1)
    return 1 / (1 + np.exp(-sharpen * logit)), human


def test_ece_and_brier_by_hand():
    p_a = np.array([0.9, 0.9, 0.9, 0.9, 0.2, 0.2])
    human = np.array([0, 0, 0, 1, 1, 1])
    found = calibration(p_a, human, np.arange(6))
    # bin .9: 3/4 against .9, four of six; bin .2: 0 against .2, two of six
    assert math.isclose(found.ece.estimate, (4 * 0.15 + 2 * 0.2) / 6)
    assert math.isclose(found.brier.estimate, (3 * 0.01 + 0.81 + 2 * 0.04) / 6)
    assert [(b.mean_p_a, b.observed.estimate) for b in found.bins] == [
        (pytest.approx(0.2), 0.0),
        (pytest.approx(0.9), 0.75),
    ]


def test_gaps_of_rounding_alone_have_an_interval_too():
    # 3 of 7 said .3/.7: the measured gap is 0 or some 1e-17, by the order in which one adds
    for n in (7, 30, 1000):
        for k in range(1, min(n, 12)):
            ece = calibration(np.full(n, k / n), np.repeat([0, 1], [k, n - k]), np.arange(n)).ece
            assert ece.estimate < 1e-12
            assert 0.0 <= ece.low <= ece.estimate
            assert 0.5 / n < ece.high < 1.0


def test_brier_equals_scikit_learns_and_ties_and_gaps_are_left_out():
    p_a, human = said(np.random.default_rng(0), 300, 2.0)
    with_gaps, with_ties = np.append(p_a, [np.nan, 0.3]), np.append(human, [0, 2])
    found = calibration(with_gaps, with_ties, np.arange(302))
    assert found.n == 300
    assert math.isclose(found.brier.estimate, brier_score_loss(human == 0, p_a))


def true_ece(sharpen, n_bins=10):
    """Of the population: the mean gap of each bin, from a very large sample."""
    p_a, human = said(np.random.default_rng(99), 2_000_000, sharpen)
    place = np.minimum((p_a * n_bins).astype(int), n_bins - 1)
    gap = np.bincount(place, (human == 0) - p_a, minlength=n_bins)
    return np.abs(gap).sum() / len(p_a)


@pytest.mark.parametrize("sharpen", [1.5, 3.0])
def test_the_interval_of_the_ece_covers_95_percent_of_miscalibrated_judges(sharpen):
    rng = np.random.default_rng(1)
    truth = true_ece(sharpen)
    hits, plain = [], []
    for _ in range(400):
        found = calibration(*said(rng, 300, sharpen), np.arange(300))
        hits.append(found.ece.low <= truth <= found.ece.high)
        plain.append(found.ece.estimate)
    assert np.mean(plain) > truth  # the plain ECE is biased upwards; its interval knows
    assert 0.92 <= np.mean(hits) <= 0.99


def test_a_calibrated_judge_is_not_accused():
    rng = np.random.default_rng(2)
    low_is_zero, expected, seen = [], [], []
    for _ in range(300):
        found = calibration(*said(rng, 300, 1.0), np.arange(300))
        low_is_zero.append(found.ece.low == 0.0)
        expected.append(found.ece_if_calibrated)
        seen.append(found.ece.estimate)
    assert np.mean(low_is_zero) >= 0.94
    assert abs(np.mean(expected) / np.mean(seen) - 1) < 0.1


def test_the_brier_interval_covers_95_percent():
    rng = np.random.default_rng(3)
    p_a, human = said(rng, 1_000_000, 2.0)
    truth = np.mean((p_a - (human == 0)) ** 2)
    hits = []
    for _ in range(500):
        brier = calibration(*said(rng, 200, 2.0), np.arange(200)).brier
        hits.append(brier.low <= truth <= brier.high)
    assert 0.92 <= np.mean(hits) <= 0.98


def test_nothing_to_compare_is_undefined_and_no_bins_an_error():
    with pytest.raises(Undefined):
        calibration(np.array([0.5, np.nan]), np.array([2, 0]), np.arange(2))
    with pytest.raises(BadInput):
        calibration(np.array([0.5]), np.array([0]), np.arange(1), n_bins=0)


def test_a_perfect_judge_has_an_ece_of_zero():
    found = calibration(np.array([1.0, 0.0, 1.0]), np.array([0, 1, 0]), np.arange(3))
    assert found.ece.estimate == 0.0
    assert found.ece.low == 0.0
    assert 0.0 < found.ece.high <= 1.0
