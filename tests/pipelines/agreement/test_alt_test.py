import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipelines.agreement.alt_test import alt_test, benjamini_yekutieli
from pipelines.agreement.reference import Votes
from pipelines.errors import Undefined


def votes_from(table):
    """Votes of a table, pairs x annotators, -1 for none."""
    pair, annotator = np.nonzero(np.array(table) >= 0)
    return Votes(pair, annotator, np.array(table)[pair, annotator])


def slow_alt_test(table, ai, epsilon, rate, min_items):
    """The definition, one annotator and item at a time."""
    p_values, wins = [], []
    for j in range(table.shape[1]):
        leads, ai_wins = [], []
        for i in range(table.shape[0]):
            others = [table[i, k] for k in range(table.shape[1]) if k != j and table[i, k] >= 0]
            if table[i, j] < 0 or not others or ai[i] < 0:
                continue
            s_ai = np.mean([ai[i] == x for x in others])
            s_human = np.mean([table[i, j] == x for x in others])
            ai_wins.append(s_ai >= s_human)
            leads.append(float(s_human >= s_ai) - float(s_ai >= s_human))
        if len(leads) < min_items:
            continue
        wins.append(np.mean(ai_wins))
        if np.ptp(leads) == 0:
            p_values.append(0.0 if leads[0] < epsilon else 1.0)
        else:
            p_values.append(stats.ttest_1samp(leads, epsilon, alternative="less").pvalue)
    if not wins:
        return None
    return benjamini_yekutieli(np.array(p_values), rate).mean(), np.mean(wins), p_values


@given(
    st.lists(
        st.tuples(*[st.integers(-1, 2)] * 3, st.sampled_from([-1, 0, 1, 2, 3])),
        min_size=4,
        max_size=25,
    )
)
def test_the_test_equals_its_slow_definition(rows):
    table, ai = np.array(rows)[:, :3], np.array(rows)[:, 3]
    slow = slow_alt_test(table, ai, 0.2, 0.05, min_items=4)
    if slow is None:
        with pytest.raises(Undefined):
            alt_test(votes_from(table), ai, min_items=4)
        return
    fast = alt_test(votes_from(table), ai, min_items=4)
    assert (fast.omega, fast.rho) == (slow[0], pytest.approx(slow[1]))
    assert np.allclose(fast.p_values, slow[2], atol=1e-9)


def test_a_judge_like_the_people_passes_and_a_coin_does_not():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 300)

    def noisy(accuracy):
        return np.where(rng.random(300) < accuracy, truth, 1 - truth)

    people = votes_from(np.column_stack([noisy(0.85) for _ in range(3)]))
    good, coin = alt_test(people, noisy(0.9)), alt_test(people, noisy(0.5))
    assert good.omega == 1.0
    assert coin.omega == 0.0
    assert good.rho > 0.85 > coin.rho


def test_too_few_shared_pairs_are_undefined():
    alone = votes_from(np.zeros((40, 1), dtype=int))
    few = votes_from(np.zeros((29, 2), dtype=int))
    for votes, n in ((alone, 40), (few, 29)):
        with pytest.raises(Undefined, match="30 labelled pairs"):
            alt_test(votes, np.zeros(n, dtype=int))


def test_benjamini_yekutieli_by_hand():
    # m = 3, sum of 1/i = 11/6, lines .05 * 6/11 * (1/3, 2/3, 1) = .00909, .01818, .02727
    assert benjamini_yekutieli(np.array([0.020, 0.001, 0.015]), 0.05).tolist() == [1, 1, 1]
    assert benjamini_yekutieli(np.array([0.030, 0.001, 0.019]), 0.05).tolist() == [0, 1, 0]
    assert benjamini_yekutieli(np.array([0.5]), 0.05).tolist() == [0]


def test_false_passes_stay_below_the_declared_rate():
    # One person worse than the AI by exactly epsilon: the hypothesis at its edge.
    rng = np.random.default_rng(1)
    lead = rng.choice([1.0, 0.0, -1.0], size=(2000, 120), p=[0.35, 0.5, 0.15])
    p = stats.ttest_1samp(lead, 0.2, axis=1, alternative="less").pvalue
    assert math.isclose(np.mean(p <= 0.05), 0.05, abs_tol=0.015)
