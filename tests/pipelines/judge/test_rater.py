"""A judge of mode rating as a function: what a trainer is rewarded with."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from pipelines.errors import BadInput, ServiceFailed
from pipelines.judge.rater import Rater
from pipelines.models.engine import Reply, Request
from pipelines.records import Message
from pipelines.stages.budget import Budget, Limits

PROMPT = (Message(role="user", content="Name a river."),)


class Scripted:
    """An engine whose replies are a function of the request, given in reverse order."""

    name, window = "scripted", 8

    def __init__(self, reply: Callable[[Request], Reply]):
        self.reply, self.asked = reply, []

    async def ask(self, requests: Any) -> Any:
        held = [item async for item in requests]
        self.asked += [request for _, request in held]
        for key, request in reversed(held):
            yield key, self.reply(request)


def rater(judge, engine, **limits):
    spec, template = judge(
        mode="rating", criteria=("helpfulness", "honesty"), weights={"honesty": 3.0}, scale=5
    )
    return Rater(spec, template, Budget(Limits(**limits)), lambda: engine)


def test_a_rating_is_the_weighted_mean_from_0_to_1_in_the_order_asked(judge):
    def reply(request):
        return Reply(text="Rating: 5" if "The Rhine." in request.messages[-1].content
                     else "Rating: 2")  # fmt: skip

    engine = Scripted(reply)
    found = rater(judge, engine)([PROMPT] * 3, ["No idea.", "The Rhine.", "None."])
    assert found == pytest.approx([0.25, 1.0, 0.25])
    n_criteria = len(engine.asked) // 3
    assert len(engine.asked) == 3 * n_criteria > 3


def test_a_rating_that_failed_is_nan_and_the_others_stand(judge):
    def reply(request):
        broken = "No idea." in request.messages[1].content
        return Reply(text="I would rather not say." if broken else "Rating: 4")

    found = rater(judge, Scripted(reply))([PROMPT] * 2, ["No idea.", "The Rhine."])
    assert math.isnan(found[0])
    assert found[1] == pytest.approx(0.75)


def test_nothing_is_asked_over_the_budget(judge):
    engine = Scripted(lambda request: Reply(text="Rating: 3"))
    rates = rater(judge, engine, max_requests=3)
    with pytest.raises(ServiceFailed, match=r"max_requests of \[judging\] is used up"):
        rates([PROMPT] * 4, ["a", "b", "c", "d"])
    assert engine.asked == []


def test_only_a_judge_that_rates_alone_can_be_a_reward(judge):
    spec, template = judge(mode="logprob")
    with pytest.raises(BadInput, match="is in mode logprob"):
        Rater(spec, template, Budget(Limits()), lambda: None)
