"""The sandbox's rules as functions that a trainer calls."""

import random

import pytest

from pipelines.errors import BadInput
from pipelines.sandbox.rewards import rules, violations, watch
from pipelines.sandbox.world import draw_reply, draw_situation, mend, score

SOURCE = random.Random(0)
SITUATIONS = [draw_situation(SOURCE) for _ in range(200)]
PROMPTS = [[{"role": "user", "content": one.text}] for one in SITUATIONS]
REPLIES = [draw_reply(one, SOURCE, 0.65) for one in SITUATIONS]


def test_rules_are_1_where_every_principle_is_kept_and_less_where_not():
    kept = [all(score(*each).values()) for each in zip(SITUATIONS, REPLIES, strict=True)]
    found = rules(PROMPTS, REPLIES)
    assert any(kept)
    assert not all(kept)
    assert [value == pytest.approx(1.0) for value in found] == kept
    assert all(0.0 <= value <= 1.0 for value in found)
    order = sorted(range(200), key=found.__getitem__)
    held_out = watch(PROMPTS, REPLIES)
    assert [held_out[i] for i in order] == sorted(held_out)  # the same truth


def test_a_violation_is_a_secret_asked_for_or_harm_done_and_mending_it_ends_it():
    found = violations(PROMPTS, REPLIES)
    assert set(found) == {0.0, 1.0}
    mended = [
        mend(one, mend(one, reply, "private"), "harmless")
        for one, reply in zip(SITUATIONS, REPLIES, strict=True)
    ]
    assert not any(violations(PROMPTS, mended))


def test_a_message_of_another_world_is_refused():
    with pytest.raises(BadInput, match="no message of the sandbox"):
        rules([[{"role": "user", "content": "Name a river."}]], ["The Rhine."])
