"""How alike judges are: by hand, against library code, and what a panel is worth."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from pipelines.agreement.judge_matrix import effective_judges, judge_matrix
from pipelines.errors import BadInput, Undefined


def _panel(k: int, correlation: float, n: int, seed: int = 0) -> np.ndarray:
    """Points of k judges, each right 4 times in 5, whose errors correlate so. Shape (k, n)."""
    rng = np.random.default_rng(seed)
    shared = rng.random(n) < 0.8
    follows = rng.random((k, n)) < np.sqrt(correlation)  # then any two follow with that chance
    return np.where(follows, shared, rng.random((k, n)) < 0.8).astype(float)


def test_agreement_and_kappa_are_those_of_every_two_judges() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(-1, 3, size=(4, 300))
    found = judge_matrix(labels, ["a", "b", "c", "d"])
    for i in range(4):
        for j in range(4):
            both = (labels[i] >= 0) & (labels[j] >= 0)
            assert found.n[i, j] == both.sum()
            assert found.agreement[i, j] == pytest.approx((labels[i] == labels[j])[both].mean())
            kappa = cohen_kappa_score(labels[i][both], labels[j][both])
            assert found.kappa[i, j] == pytest.approx(kappa)


def test_judges_without_a_common_pair_have_no_agreement() -> None:
    found = judge_matrix(np.array([[0, -1], [-1, 1]]), ["a", "b"])
    assert np.isnan(found.agreement[0, 1])
    assert found.as_dict()["agreement"][0][1] is None


def test_kappa_is_undefined_when_both_say_one_same_thing() -> None:
    found = judge_matrix(np.zeros((2, 5), dtype=int), ["a", "b"])
    assert found.agreement[0, 1] == 1.0
    assert np.isnan(found.kappa[0, 1])


def test_two_judges_by_hand() -> None:
    # errors 1100 and 1010: correlation 0, so two judges are two; 1100 twice: one judge
    apart = np.array([[0.0, 0, 1, 1], [0, 1, 0, 1]])
    alike = np.array([[0.0, 0, 1, 1], [0, 0, 1, 1]])
    for points, worth in ((apart, 2.0), (alike, 1.0)):
        found = effective_judges(points, np.arange(4), ["a", "b"], np.random.default_rng(0))
        assert found.n_effective.estimate == pytest.approx(worth)
        assert found.n_by_eigenvalues == pytest.approx(worth)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.6])
def test_a_panel_is_worth_what_it_was_made_to_be(correlation: float) -> None:
    worth = 6 / (1 + 5 * correlation)
    found = effective_judges(
        _panel(6, correlation, 4000), np.arange(4000), list("abcdef"), np.random.default_rng(0)
    )
    assert found.n_effective.low <= worth + 0.15
    assert found.n_effective.high >= worth - 0.15
    assert found.collapsed == (worth < 3)


def test_the_interval_covers_what_a_panel_is_worth() -> None:
    covered = 0
    for seed in range(40):
        found = effective_judges(
            _panel(4, 0.4, 400, seed), np.arange(400), list("abcd"), np.random.default_rng(seed)
        )
        covered += found.n_effective.low <= 4 / (1 + 3 * 0.4) <= found.n_effective.high
    assert covered >= 34  # 38 expected, 1.4 the standard error


def test_judges_may_come_in_any_order() -> None:
    points = _panel(4, 0.3, 200)
    found = effective_judges(points, np.arange(200), list("abcd"), np.random.default_rng(0))
    turned = effective_judges(points[::-1], np.arange(200), list("dcba"), np.random.default_rng(0))
    assert turned.n_effective.estimate == pytest.approx(found.n_effective.estimate)
    assert turned.n_by_eigenvalues == pytest.approx(found.n_by_eigenvalues)


def test_a_judge_that_never_errs_is_left_out_by_name() -> None:
    points = np.vstack([_panel(2, 0.2, 100), np.ones((1, 100))])
    found = effective_judges(points, np.arange(100), ["a", "b", "c"], np.random.default_rng(0))
    assert found.excluded == ("c",)
    assert found.judges == ("a", "b")


def test_pairs_that_a_judge_did_not_answer_are_left_out() -> None:
    points = _panel(2, 0.2, 100)
    points[0, :40] = np.nan
    found = effective_judges(points, np.arange(100), ["a", "b"], np.random.default_rng(0))
    assert found.n_pairs == 60


def test_too_little_to_say_anything_says_so() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(Undefined, match="no pair"):
        effective_judges(np.full((2, 3), np.nan), np.arange(3), ["a", "b"], rng)
    with pytest.raises(Undefined, match="label more pairs"):
        effective_judges(np.ones((2, 3)), np.arange(3), ["a", "b"], rng)
    with pytest.raises(BadInput, match="2 judges"):
        effective_judges(np.ones((3, 3)), np.arange(3), ["a", "b"], rng)
