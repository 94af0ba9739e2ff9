"""Every mode, asked of a plain function instead of a model."""

import dataclasses
import hashlib
import json
import math
from collections import deque
from collections.abc import Callable
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import BadInput
from pipelines.judge.modes import asked_orders, calls_per_judgment, judge_pair
from pipelines.judge.principles import principle_verdicts
from pipelines.judge.spec import ALONE, Mode
from pipelines.models.engine import Reply, Request
from pipelines.records import PreferencePair

MODES = get_args(Mode)
CONSTITUTIONS = {
    "en": "helpful-harmless-honest-private",
    "zh": "helpful-harmless-honest-private.zh",
}


def keys_of(mode: str, answer: str = "logprob", language: str = "en") -> dict[str, object]:
    keys: dict[str, object] = {"mode": mode, "language": language, "answer": answer, "samples": 3}
    if mode in ("per-principle", "check"):
        keys["constitution"] = CONSTITUTIONS[language]
    return keys


EVERY_WAY = [
    (mode, answer)
    for mode in MODES
    for answer in ("logprob", "verdict")
    if answer == "logprob" or mode in ("self-consistency", "per-principle")
]


def noise(request: Request, salt: str = "") -> int:
    """A number that follows from the whole question: an engine that is deterministic, no more."""
    said = json.dumps([dataclasses.asdict(request), salt], default=str)
    return int.from_bytes(hashlib.sha256(said.encode("utf-8", "surrogatepass")).digest()[:4], "big")


def opinionated(request: Request) -> Reply:
    """Answers in the form that is asked for, by chance, now and then in no form at all."""
    asked = request.messages[-1].content
    number = noise(request)
    if request.answers is not None:
        return Reply(answer_logprobs=(-(number % 700) / 100, -(number // 700 % 700) / 100))
    if number % 29 == 0:
        return Reply(text="Well, that depends.")
    if "Violation:" in asked or "违反：" in asked:
        return Reply(text=f"Violation: {('none', 'none', 'minor', 'severe')[number % 4]}")
    if "Rating:" in asked or "评分：" in asked:
        return Reply(text=f"Rating: {1 + number % 10}")
    if "Winner:" in asked or "胜者：" in asked:
        winner = ("A", "B", "tie")[number % 3]
        return Reply(text=f"Because.\nWinner: {winner}\nConfidence: {number // 3 % 101}%")
    return Reply(text=f"The first one says more, the second less ({number % 7}).")


def queued(*replies: Reply) -> Callable[[Request], Reply]:
    """An engine that is fed its replies; it fails loudly when it is asked once more."""
    waiting = deque(replies)
    return lambda request: waiting.popleft()


def text(said: str) -> Reply:
    return Reply(text=said)


# ---- every shipped template in every mode -------------------------------------------------------


@pytest.mark.parametrize(("mode", "answer"), EVERY_WAY)
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("task", ["dialogue", "summarisation", "code", "safety"])
def test_every_shipped_template_is_asked_in_every_mode(judge, drive, language, task, mode, answer):
    pair = PreferencePair(prompt="{p}", response_a="<A>", response_b="{b}}")
    for rationale in (False, True):
        if rationale and mode == "logprob":
            continue
        spec, template = judge(
            template=task, rationale=rationale, **keys_of(mode, answer, language)
        )
        asked: list[Request] = []

        def engine(request: Request, asked: list[Request] = asked) -> Reply:
            asked.append(request)
            return text("hm") if request.answers is None else Reply(answer_logprobs=(-1.0, -2.0))

        for order in asked_orders(spec):
            judgment = drive(judge_pair(spec, template, pair, order), engine)
            assert (judgment.judge, judgment.order) == ("j", order)
        for request in asked:
            assert request.messages[0] == template.system
            assert request.shared_chars == len(template.system.content)
            assert {message.role for message in request.messages[1::2]} == {"user"}
            assert all(
                "{" not in m.content.replace("{p}", "").replace("{b}}", "")
                for m in request.messages
            )


# ---- the mirror ---------------------------------------------------------------------------------

TEXTS = st.one_of(st.text(max_size=12), st.sampled_from(["Winner: A", "</response A>", "a", "b"]))


@pytest.mark.parametrize(("mode", "answer"), EVERY_WAY)
@given(prompt=TEXTS, a=TEXTS, b=TEXTS)
def test_swapping_the_pair_and_the_order_mirrors_the_judgment(
    judge, drive, mode, answer, prompt, a, b
):
    spec, template = judge(**keys_of(mode, answer))
    pair = PreferencePair(prompt=prompt, response_a=a, response_b=b)
    for order in asked_orders(spec):
        other = {"ab": "ba", "ba": "ab", None: None}[order]
        one = drive(judge_pair(spec, template, pair, order), opinionated)
        two = drive(judge_pair(spec, template, pair.swap(), other), opinionated)
        swapped = two.swap()
        assert (one.label, one.failure, one.order) == (swapped.label, swapped.failure, order)
        assert one.confidence == swapped.confidence
        assert (one.p_a is None) == (swapped.p_a is None)
        if one.p_a is not None:
            assert one.p_a == pytest.approx(swapped.p_a, abs=1e-12)
        if mode not in ALONE:  # its raw speaks of a and b, which have no order
            assert one.raw == two.raw
            pairs = zip(principle_verdicts(one), principle_verdicts(swapped), strict=True)
            assert all(mine.label == theirs.label for mine, theirs in pairs)


def test_a_judge_that_only_looks_at_the_place_contradicts_itself_in_the_two_orders(
    judge, drive, pair
):
    spec, template = judge()
    first = [
        drive(judge_pair(spec, template, pair, order), queued(Reply(answer_logprobs=(-0.1, -3.0))))
        for order in asked_orders(spec)
    ]
    assert [judgment.label for judgment in first] == ["A", "B"]
    assert sum(judgment.p_a for judgment in first) == pytest.approx(1.0)


# ---- logprob ------------------------------------------------------------------------------------


def test_the_soft_label_is_the_share_of_the_two_answers_by_hand(judge, drive, pair):
    # e^-1 / (e^-1 + e^-3) = 1 / (1 + e^-2) = 0.8807970779778823
    spec, template = judge()
    judgment = drive(
        judge_pair(spec, template, pair, "ab"), queued(Reply(answer_logprobs=(-1.0, -3.0)))
    )
    assert judgment.p_a == pytest.approx(0.8807970779778823, abs=1e-15)
    assert (judgment.label, judgment.confidence) == ("A", judgment.p_a)
    assert json.loads(judgment.raw) == {"first": -1.0, "second": -3.0}
    judgment = drive(
        judge_pair(spec, template, pair, "ba"), queued(Reply(answer_logprobs=(-1.0, -3.0)))
    )
    assert judgment.p_a == pytest.approx(1 - 0.8807970779778823, abs=1e-15)
    assert (judgment.label, judgment.confidence) == ("B", pytest.approx(0.8807970779778823))


INF = math.inf


@pytest.mark.parametrize(
    ("logprobs", "p_a", "label"),
    [
        ((-5.0, -5.0), 0.5, "tie"),
        ((-INF, -2.0), 0.0, "B"),
        ((-2.0, -INF), 1.0, "A"),
        ((-1000.0, -1001.0), 1 / (1 + math.exp(-1)), "A"),
    ],
)
def test_log_probabilities_at_the_edge(judge, drive, pair, logprobs, p_a, label):
    spec, template = judge()
    engine = queued(Reply(answer_logprobs=logprobs))
    judgment = drive(judge_pair(spec, template, pair, "ab"), engine)
    assert (judgment.p_a, judgment.label) == (pytest.approx(p_a), label)


@pytest.mark.parametrize("logprobs", [(-INF, -INF), (math.nan, -1.0), (INF, -1.0)])
def test_log_probabilities_that_say_nothing_are_a_failure(judge, drive, pair, logprobs):
    spec, template = judge()
    engine = queued(Reply(answer_logprobs=logprobs))
    judgment = drive(judge_pair(spec, template, pair, "ab"), engine)
    assert (judgment.failure, judgment.label, judgment.p_a) == ("unparsed", None, None)
    json.loads(judgment.raw)


def test_one_request_for_both_answers_is_all_that_logprob_asks(judge, pair):
    spec, template = judge()
    (request,) = next(judge_pair(spec, template, pair, "ba"))
    assert request.answers == ("A", "B")
    assert (request.max_tokens, request.temperature) == (1, 0.0)
    assert [message.role for message in request.messages] == ["system", "user"]
    shown = request.messages[1].content
    assert shown.index(pair.response_b) < shown.index(pair.response_a)


# ---- chain of thought, samples ------------------------------------------------------------------


def test_the_question_stands_on_top_of_the_judges_own_rationale(judge, drive, pair):
    spec, template = judge(mode="cot+logprob")
    asked: list[Request] = []

    def engine(request: Request) -> Reply:
        asked.append(request)
        if request.answers is None:
            return text("<think>aha</think>The first names one. <|im_end|>")
        return Reply(answer_logprobs=(-0.2, -1.8))

    judgment = drive(judge_pair(spec, template, pair, "ab"), engine)
    rationale, question = asked
    assert (rationale.temperature, question.temperature) == (0.3, 0.0)
    assert rationale.messages == question.messages[:2]
    assert [message.role for message in question.messages] == [
        "system",
        "user",
        "assistant",
        "user",
    ]
    assert question.messages[2].content == "The first names one. <\u200b|im_end|>"
    assert "Do not name the better one yet" in rationale.messages[1].content
    assert (judgment.label, judgment.rationale) == ("A", "The first names one. <|im_end|>")


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (Reply(text="The first one", finish="length"), "truncated"),
        (Reply(text="", finish="refused"), "refused"),
        (Reply(text="I'm sorry, but I can't assist with that."), "refused"),
        (Reply(text="  "), "unparsed"),
        (Reply(text="<think>never ends"), "unparsed"),
        (Reply(failure="error", detail="the server went away"), "error"),
        (Reply(failure="truncated", detail="half an answer"), "truncated"),
        (Reply(answer_logprobs=(-1.0, -2.0)), "error"),
    ],
)
@pytest.mark.parametrize("mode", ["cot+logprob", "self-consistency"])
def test_a_rationale_that_failed_is_never_scored(judge, drive, pair, reply, failure, mode):
    spec, template = judge(mode=mode, samples=2)
    judgment = drive(judge_pair(spec, template, pair, "ab"), lambda request: reply)
    assert (judgment.failure, judgment.label, judgment.p_a) == (failure, None, None)
    assert judgment.confidence is None


def test_samples_are_asked_together_with_seeds_of_their_own_and_averaged(judge, drive, pair):
    spec, template = judge(mode="self-consistency", samples=4, seed=7)
    rationales = next(judge_pair(spec, template, pair, "ab"))
    assert [request.seed for request in rationales] == [7, 8, 9, 10]
    assert {request.temperature for request in rationales} == {0.3}

    even = Reply(answer_logprobs=(math.log(0.5), math.log(0.5)))
    sure = Reply(answer_logprobs=(math.log(0.9), math.log(0.1)))
    broken = Reply(failure="error", detail="gone")
    engine = queued(text("w"), broken, text("y"), text("z"), sure, sure, even)
    judgment = drive(judge_pair(spec, template, pair, "ba"), engine)
    # the broken one is left out: (0.9 + 0.9 + 0.5) / 3 for the first shown, which is B
    assert judgment.p_a == pytest.approx(1 - 2.3 / 3)
    assert (judgment.label, judgment.rationale) == ("B", "w")
    kept = json.loads(judgment.raw)["samples"]
    assert [sample.get("failure") for sample in kept] == [None, "error", None, None]


def test_half_of_the_samples_is_not_enough(judge, drive, pair):
    spec, template = judge(mode="self-consistency", samples=4)
    gone, refused = Reply(failure="error", detail="gone"), Reply(text="", finish="refused")
    sure = Reply(answer_logprobs=(-0.1, -2.0))
    engine = queued(text("w"), gone, refused, text("z"), sure, sure)
    assert drive(judge_pair(spec, template, pair, "ab"), engine).failure == "error"


# ---- verdict ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "label", "p_a", "confidence"),
    [
        ("Winner: A\nConfidence: 0.8", "B", 0.1, 0.8),
        ("Winner: B\nConfidence: high", "A", 0.95, 0.9),
        ("Winner: tie\nConfidence: 0.8", "tie", 0.5, 0.8),
        ("胜者：B\n信心：中", "A", 0.825, 0.65),
    ],
)
def test_a_verdict_is_un_swapped_with_what_its_confidence_is_worth(
    judge, drive, pair, said, label, p_a, confidence
):
    # p = (1 + confidence) / 2 for the winner, who was shown first and is response B
    spec, template = judge(mode="verdict")
    judgment = drive(judge_pair(spec, template, pair, "ba"), queued(text(said)))
    assert (judgment.label, judgment.confidence) == (label, pytest.approx(confidence))
    assert judgment.p_a == pytest.approx(p_a)
    assert (judgment.raw, judgment.rationale) == (said, None)


def test_what_cannot_be_read_is_asked_for_once_more_and_then_it_is_a_failure(judge, drive, pair):
    spec, template = judge(mode="verdict")
    asked: list[Request] = []
    replies = deque([text("A wins, I am sure <|im_end|>"), text("Winner: B\nConfidence: 0.6")])

    def engine(request: Request) -> Reply:
        asked.append(request)
        return replies.popleft()

    judgment = drive(judge_pair(spec, template, pair, "ab"), engine)
    assert (judgment.label, judgment.confidence) == ("B", 0.6)
    assert "A wins, I am sure" in judgment.raw
    assert judgment.raw.endswith("Winner: B\nConfidence: 0.6")
    first, again = asked
    assert again.messages[:2] == first.messages
    assert again.messages[2].content == "A wins, I am sure <\u200b|im_end|>"
    assert again.messages[3].content.startswith("Your reply could not be read")

    engine = queued(text("A wins"), text("I said: A"))  # a third question would fail the test
    judgment = drive(judge_pair(spec, template, pair, "ab"), engine)
    assert (judgment.failure, judgment.label) == ("unparsed", None)
    assert judgment.raw == "A wins\n--- asked again ---\nI said: A"


@pytest.mark.parametrize(
    ("replies", "failure"),
    [
        ([Reply(text="Winner: A\nConfidence: 0.", finish="length")], "truncated"),
        ([Reply(text="I cannot help with this.")], "refused"),
        ([Reply(text="Winner: A\nConfidence: 0.9", finish="refused")], "refused"),
        ([Reply(failure="error", detail="500 eight times")], "error"),
        ([text("hm"), Reply(failure="error", detail="500 eight times")], "error"),
        ([text("hm"), Reply(text="Winner", finish="length")], "truncated"),
        ([text("hm"), text("I cannot help with this.")], "refused"),
        ([Reply(answer_logprobs=(-1.0, -2.0))], "error"),
    ],
)
def test_a_verdict_that_failed_is_never_scored(judge, drive, pair, replies, failure):
    spec, template = judge(mode="verdict")
    judgment = drive(judge_pair(spec, template, pair, "ab"), queued(*replies))
    assert (judgment.failure, judgment.label, judgment.p_a) == (failure, None, None)
    assert judgment.raw


def test_a_verdict_with_reasons_keeps_them_and_warms_up(judge, drive, pair):
    spec, template = judge(mode="verdict", rationale=True)
    (request,) = next(judge_pair(spec, template, pair, "ab"))
    assert request.temperature == 0.3
    said = "The first names a river.\n\nWinner: A\nConfidence: high"
    judgment = drive(judge_pair(spec, template, pair, "ab"), queued(text(said)))
    assert (judgment.label, judgment.rationale) == ("A", "The first names a river.")


@given(said=st.text(), again=st.text(), order=st.sampled_from(["ab", "ba"]))
def test_no_reply_makes_a_judgment_raise_or_guess(judge, drive, said, again, order):
    pair = PreferencePair(prompt="p", response_a="a", response_b="b")
    for mode, answer in EVERY_WAY:
        spec, template = judge(**keys_of(mode, answer))
        for one in asked_orders(spec):
            engine = queued(*[text(said), text(again)] * 20)
            judgment = drive(judge_pair(spec, template, pair, one and order), engine)
            assert judgment.failure in ("unparsed", "refused", "error")


# ---- the rest -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "answer"), EVERY_WAY)
@pytest.mark.parametrize("rationale", [False, True])
def test_the_count_of_calls_is_what_is_asked(judge, drive, pair, mode, answer, rationale):
    if rationale and mode == "logprob":
        return
    spec, template = judge(rationale=rationale, **keys_of(mode, answer))
    asked = []

    def engine(request: Request) -> Reply:
        asked.append(request)
        if request.answers is not None:
            return Reply(answer_logprobs=(-1.0, -2.0))
        return text("Fine.\nWinner: A\nConfidence: 1\nRating: 3\nViolation: none")

    assert drive(judge_pair(spec, template, pair, asked_orders(spec)[0]), engine).label
    assert len(asked) == calls_per_judgment(spec, template)


def test_max_tokens_and_temperature_of_the_section_go_before_the_defaults(judge, pair):
    spec, template = judge(mode="verdict", max_tokens=2000, temperature=0.9)
    (request,) = next(judge_pair(spec, template, pair, "ab"))
    assert (request.max_tokens, request.temperature) == (2000, 0.9)


@pytest.mark.parametrize(("mode", "order"), [("rating", "ab"), ("logprob", None)])
def test_an_order_that_the_mode_does_not_have_is_refused(judge, pair, mode, order):
    spec, template = judge(mode=mode)
    with pytest.raises(BadInput, match=f"mode {mode} cannot be asked in order {order}"):
        next(judge_pair(spec, template, pair, order))


def test_a_template_of_another_mode_is_refused(judge, pair):
    spec, _ = judge(mode="verdict")
    _, template = judge(mode="logprob")
    with pytest.raises(BadInput, match="loaded for mode logprob, not verdict"):
        next(judge_pair(spec, template, pair, "ab"))
