"""A reward model's score by hand."""

import math

import pytest

from pipelines.records import Message
from pipelines.train.reward_score import reward_score
from pipelines.train.rows import PreferenceRow


def row(prompt, by_human=True, p=1.0):
    return PreferenceRow((Message(role="user", content=prompt),), "a", "b", p, by_human=by_human)


def test_accuracy_counts_an_even_pair_half_and_is_clustered_by_prompt():
    rows = [row("x"), row("x"), row("y"), row("z"), row("w", by_human=False), row("v", False, 0.5)]
    found = reward_score(rows, [1.0, 2.0, -1.0, 0.0, -3.0, 9.0])
    human, everything = found["human"], found["all"]
    assert (human["n"], human["n_prompts"]) == (4, 3)
    assert human["accuracy"]["estimate"] == pytest.approx(2.5 / 4)
    assert (everything["n"], everything["accuracy"]["estimate"]) == (5, pytest.approx(2.5 / 5))
    apart = reward_score([row(str(k)) for k in range(4)], [1.0, 2.0, -1.0, 0.0])["human"]
    assert apart["accuracy"]["low"] > human["accuracy"]["low"]  # two of one prompt say less


def test_calibration_is_of_the_response_that_the_model_prefers():
    # sigma(log 3) = 3/4 said, four times, and right three times of four
    found = reward_score([row(str(k)) for k in range(4)], [math.log(3.0)] * 3 + [-math.log(3.0)])
    [only] = found["human"]["calibration"]["bins"]
    assert only["mean_said"] == pytest.approx(0.75)
    assert only["observed"]["estimate"] == pytest.approx(0.75)
    # three times (1/4)^2, once (3/4)^2
    assert found["human"]["calibration"]["brier"]["estimate"] == pytest.approx(0.1875)


def test_what_is_undefined_is_null():
    found = reward_score([row("x", by_human=False)], [0.0])
    assert found["human"] == {"n": 0, "n_prompts": 0, "accuracy": None, "calibration": None}
    assert found["all"]["calibration"] is None
    assert reward_score([], [])["all"]["n"] == 0
