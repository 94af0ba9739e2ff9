"""Which way a pair goes, and which judges are warned about."""

import pytest

from pipelines.config import SafetySection
from pipelines.judge.routing import judge_warnings, parameters_in_name, route
from pipelines.records import Message, PreferencePair

RULE = SafetySection(subsets=("refusals",), tags=("medical", "legal"), pattern=r"\bdose\b")


def a_pair(**keys: object) -> PreferencePair:
    return PreferencePair(**({"prompt": "hello", "response_a": "a", "response_b": "b"} | keys))


@pytest.mark.parametrize(
    ("keys", "path"),
    [
        ({}, "plain"),
        ({"subset": "refusals"}, "constitutional"),
        ({"subset": "chat"}, "plain"),
        ({"meta": {"tags": ["law", "legal"]}}, "constitutional"),
        ({"meta": {"tag": "medical"}}, "constitutional"),
        ({"meta": {"tags": "chat", "tag": 3}}, "plain"),
        ({"meta": {"topic": "medical"}}, "plain"),
        ({"prompt": "Which Dose is safe?"}, "constitutional"),
        ({"prompt": "overdoses in novels"}, "plain"),
        ({"prompt": (Message(role="user", content="a dose?"),)}, "constitutional"),
        ({"response_a": "the dose is 3"}, "plain"),
    ],
)
def test_safety_critical_pairs_take_the_constitutional_path(keys, path):
    assert route(a_pair(**keys), RULE) == path


def test_without_a_rule_every_pair_is_judged_plainly():
    pair = a_pair(subset="refusals", meta={"tags": ["medical"]})
    assert route(pair, SafetySection()) == "plain"


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
