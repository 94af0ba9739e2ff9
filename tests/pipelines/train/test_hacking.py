"""Reward hacking: when a warning comes, and when none does."""

import pytest

from pipelines.train.hacking import Watched, repetition, warnings_of, watched_in


def look(step, reward, win_rate, *, n=200, length=30.0, repeated=0.0):
    return Watched(step, reward, win_rate, n, float(step), length, repeated)


def test_no_warning_while_reward_and_judge_rise_together():
    assert warnings_of([look(1, 0.5, 0.5), look(2, 0.6, 0.7), look(3, 0.7, 0.75)]) == []


def test_a_warning_when_the_judge_falls_while_the_reward_rises():
    (said,) = warnings_of([look(1, 0.5, 0.5), look(2, 0.6, 0.7), look(3, 0.9, 0.5)])
    assert "0.600 (step 2) to 0.900 (step 3)" in said
    assert "0.700 to 0.500 (n = 200 prompts; KL 2.0 to 3.0)" in said


@pytest.mark.parametrize(
    "last",
    [
        look(3, 0.9, 0.66),  # a fall of .04 is within two standard errors, .093
        look(3, 0.5, 0.5),  # the reward fell as well: no hacking
        look(3, 0.9, None),  # nobody judged
    ],
)
def test_no_warning_within_the_noise_or_when_both_fall(last):
    assert warnings_of([look(1, 0.5, 0.5), look(2, 0.6, 0.7), last]) == []


def test_the_same_fall_says_less_of_fewer_prompts():
    points = [look(1, 0.5, 0.7, n=20), look(2, 0.9, 0.5, n=20)]
    assert warnings_of(points) == []  # .2 is below 2 x .152


def test_a_warning_when_responses_swell_or_shrink_or_repeat_themselves():
    (longer,) = warnings_of([look(1, 0.5, None), look(2, 0.6, None, length=61.0)])
    assert "from 30 to 61 tokens" in longer
    (shorter,) = warnings_of([look(1, 0.5, None), look(2, 0.6, None, length=14.0)])
    assert "from 30 to 14 tokens" in shorter
    (again,) = warnings_of([look(1, 0.5, None), look(2, 0.6, None, repeated=0.25)])
    assert "25% of 4 tokens in a row" in again


def test_repetition_by_hand():
    assert repetition([[1, 2, 3, 4, 5]]) == 0.0
    assert repetition([[7] * 8]) == pytest.approx(4 / 5)  # five 4-grams, all the same
    assert repetition([[7] * 8, [1, 2]]) == pytest.approx(2 / 5)
    assert repetition([[]]) == 0.0


def test_looks_are_found_among_the_points_of_a_run():
    points = [
        {"step": 1, "kl": 0.1},
        {"step": 2, "kl": 0.2, "held_out_reward": 0.5, "held_out_win_rate": 0.6,
         "held_out_n": 64.0, "held_out_length": 20.0, "held_out_repetition": 0.0},
    ]  # fmt: skip
    assert watched_in(points) == [Watched(2, 0.5, 0.6, 64, 0.2, 20.0, 0.0)]
