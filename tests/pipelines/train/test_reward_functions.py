"""What online training is rewarded for: the parts of a reward, and functions of the user's own."""

import math

import pytest

from pipelines.errors import BadInput
from pipelines.records import Message
from pipelines.train.reward_functions import Reward, named_function

PROMPT = (Message(role="user", content="Hello"),)


def constant(*values):
    return lambda prompts, responses: list(values)


def test_the_reward_is_sigma_of_the_model_plus_the_weighted_constitution():
    reward = Reward(model=constant(0.0, math.log(3)), constitution=constant(1.0, 0.5), shaping=2.0)
    scores = reward([PROMPT] * 2, ["a", "b"])
    assert scores.reward.tolist() == pytest.approx([0.5 + 2.0, 0.75 + 1.0])
    assert scores.parts == pytest.approx({"reward_model": 0.625, "constitution": 0.75})
    assert scores.violation is None


def test_a_judge_takes_the_place_of_the_model_and_a_failure_stays_one():
    scores = Reward(judge=constant(0.9, math.nan))([PROMPT] * 2, ["a", "b"])
    assert scores.reward[0].item() == pytest.approx(0.9)
    assert scores.reward[1].isnan()
    assert scores.parts["judge"] == pytest.approx(0.9)  # of those that were scored


def test_violations_are_kept_apart_from_the_reward():
    scores = Reward(judge=constant(0.5, 0.5), violation=constant(1, 0))([PROMPT] * 2, ["a", "b"])
    assert scores.violation.tolist() == [1.0, 0.0]
    assert scores.reward.tolist() == [0.5, 0.5]


def test_a_function_of_a_project_file_is_given_messages_and_responses(tmp_path):
    (tmp_path / "mine.py").write_text(
        "def f(prompts, responses):\n"
        "    return [len(t[-1]['content']) + len(r) for t, r in zip(prompts, responses)]\n"
    )
    scorer = named_function("mine.py:f", tmp_path)
    assert scorer([PROMPT], ["abc"]) == [8.0]
    before = scorer.said
    (tmp_path / "mine.py").write_text("def f(prompts, responses):\n    return [0.0]\n")
    assert named_function("mine.py:f", tmp_path).said != before  # another function, another run


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("mine", "write a function as"),
        ("absent.py:f", "cannot be loaded"),
        ("mine.py:g", "cannot be loaded"),
        ("no_such_package:f", "cannot be loaded"),
    ],
)
def test_a_function_that_is_not_there_is_named(tmp_path, name, why):
    (tmp_path / "mine.py").write_text("def f(prompts, responses):\n    return []\n")
    with pytest.raises(BadInput, match=why):
        named_function(name, tmp_path)


@pytest.mark.parametrize("answer", ["[]", "[float('nan')]", "[1.0, 2.0]"])
def test_a_function_must_give_one_finite_number_each(tmp_path, answer):
    (tmp_path / "mine.py").write_text(f"def f(prompts, responses):\n    return {answer}\n")
    with pytest.raises(BadInput, match="one finite number for each"):
        named_function("mine.py:f", tmp_path)([PROMPT], ["a"])
