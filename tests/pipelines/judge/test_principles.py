"""Mode per-principle: a question for each principle, aggregated by weight, each verdict kept."""

import math
from collections import deque
from collections.abc import Callable

import pytest

from pipelines.judge.modes import calls_per_judgment, judge_pair
from pipelines.judge.principles import principle_verdicts
from pipelines.models.engine import Reply, Request
from pipelines.records import Judgment


def queued(*replies: Reply) -> Callable[[Request], Reply]:
    """An engine that is fed its replies; it fails loudly when it is asked once more."""
    waiting = deque(replies)
    return lambda request: waiting.popleft()


def text(said: str) -> Reply:
    return Reply(text=said)


def test_each_principle_asks_its_own_question_and_keeps_its_verdict(judge, drive, pair):
    spec, template = judge(
        mode="per-principle", constitution="brand-voice", weights={"answer-first": 0.0}
    )
    principles = [one for one in template.constitution.principles if one.id != "answer-first"]
    requests = next(judge_pair(spec, template, pair, "ba"))
    assert len(requests) == len(principles) == 6 == calls_per_judgment(spec, template)
    for request, principle in zip(requests, principles, strict=True):
        assert principle.comparison_question in request.messages[1].content
        assert template.parts.ending.question not in request.messages[1].content

    shares = [0.9, 0.5, 0.2, 0.7, 0.6, 0.4]  # of the first shown, which is response B
    engine = queued(*(Reply(answer_logprobs=(math.log(p), math.log(1 - p))) for p in shares))
    judgment = drive(judge_pair(spec, template, pair, "ba"), engine)
    weights = [one.weight for one in principles]
    expected = sum(w * p for w, p in zip(weights, shares, strict=True)) / sum(weights)
    assert judgment.p_a == pytest.approx(1 - expected)
    verdicts = principle_verdicts(judgment)
    assert [verdict.principle for verdict in verdicts] == [one.id for one in principles]
    assert [verdict.weight for verdict in verdicts] == weights
    assert [verdict.p_a for verdict in verdicts] == pytest.approx([1 - p for p in shares])
    assert [verdict.label for verdict in verdicts] == ["B", "tie", "A", "B", "B", "A"]


def test_a_principle_that_failed_fails_the_judgment_and_the_others_are_kept(judge, drive, pair):
    spec, template = judge(mode="per-principle", constitution="brand-voice", answer="verdict")
    fine = [text("Winner: A\nConfidence: high")] * 6
    engine = queued(*fine, Reply(failure="error", detail="gone"))
    judgment = drive(judge_pair(spec, template, pair, "ab"), engine)
    assert (judgment.failure, judgment.label) == ("error", None)
    verdicts = principle_verdicts(judgment)
    assert [verdict.label for verdict in verdicts] == ["A"] * 6 + [None]
    assert verdicts[-1].failure == "error"


@pytest.mark.parametrize("raw", [None, "Winner: A", "{}", '{"principles": 3}', "[1]"])
def test_other_judgments_have_no_verdicts_by_principle(raw):
    assert principle_verdicts(Judgment(judge="j", order="ab", label="A", raw=raw)) == ()
    assert principle_verdicts(Judgment(judge="j", label="A", raw='{"principles": []}')) == ()
