"""Paired gains: by hand, where nothing differs, and how often the interval holds the truth."""

import numpy as np
import pytest

from pipelines.errors import Undefined
from pipelines.preferences.gain import compare
from pipelines.preferences.odd_logistic import log_loss


def test_a_gain_by_hand():
    human = np.array([1.0, 1.0, 0.0, 0.0, 0.5])
    before = np.array([0.9, 0.4, 0.6, 0.5, 0.9])  # right, wrong, wrong, half; a tie of people
    after = np.array([0.8, 0.6, 0.3, 0.2, 0.5])
    gain = compare(before, after, human, np.arange(5))
    assert gain.accuracy_before.estimate == pytest.approx(1.5 / 4)
    assert gain.accuracy_after.estimate == 1.0
    assert gain.accuracy_gain.estimate == pytest.approx(2.5 / 4)
    assert gain.accuracy_gain.n == 4
    assert gain.log_loss_gain.estimate == pytest.approx(
        np.mean(log_loss(before, human) - log_loss(after, human))
    )
    assert gain.log_loss_gain.n == 5  # a tie says that one half is right


def test_equal_labels_gain_nothing_within_a_few_points():
    p_a = np.linspace(0.1, 0.9, 80)
    gain = compare(p_a, p_a, np.round(p_a), np.arange(80))
    assert gain.accuracy_gain.estimate == 0.0
    # Wilson's upper end of 0 in 80: 1.96^2 / (80 + 1.96^2)
    assert gain.accuracy_gain.high == pytest.approx(3.8415 / 83.8415, abs=1e-4)
    assert not gain.is_certain


def test_the_interval_holds_the_true_gain_19_times_in_20():
    # Prompts of three pairs that share their luck: an interval by pair would be too narrow.
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        prompt = np.repeat(np.arange(60), 3)
        luck = rng.random(60)[prompt]
        before = np.where(luck < 0.3, 0.2, 0.8)  # right 70% of the time
        after = np.where(luck < 0.2, 0.2, 0.8)  # right 80%
        gain = compare(before, after, np.ones(180), prompt)
        held += gain.accuracy_gain.low <= 0.1 <= gain.accuracy_gain.high
    assert held / 400 > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 400)


def test_what_cannot_be_said_is_a_sentence():
    with pytest.raises(Undefined, match="preferred neither"):
        compare(np.ones(2), np.ones(2), np.full(2, 0.5), np.arange(2))
    with pytest.raises(Undefined, match="one prompt"):
        compare(np.ones(2), np.ones(2), np.ones(2), np.zeros(2, dtype=int))
