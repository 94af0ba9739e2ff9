import math

import numpy as np
import pytest
import statsmodels.api as sm

from pipelines.agreement.bias import length_bias, self_preference
from pipelines.errors import Undefined


def world(rng, n_prompts, ai_taste, human_taste, spread=0.0):
    """Pairs of four a prompt, whose labels follow quality and, by taste, the log length ratio."""
    prompt = np.repeat(np.arange(n_prompts), 4)
    n = len(prompt)
    chars_a, chars_b = (np.exp(rng.normal(5, 0.5, n)).astype(int) for _ in range(2))
    ratio = np.log1p(chars_a) - np.log1p(chars_b)
    lean = spread * rng.normal(size=n_prompts)[prompt]

    def label(taste):
        chance = 1 / (1 + np.exp(-(taste * ratio + lean)))
        return np.where(rng.random(n) < chance, 0, 1)

    return label(ai_taste), label(human_taste), chars_a, chars_b, prompt


def test_the_interaction_is_that_of_a_clustered_logit_of_statsmodels():
    ai, human, chars_a, chars_b, prompt = world(np.random.default_rng(0), 150, 1.0, 0.4)
    bias = length_bias(ai, human, chars_a, chars_b, prompt)
    ratio = np.log1p(chars_a) - np.log1p(chars_b)
    n = len(ai)
    by_ai = np.repeat([1.0, 0.0], n)
    x = np.tile(ratio, 2)
    design = np.column_stack([np.ones(2 * n), by_ai, x, by_ai * x])
    fit = sm.Logit(np.concatenate([ai == 0, human == 0]).astype(float), design).fit(
        disp=False, cov_type="cluster", cov_kwds={"groups": np.tile(prompt, 2)}
    )
    assert math.isclose(bias.excess.estimate, fit.params[3], abs_tol=1e-6)
    # statsmodels inflates by G/(G-1) * (N-1)/(N-k) as well.
    correction = math.sqrt((2 * n - 1) / (2 * n - 4))
    error = (bias.excess.high - bias.excess.low) / (2 * 1.976)
    assert math.isclose(error * correction, fit.bse[3], rel_tol=2e-3)


def test_intervals_of_the_excess_cover_95_percent():
    rng = np.random.default_rng(1)
    hits, alarms = [], []
    for _ in range(400):
        bias = length_bias(*world(rng, 80, 0.8, 0.3))
        hits.append(bias.excess.low <= 0.5 <= bias.excess.high)
        alarms.append(length_bias(*world(rng, 60, 0.6, 0.6, spread=1.0)).p_value < 0.05)
    assert 0.92 <= np.mean(hits) <= 0.98
    assert np.mean(alarms) <= 0.08


def test_a_taste_that_people_share_is_no_bias():
    ai, _, chars_a, chars_b, prompt = world(np.random.default_rng(2), 100, 1.0, 1.0)
    same = length_bias(ai, ai, chars_a, chars_b, prompt)
    assert same.excess.estimate == 0.0
    assert same.p_value == 1.0
    assert same.ai.low > 0


def test_naming_the_responses_the_other_way_round_changes_nothing():
    ai, human, chars_a, chars_b, prompt = world(np.random.default_rng(3), 100, 1.0, 0.2)
    ai[:30] = 2  # ties are half a preference
    swapped = np.array([1, 0, 2])
    once = length_bias(ai, human, chars_a, chars_b, prompt)
    again = length_bias(swapped[ai], swapped[human], chars_b, chars_a, prompt)
    assert math.isclose(once.excess.estimate, again.excess.estimate, abs_tol=1e-9)
    assert math.isclose(once.excess.low, again.excess.low, abs_tol=1e-9)


def test_what_length_cannot_tell_is_undefined():
    label, prompt = np.array([0, 1, 0, 1]), np.arange(4)
    with pytest.raises(Undefined, match="same length ratio"):
        length_bias(label, label, np.full(4, 9), np.full(4, 9), prompt)
    with pytest.raises(Undefined, match="no finite logit"):
        length_bias(label, label, np.array([9, 1, 8, 2]), np.array([3, 4, 3, 4]), prompt)
    with pytest.raises(Undefined, match="AI label and a human label"):
        length_bias(np.full(4, -1), label, label, label, prompt)


def test_self_preference_by_hand_and_none_for_a_judge_that_errs_alike():
    # People prefer its own 4 times (upheld 4), the other's 4 times (upheld 2).
    human = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    own = np.array([0, 0, 1, 1, 1, 1, 0, 0])
    ai = np.array([0, 0, 1, 1, 1, 0, 0, 1])
    found = self_preference(ai, human, own, np.arange(8))
    assert (found.upholds_own.estimate, found.upholds_other.estimate) == (1.0, 0.5)
    assert found.excess.estimate == 0.5
    rng = np.random.default_rng(4)
    hits = []
    for _ in range(500):
        human, own = rng.integers(0, 2, 200), rng.integers(0, 2, 200)
        ai = np.where(rng.random(200) < 0.8, human, 1 - human)
        excess = self_preference(ai, human, own, np.arange(200)).excess
        hits.append(excess.low <= 0.0 <= excess.high)
    assert 0.93 <= np.mean(hits) <= 0.98


def test_self_preference_needs_wins_of_both_sides():
    label = np.zeros(5, dtype=int)
    with pytest.raises(Undefined):
        self_preference(label, label, label, np.arange(5))
