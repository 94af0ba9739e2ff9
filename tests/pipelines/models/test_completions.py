"""The protocol as pure functions: what is sent, and what each kind of answer means."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.models.completions import (
    Price,
    Trouble,
    read_completion,
    read_refusal,
    request_body,
    request_tokens,
    shown,
)
from pipelines.models.engine import Reply, Request
from pipelines.records import Message

ASKED = Request(messages=(Message(role="user", content="A or B?"),), answers=("A", "B"))
FREE = Request(messages=(Message(role="user", content="Why?"),), max_tokens=50)


def completion(**choice: Any) -> bytes:
    usage = {"prompt_tokens": 10, "completion_tokens": 2}
    return json.dumps({"choices": [choice], "usage": usage}).encode()


def listed(*tokens: tuple[str, float]) -> bytes:
    top = [{"token": token, "logprob": math.log(p)} for token, p in tokens]
    return completion(
        message={"content": "A"}, logprobs={"content": [{"token": "A", "top_logprobs": top}]}
    )


def logprobs_of(payload: bytes) -> tuple[float, float]:
    reply = read_completion(ASKED, payload, None)
    assert isinstance(reply, Reply)
    assert reply.answer_logprobs is not None
    first, second = map(math.exp, reply.answer_logprobs)
    return first, second


def test_a_question_about_two_answers_asks_for_one_token_and_its_alternatives():
    body = request_body(ASKED, "m", {"top_k": 1})
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "A or B?"}],
        "temperature": 0.0,
        "max_tokens": 1,
        "logprobs": True,
        "top_logprobs": 20,
        "top_k": 1,
    }


def test_a_question_in_words_sends_what_is_set_and_nothing_else():
    more = Request(FREE.messages, max_tokens=9, temperature=0.3, seed=7, stop=("\n",))
    body = request_body(more, "m", {}, max_tokens_key="max_completion_tokens")
    assert (body["max_completion_tokens"], body["seed"], body["stop"]) == (9, 7, ["\n"])
    assert "logprobs" not in body
    assert {"seed", "top_p"}.isdisjoint(request_body(FREE, "m", {}))
    assert request_body(replace(FREE, top_p=0.9), "m", {})["top_p"] == 0.9


def test_spellings_with_white_space_count_together():
    # P(A) = .5 + .1 (" A"); P(B) = .2; the word "Apple" is not the answer A
    first, second = logprobs_of(listed(("A", 0.5), (" A", 0.1), ("B", 0.2), ("Apple", 0.15)))
    assert (first, second) == (pytest.approx(0.6), pytest.approx(0.2))


def test_an_answer_that_is_not_listed_has_at_most_what_is_left():
    # B is not listed: at most the least listed one (.1), at most what is left (1 - .95 = .05)
    assert logprobs_of(listed(("A", 0.85), ("The", 0.1))) == (
        pytest.approx(0.85),
        pytest.approx(0.05),
    )
    assert logprobs_of(listed(("A", 0.5), ("The", 0.1)))[1] == pytest.approx(0.1)
    assert logprobs_of(listed(("A", 1.0)))[1] == pytest.approx(1e-10)


def test_neither_answer_among_the_likeliest_is_unparsed_not_a_coin_toss():
    reply = read_completion(ASKED, listed(("<think>", 0.9), ("Sure", 0.05)), None)
    assert isinstance(reply, Reply)
    assert reply.failure == "unparsed"
    assert 'neither "A" nor "B" is among the 2 likeliest' in (reply.detail or "")


@pytest.mark.parametrize(
    "logprobs",
    [None, {}, {"content": None}, {"content": []}, {"content": [{"token": "A"}]}, "yes"],
)
def test_an_answer_without_log_probabilities_is_noticed(logprobs):
    found = read_completion(ASKED, completion(message={"content": "A"}, logprobs=logprobs), None)
    assert isinstance(found, Trouble)
    assert found.kind == "no_logprobs"


def test_tokens_are_counted_by_the_server_or_guessed_and_priced():
    price = Price(usd_per_1m_input=2.0, usd_per_1m_output=10.0)
    reply = read_completion(FREE, completion(message={"content": "Because."}), price)
    assert isinstance(reply, Reply)
    # 10 * 2 / 1e6 + 2 * 10 / 1e6
    assert reply.cost_usd == pytest.approx(40e-6)
    bare = json.dumps({"choices": [{"message": {"content": "x" * 400}}]}).encode()
    guessed = read_completion(FREE, bare, price)
    assert isinstance(guessed, Reply)
    assert (guessed.prompt_tokens, guessed.completion_tokens) == (request_tokens(FREE), 101)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, b"", "throttled"),
        (503, b"", "throttled"),
        (500, b"<html>", "down"),
        (408, b"", "down"),
        (400, b'{"error": {"message": "too long"}}', "question"),
        (422, b'{"detail": [{"msg": "bad"}]}', "question"),
        (400, b'{"error": {"code": "content_filter", "message": "no"}}', "refused"),
        (401, b'{"error": "who?"}', "setting"),
        (404, b'{"message": "no model", "type": "NotFoundError"}', "setting"),
        (429, b'{"error": {"code": "insufficient_quota"}}', "setting"),
        (307, b"", "setting"),
    ],
)
def test_each_status_means_one_thing(status, body, kind):
    assert read_refusal(status, body).kind == kind


def test_error_messages_are_found_in_every_shape():
    for body in (
        b'{"error": {"message": "too long"}}',
        b'{"error": "too long"}',
        b'[{"error": {"message": "too long"}}]',
        b'{"message": "too long"}',
        b"too long",
    ):
        assert read_refusal(400, body).detail == "HTTP 400: too long"


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fall_over(payload):
    for request in (ASKED, FREE):
        assert isinstance(read_completion(request, payload, None), Trouble)
    assert read_refusal(400, payload).detail.startswith("HTTP 400")


KEYS = (
    *("choices", "message", "content", "logprobs", "top_logprobs", "token", "logprob"),
    *("finish_reason", "refusal", "usage", "prompt_tokens", "error"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(JSON, st.booleans())
@example({"message": {"refusal": ["no"]}}, True)
def test_no_json_makes_it_fall_over(answer, in_choice):
    payload = json.dumps({"choices": [answer]} if in_choice else answer).encode()
    for request in (ASKED, FREE):
        found = read_completion(request, payload, Price(1.0, 1.0))
        assert isinstance(found, Reply | Trouble)
        json.dumps([found.detail]).encode()
    read_refusal(500, payload)


@given(st.text(alphabet=st.characters(), max_size=2000))
def test_what_is_shown_is_one_short_printable_line(text):
    line = shown(text)
    assert len(line) <= 300
    assert line.isprintable()
    line.encode()
