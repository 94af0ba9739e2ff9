import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.agreement.position import labels_by_order, position_bias, sign_test
from pipelines.errors import Undefined

labels = st.lists(st.tuples(st.integers(-1, 2), st.integers(-1, 2)), min_size=1, max_size=60)


def test_thirty_of_forty_flips_in_one_direction():
    assert round(sign_test(np.repeat([1.0, -1.0, 0.0], [30, 10, 60])), 5) == 0.00222


def test_position_bias_by_hand():
    # A then B: first both times. B then A: second both times. tie then B: leans to the first
    # (response_b was shown first in the second order). A, A: no flip. A failure: left out.
    ab, ba = np.array([0, 1, 2, 0, -1]), np.array([1, 0, 1, 0, 0])
    bias = position_bias(ab, ba, np.arange(5))
    assert (bias.n, bias.flips, bias.flips_to_first) == (4, 3, 2)
    assert bias.flip_rate.estimate == 0.75
    # first places won: 2 of 2, 0 of 2, 1.5 of 2, 1 of 2
    assert bias.first_rate.estimate == (1 + 0 + 0.75 + 0.5) / 4
    assert bias.p_value == 1.0  # 2 of 3


@given(labels)
def test_naming_the_responses_the_other_way_round_changes_nothing(pairs):
    ab, ba = np.array(pairs).T
    prompt = np.arange(len(ab)) // 2
    swapped = np.array([1, 0, 2, -1])  # the last is reached by -1
    try:
        once = position_bias(ab, ba, prompt)
    except Undefined:
        assert not ((ab >= 0) & (ba >= 0)).any()
        return
    # Exchanging the responses exchanges the two orders as well.
    again = position_bias(swapped[ba], swapped[ab], prompt)
    assert (once.flips, once.flips_to_first) == (again.flips, again.flips_to_first)
    assert math.isclose(once.first_rate.estimate, again.first_rate.estimate)
    assert math.isclose(once.p_value, again.p_value)


def test_one_order_only_is_undefined():
    with pytest.raises(Undefined):
        position_bias(np.array([0, 1]), np.array([-1, -1]), np.arange(2))


def test_the_first_verdict_of_an_order_that_parsed_is_taken():
    pair = np.array([0, 0, 0, 1, 1])
    order = np.array([0, 0, 1, 1, -1])
    label = np.array([-1, 1, 0, 2, 0])
    ab, ba = labels_by_order(pair, order, label, 3)
    assert ab.tolist() == [1, -1, -1]
    assert ba.tolist() == [0, 2, -1]


def judged(rng, n, order_driven, first):
    """Verdicts of a judge that reads content, but on some pairs goes by the place alone."""
    truth = rng.integers(0, 2, n)
    by_order = rng.random(n) < order_driven
    chosen_first = rng.random(n) < first
    ab = np.where(by_order, np.where(chosen_first, 0, 1), truth)
    ba = np.where(by_order, np.where(chosen_first, 1, 0), truth)
    return ab, ba


def test_the_sign_test_has_few_false_alarms_and_finds_real_bias():
    rng = np.random.default_rng(0)
    alarms, found = [], []
    for _ in range(600):
        fair = position_bias(*judged(rng, 100, order_driven=1.0, first=0.5), np.arange(100))
        alarms.append(fair.p_value < 0.05)
        real = position_bias(*judged(rng, 200, order_driven=0.2, first=0.8), np.arange(200))
        found.append(real.p_value < 0.05)
    assert np.mean(alarms) <= 0.06
    assert np.mean(found) > 0.9


def test_repeated_prompts_do_not_raise_false_alarms():
    # All six pairs of a prompt flip the same way: one piece of evidence, not six.
    rng = np.random.default_rng(1)
    prompt = np.repeat(np.arange(30), 6)
    alarms = []
    for _ in range(500):
        way = rng.integers(0, 2, 30)[prompt]
        alarms.append(position_bias(way, 1 - way, prompt).p_value < 0.05)
    assert np.mean(alarms) <= 0.06


def test_intervals_cover_95_percent():
    rng = np.random.default_rng(2)
    flip_hits, first_hits = [], []
    for _ in range(800):
        bias = position_bias(*judged(rng, 150, order_driven=0.2, first=0.8), np.arange(150))
        flip_hits.append(bias.flip_rate.low <= 0.2 <= bias.flip_rate.high)
        first_hits.append(bias.first_rate.low <= 0.5 + 0.2 * 0.3 <= bias.first_rate.high)
    assert bias.flip_rate.method == "wilson"
    assert 0.93 <= np.mean(flip_hits) <= 0.975
    assert 0.94 <= np.mean(first_hits) <= 0.985


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 200))
def test_the_interval_never_contradicts_the_sign_test(forward, backward, steady):
    n = forward + backward + steady
    if n == 0:
        return
    ab = np.repeat([0, 1, 0], [forward, backward, steady])
    ba = np.repeat([1, 0, 0], [forward, backward, steady])
    bias = position_bias(ab, ba, np.arange(n))
    if bias.p_value >= 0.05:
        assert bias.first_rate.low <= 0.5 <= bias.first_rate.high
    assert bias.first_rate.low <= bias.first_rate.estimate <= bias.first_rate.high


def test_no_flips_leave_room_for_as_many_as_went_unseen():
    same = np.zeros(40, dtype=int)
    bias = position_bias(same, same, np.arange(40))
    assert (bias.flips, bias.p_value, bias.first_rate.estimate) == (0, 1.0, 0.5)
    assert bias.flip_rate.low == 0.0
    assert bias.first_rate.high >= 0.5 + bias.flip_rate.high / 2


def test_no_flip_in_four_hundred_pairs_leaves_little_room_for_a_bias():
    labels = np.arange(400) % 2
    found = position_bias(labels, labels, np.arange(400))
    # Wilson's upper end of 0 of 400 is z²/(400 + z²) = .0095: half of it either way, all one way.
    unseen = 1.959964**2 / (400 + 1.959964**2)
    assert found.first_rate.estimate == 0.5
    assert math.isclose(found.first_rate.low, 0.5 - unseen / 2, abs_tol=1e-6)
    assert math.isclose(found.first_rate.high, 0.5 + unseen / 2, abs_tol=1e-6)
