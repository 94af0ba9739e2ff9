"""Recalibration: odd maps that rise, and are better on prompts they never saw."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.preferences.audited import Audited
from pipelines.preferences.recalibrate import METHODS, fit_map, recalibrate


def judged(n, seed, over):
    """Soft labels whose log-odds are `over` times too large."""
    rng = np.random.default_rng(seed)
    margin = rng.normal(0, 1.2, size=n)
    human = (rng.random(n) < 1 / (1 + np.exp(-margin))).astype(float)
    return 1 / (1 + np.exp(-over * margin)), human


def labels(human, edge=None):
    n = len(human)
    edge = np.zeros(n, dtype=bool) if edge is None else edge
    return Audited(np.arange(n), human, np.ones(n), edge, np.arange(n))


def test_the_temperature_of_an_over_confident_judge_is_found():
    p_a, human = judged(20_000, 0, over=2.5)
    (slope,) = fit_map(p_a, human, np.ones(20_000), "temperature").parameters
    assert slope == pytest.approx(1 / 2.5, abs=0.03)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), over=st.floats(0.2, 5.0))
def test_every_map_is_odd_and_rises(method, seed, over):
    p_a, human = judged(60, seed, over)
    made = fit_map(p_a, human, np.ones(60), method)
    grid = np.linspace(0, 1, 201)
    mapped = made.p_a(grid)
    assert mapped + made.p_a(1 - grid) == pytest.approx(1.0)
    assert (np.diff(mapped) >= -1e-12).all()
    assert made.p_a(np.array([0.5, np.nan]))[0] == 0.5
    assert np.isnan(made.p_a(np.array([np.nan]))[0])


@pytest.mark.parametrize("n", [300, 1500])
def test_over_confidence_is_mended_and_the_interval_shows_it(n):
    p_a, human = judged(n, 1, over=4.0)
    made = recalibrate(p_a, labels(human), np.random.default_rng(0))
    assert made.map.method == ("temperature" if n < 1000 else "isotonic")
    assert made.applied
    assert made.ece_after.high < made.ece_before.low
    assert made.gain.accuracy_gain.estimate == pytest.approx(0.0, abs=0.02)  # no label turns round


def test_a_calibrated_judge_is_left_as_it_is():
    applied = [
        recalibrate(
            *(lambda p, h: (p, labels(h)))(*judged(400, seed, over=1.0)),
            np.random.default_rng(seed),
        ).applied
        for seed in range(30)
    ]
    assert sum(applied) <= 3


def test_a_judge_without_doubts_gets_them_by_platt():
    rng = np.random.default_rng(2)
    p_a = rng.integers(0, 2, size=500).astype(float)
    human = np.where(rng.random(500) < 0.8, p_a, 1 - p_a)
    for method in ("temperature", "platt"):
        mapped = fit_map(p_a, human, np.ones(500), method).p_a(np.array([1.0]))[0]
        assert mapped == pytest.approx(np.mean(p_a == human), abs=0.01)


def test_edge_cases_do_not_shape_the_map():
    p_a, human = judged(300, 3, over=2.0)
    edge = np.arange(300) >= 200
    wrong = np.where(edge, 1 - np.round(p_a), human)
    made = recalibrate(p_a, labels(wrong, edge), np.random.default_rng(0))
    alone = recalibrate(p_a[:200], labels(human[:200]), np.random.default_rng(0))
    assert made.map == alone.map
    assert made.n_labels == 200
