"""Which judges are warned about."""

import pytest

from pipelines.judge.fitness import judge_warnings, parameters_in_name


@pytest.mark.parametrize(
    ("model", "billions"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", 7.0),
        ("Qwen2.5-0.5B-Instruct-AWQ", 0.5),
        ("meta-llama/Llama-3.1-70B@main", 70.0),
        ("mixtral-8x7b-instruct", 56.0),
        ("Qwen3-30B-A3B", 30.0),
        ("opt-350m", 0.35),
        ("Kimi-K2-1T", 1000.0),
        ("gpt-4o-2024-05-13", None),
        ("claude-3-5-sonnet", None),
        ("model-4bit", None),
        ("merge-7b-13b", None),
    ],
)
def test_sizes_are_read_from_names_that_state_one(model, billions):
    assert parameters_in_name(model) == (billions and pytest.approx(billions))


def test_a_judge_that_is_the_policy_is_warned_about():
    for judge, policy in [
        ("gpt-4o@2026-05", "openai/gpt-4o"),
        ("Qwen/Qwen2.5-7B-Instruct", "qwen2.5-7b-instruct-awq"),
    ]:
        (warning,) = judge_warnings(judge, [policy])
        assert warning.kind == "same model"
        assert "gains then plateau" in warning.sentence


def test_a_judge_no_larger_than_the_policy_is_warned_about():
    policies = ["Qwen2.5-7B-Instruct", "Llama-3-8B", "gpt-4o", "Qwen2.5-7B-Instruct"]
    found = judge_warnings("Mistral-7B", policies)
    assert [(one.kind, one.policy_model) for one in found] == [
        ("not larger", "Llama-3-8B"),
        ("not larger", "Qwen2.5-7B-Instruct"),
    ]
    assert judge_warnings("Llama-3-70B", policies) == ()
    assert judge_warnings("gpt-4o-mini", ["gpt-4o"]) == ()
    (told,) = judge_warnings("gpt-4o-mini", ["gpt-4o"], {"gpt-4o-mini": 8, "gpt-4o": 200})
    assert told.kind == "not larger"
    assert '"gpt-4o-mini" (8B) is no larger than the policy "gpt-4o" (200B)' in told.sentence
