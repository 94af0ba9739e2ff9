"""Mode rating: each response scored alone; the label follows from the scores."""

import json
from collections import deque
from collections.abc import Callable

import pytest

from pipelines.judge.modes import asked_orders, calls_per_judgment, judge_pair
from pipelines.judge.ratings import label_from_scores
from pipelines.models.engine import Reply, Request


def queued(*replies: Reply) -> Callable[[Request], Reply]:
    """An engine that is fed its replies; it fails loudly when it is asked once more."""
    waiting = deque(replies)
    return lambda request: waiting.popleft()


def text(said: str) -> Reply:
    return Reply(text=said)


def test_each_response_is_scored_alone_and_the_label_follows(judge, drive, pair):
    spec, template = judge(
        mode="rating", criteria=("helpfulness", "honesty"), weights={"honesty": 3.0}, scale=5
    )
    assert asked_orders(spec) == (None,)
    requests = next(judge_pair(spec, template, pair, None))
    assert len(requests) == 4 == calls_per_judgment(spec, template)
    for request, alone in zip(requests, [pair.response_a, pair.response_b] * 2, strict=True):
        shown = request.messages[1].content
        assert [text in shown for text in (pair.response_a, pair.response_b)] == [
            alone == pair.response_a,
            alone == pair.response_b,
        ]
    engine = queued(text("Rating: 5"), text("Rating: 2"), text("Rating: 3"), text("Rating: 5"))
    judgment = drive(judge_pair(spec, template, pair, None), engine)
    # A: (5 + 3 * 3) / 4 = 3.5; B: (2 + 3 * 5) / 4 = 4.25
    assert (judgment.label, judgment.order, judgment.p_a) == ("B", None, None)
    kept = json.loads(judgment.raw)
    assert (kept["a"], kept["b"]) == (3.5, 4.25)
    assert kept["ratings"][1] == {"criterion": "honesty", "weight": 3.0, "a": 3, "b": 5}


def test_a_criterion_without_weight_is_not_asked(judge, pair):
    spec, template = judge(mode="rating", weights={"honesty": 0.0})
    assert (
        len(next(judge_pair(spec, template, pair, None))) == 6 == calls_per_judgment(spec, template)
    )


def test_a_rating_is_asked_for_once_more_and_one_that_is_missing_fails_all(judge, drive, pair):
    spec, template = judge(mode="rating", criteria=("honesty",))
    engine = queued(text("four"), text("Rating: 3"), text("Rating: 4"))
    assert drive(judge_pair(spec, template, pair, None), engine).label == "A"
    engine = queued(text("four"), text("Rating: 3"), text("4!"))
    judgment = drive(judge_pair(spec, template, pair, None), engine)
    assert (judgment.failure, judgment.label) == ("unparsed", None)
    assert json.loads(judgment.raw)["ratings"][0]["b"] == 3


@pytest.mark.parametrize(
    ("a", "b", "margin", "label"),
    [
        (4.0, 4.0, 0.0, "tie"),
        (4.5, 4.0, 0.5, "tie"),
        (4.6, 4.0, 0.5, "A"),
        (3.9, 4.0, 0.0, "B"),
        (0.1 + 0.2, 0.3, 0.0, "tie"),
    ],
)
def test_scores_within_the_margin_are_a_tie(a, b, margin, label):
    assert label_from_scores(a, b, margin) == label
