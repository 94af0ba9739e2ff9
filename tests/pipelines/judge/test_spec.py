"""A judge's section: what is checked, and which changes ask everything anew."""

from typing import Any

import pytest
from pydantic import ValidationError

from pipelines.agreement.annotations import Doubt
from pipelines.judge.spec import JudgeSpec
from pipelines.models.spec import LocalOptions

BASE: dict[str, Any] = {"name": "j", "model": "m"}

ASKED: dict[str, Any] = {
    "engine": "local",
    "model": "other",
    "extra_body": {"top_k": 1},
    "mode": "verdict",
    "temperature": 0.5,
    "max_tokens": 9,
    "seed": 1,
    "samples": 3,
    "answer": "verdict",
    "rationale": True,
    "criteria": ("helpfulness",),
    "scale": 5,
    "tie_margin": 0.5,
    "weights": {"honesty": 2.0},
    "medium_from": 0.4,
    "high_from": 0.9,
}
NOT_ASKED: dict[str, Any] = {
    "name": "k",
    "base_url": "https://elsewhere.example/v1",
    "api_key_env": "SOME_KEY",
    "usd_per_1m_input": 1.0,
    "usd_per_1m_output": 1.0,
    "concurrency": 3,
    "timeout_s": 3.0,
    "retries": 1,
    "template": "code",
    "language": "zh",
    "preamble": "basic",
    "examples": "some.toml",
    "constitution": "some.toml",
    "orders": ("ab",),
    "abstain_below": 0.9,
    "route": "critical",
}


def changed(key: str, value: Any) -> JudgeSpec:
    keys = {**BASE, key: value}
    if key.startswith("usd_"):
        keys |= {"usd_per_1m_input": 1.0, "usd_per_1m_output": 1.0}
    if key == "rationale":
        return JudgeSpec(**keys, mode="verdict")
    return JudgeSpec(**keys)


def test_every_key_is_known_to_change_the_question_or_not():
    # A new key must be put into one of the two tables above, and spec.py must agree.
    assert ASKED.keys() | NOT_ASKED.keys() | {"local"} == set(JudgeSpec.model_fields)


@pytest.mark.parametrize("key", ASKED)
def test_what_changes_the_question_changes_the_hash(key):
    before = JudgeSpec(**BASE, mode="verdict") if key == "rationale" else JudgeSpec(**BASE)
    assert changed(key, ASKED[key]).hash("t") != before.hash("t")


@pytest.mark.parametrize("key", NOT_ASKED)
def test_what_does_not_keeps_it(key):
    assert changed(key, NOT_ASKED[key]).hash("t") == JudgeSpec(**BASE).hash("t")


def test_another_template_is_another_question():
    assert JudgeSpec(**BASE).hash("t") != JudgeSpec(**BASE).hash("u")


def test_how_a_local_model_is_loaded_counts_where_it_is_one():
    exact, coarse = LocalOptions(dtype="float32"), LocalOptions(four_bit=True)
    faster = LocalOptions(dtype="float32", device="cuda", max_batch=8, memory_share=0.5)
    local = {**BASE, "engine": "local"}
    assert JudgeSpec(**local, local=exact).hash("t") != JudgeSpec(**local, local=coarse).hash("t")
    assert JudgeSpec(**local, local=exact).hash("t") == JudgeSpec(**local, local=faster).hash("t")
    assert JudgeSpec(**BASE, local=exact).hash("t") == JudgeSpec(**BASE, local=coarse).hash("t")


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"name": "../up"}, "pattern"),
        ({"name": ".hidden"}, "pattern"),
        ({"base_url": "host/v1"}, "not an http"),
        ({"base_url": "https://me:secret@host/v1"}, "without a user or password"),
        ({"api_key_env": "sk-123456"}, "not the name of an environment variable"),
        ({"usd_per_1m_input": 1.0}, "set both"),
        ({"orders": ["ab", "ab"]}, "twice"),
        ({"orders": []}, "at least 1"),
        ({"medium_from": 0.9}, "not below high_from"),
        ({"temperature": float("nan")}, "finite"),
    ],
)
def test_what_cannot_be_meant_is_refused(keys, says):
    with pytest.raises(ValidationError, match=says) as mistake:
        JudgeSpec(**{**BASE, **keys})
    # Neither our words nor the project's error repeat a secret.
    assert all("secret" not in error["msg"] for error in mistake.value.errors())


def test_temperature_is_0_for_verdicts_and_above_with_a_rationale():
    assert JudgeSpec(**BASE).asked_temperature == 0.0
    assert JudgeSpec(**BASE, mode="cot+logprob").asked_temperature == 0.3
    assert JudgeSpec(**BASE, mode="cot+logprob", temperature=0.0).asked_temperature == 0.0


@pytest.mark.parametrize(
    ("keys", "doubt"),
    [
        ({}, Doubt(0.7)),  # a probability is its own confidence
        ({"mode": "per-principle", "abstain_below": 0.6}, Doubt(0.6)),
        # In words 0 is a coin toss: confidence .7 is p = .85.
        ({"mode": "verdict"}, Doubt(0.85, ties_stand=True)),
        ({"mode": "rating"}, None),
        ({"engine": "labeler", "abstain_below": 0.55}, Doubt(0.55)),
    ],
)
def test_each_mode_abstains_by_the_confidence_that_it_states(keys, doubt):
    assert JudgeSpec(name="j", model="m", **keys).doubt == doubt
