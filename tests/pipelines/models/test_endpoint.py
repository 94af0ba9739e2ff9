"""The endpoint's client against a real server: what works, what breaks, what it says."""

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from protocol_server import ServerHandle

from pipelines.errors import BadInput, ServiceFailed
from pipelines.models.completions import Price
from pipelines.models.endpoint import Endpoint, EndpointEngine
from pipelines.models.engine import Reply, Request
from pipelines.models.retry import Backoff
from pipelines.records import Message

FAST = Backoff(first_s=0.01, longest_s=0.05)


def question(number: int, text: str = "Which one?", **more: Any) -> Request:
    return Request(messages=(Message(role="user", content=f"#{number}: {text}"),), **more)


def logprob_questions(n: int) -> list[Request]:
    return [question(number, answers=("A", "B")) for number in range(n)]


def engine_for(server: ServerHandle, **more: Any) -> EndpointEngine:
    settings = {"concurrency": 8, "timeout_s": 5.0, "retries": 3, "backoff": FAST, **more}
    return EndpointEngine(Endpoint(server.url, "m", **settings), random.Random(1))


async def replies_of(engine: EndpointEngine, requests: Iterable[Request]) -> list[Reply]:
    async def source() -> AsyncIterator[tuple[int, Request]]:
        for number, request in enumerate(requests):
            yield number, request

    found = {number: reply async for number, reply in engine.ask(source())}
    return [found[number] for number in sorted(found)]


def ask(engine: EndpointEngine, requests: Iterable[Request]) -> list[Reply]:
    return asyncio.run(replies_of(engine, requests))


def test_log_probabilities_come_back_for_the_two_answers(protocol_server):
    price = Price(usd_per_1m_input=1.0, usd_per_1m_output=2.0)
    replies = ask(engine_for(protocol_server, price=price), logprob_questions(50))
    assert len(replies) == 50
    for reply in replies:
        assert reply.answer_logprobs is not None
        first, second = map(math.exp, reply.answer_logprobs)
        assert first + second == pytest.approx(0.9)
        assert reply.cost_usd == pytest.approx((reply.prompt_tokens + 2) / 1e6)
        assert (reply.tries, reply.completion_tokens) == (1, 1)
    assert protocol_server.stats()["max_in_flight"] <= 8
    assert protocol_server.stats()["repeated"] == 0


def test_text_comes_back_with_its_tokens(protocol_server):
    (reply,) = ask(engine_for(protocol_server), [question(0, max_tokens=64)])
    assert reply.text is not None
    assert "Winner:" in reply.text
    assert reply.finish == "stop"
    assert reply.completion_tokens > 5
    assert reply.cost_usd is None  # no price


def test_as_many_are_in_flight_as_set_and_no_more(protocol_server):
    protocol_server.set(delay_s=0.05)
    start = time.monotonic()
    ask(engine_for(protocol_server, concurrency=10), logprob_questions(100))
    assert time.monotonic() - start < 2.0  # one by one it would be 5
    assert protocol_server.stats()["max_in_flight"] == 10


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("500", "HTTP 500: it broke"),
        ("502-html", "HTTP 502: <html>"),
        ("truncate", "ended half-way"),
        ("close", "no connection"),
        ("html", "it sent text/html, not JSON: <html>please log in"),
        ("not-json", "not JSON"),
        ("garbage", "not JSON"),
        ("array", "no choices"),
        ("no-choices", "no choices"),
        ("null-choices", "no choices"),
        ("error-200", "answered with an error: out of memory"),
        ("null-text", "no text"),
        ("huge", "longer than 16 MB"),
    ],
)
def test_a_broken_answer_is_asked_for_again_and_then_a_failure_that_says_why(
    protocol_server, kind, says
):
    passing = {"kind": kind, "times": 1, "match": "#7: "}
    lasting = {"kind": kind, "match": "#13: "}
    protocol_server.set(faults=[passing, lasting])
    replies = ask(engine_for(protocol_server), [question(number) for number in range(30)])
    assert [n for n, reply in enumerate(replies) if reply.failure is not None] == [13]
    assert (replies[7].failure, replies[7].tries) == (None, 2)
    failed = replies[13]
    assert (failed.failure, failed.outage) == ("error", True)
    assert says in (failed.detail or "")
    assert 3 <= failed.tries <= 4
    assert protocol_server.stats()["requests"] == 30 + 1 + failed.tries - 1


@pytest.mark.parametrize(
    ("kind", "failure", "says"),
    [
        ("400", "error", "HTTP 400: the prompt is too long"),
        ("400-filter", "refused", "HTTP 400: filtered"),
        ("403", "error", "HTTP 403: not for you"),
        ("refuse", "refused", "the content filter"),
        ("refusal-text", "refused", "I will not."),
    ],
)
def test_what_asking_again_cannot_change_is_asked_once(protocol_server, kind, failure, says):
    protocol_server.set(faults=[{"kind": kind, "match": "#13: "}])
    replies = ask(
        engine_for(protocol_server, concurrency=2), [question(number) for number in range(30)]
    )
    assert [reply.failure for reply in replies if reply.failure] == [failure]
    assert says in (replies[13].detail or "")
    assert (replies[13].tries, replies[13].outage) == (1, False)
    assert protocol_server.stats()["requests"] == 30


def test_text_that_was_cut_says_so_and_lone_surrogates_are_gone(protocol_server):
    faults = [{"kind": "cut", "match": "#0: "}, {"kind": "surrogates", "match": "#1: "}]
    protocol_server.set(faults=faults)
    cut, odd = ask(engine_for(protocol_server), [question(0), question(1)])
    assert (cut.text, cut.finish) == ("Well, ", "length")
    assert odd.text == "? Winner \0 ?"
    odd.text.encode()


def test_a_server_that_hangs_runs_into_the_time_limit(protocol_server):
    protocol_server.set(faults=[{"kind": "hang", "match": "#3: "}])
    engine = engine_for(protocol_server, timeout_s=0.3, retries=1)
    replies = ask(engine, [question(number) for number in range(10)])
    assert [reply.failure for reply in replies].count("error") == 1
    assert replies[3].detail == "no answer within 0.3 s"


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_gets_fewer_requests_and_still_answers_all(protocol_server, status):
    protocol_server.set(at_once=4, throttle_status=status, delay_s=0.02)
    engine = engine_for(protocol_server, concurrency=32)
    replies = ask(engine, logprob_questions(200))
    assert all(reply.answer_logprobs for reply in replies)
    assert engine.limit.lowest < 32
    stats = protocol_server.stats()
    assert stats["throttled"] >= 1
    assert stats["requests"] < 600  # not a storm: most calls are answered


def test_retry_after_is_waited_for_by_everybody(protocol_server):
    protocol_server.set(per_second=20, retry_after="1")
    start = time.monotonic()
    replies = ask(engine_for(protocol_server, concurrency=16), logprob_questions(45))
    seconds = time.monotonic() - start
    assert all(reply.answer_logprobs for reply in replies)
    assert seconds >= 1.0
    assert protocol_server.stats()["throttled"] <= 16 * 4


def test_a_server_that_asks_to_wait_for_an_hour_is_down(protocol_server):
    protocol_server.set(per_second=1, retry_after="3600")
    with pytest.raises(ServiceFailed, match=r"asks to wait 3,600 s .*run again later"):
        ask(engine_for(protocol_server), logprob_questions(10))


def test_a_server_that_ignores_logprobs_is_noticed_at_once(protocol_server):
    protocol_server.set(logprobs=False)
    with pytest.raises(BadInput, match=r'ignores logprobs.*set mode = "verdict"') as mistake:
        ask(engine_for(protocol_server, concurrency=2), logprob_questions(1000))
    assert "\n" not in str(mistake.value)
    assert protocol_server.stats()["requests"] <= 4


def test_a_server_that_tells_how_it_wants_to_be_asked_is_asked_so(protocol_server):
    protocol_server.set(max_tokens_key="max_completion_tokens", max_top_logprobs=5)
    replies = ask(engine_for(protocol_server), logprob_questions(40))
    assert all(reply.answer_logprobs for reply in replies)


def test_a_server_that_turns_every_question_away_is_not_asked_them_all(protocol_server):
    protocol_server.set(faults=[{"kind": "400"}])
    with pytest.raises(BadInput, match=r"first 20 questions \(HTTP 400: the prompt is too long\)"):
        ask(engine_for(protocol_server), [question(number) for number in range(500)])
    assert protocol_server.stats()["requests"] <= 40


def test_the_key_comes_from_the_environment_and_is_never_shown(protocol_server, monkeypatch):
    protocol_server.set(key="sk-right")
    with pytest.raises(BadInput, match="environment variable JUDGE_KEY is not set"):
        engine_for(protocol_server, api_key_env="JUDGE_KEY")
    monkeypatch.setenv("JUDGE_KEY", "sk-wrong")
    with pytest.raises(BadInput, match=r"HTTP 401.*right key into .* JUDGE_KEY") as mistake:
        ask(engine_for(protocol_server, api_key_env="JUDGE_KEY"), [question(0)])
    assert "sk-wrong" not in str(mistake.value)
    assert "***" in str(mistake.value)
    monkeypatch.setenv("JUDGE_KEY", "sk-right")
    (reply,) = ask(engine_for(protocol_server, api_key_env="JUDGE_KEY"), [question(0)])
    assert reply.failure is None


@pytest.mark.parametrize(
    ("behaviour", "error", "says"),
    [
        ({"model": "other"}, BadInput, "HTTP 404: The model `m` does not exist"),
        ({"faults": [{"kind": "redirect"}]}, BadInput, "HTTP 307; correct base_url"),
        ({"faults": [{"kind": "quota"}]}, BadInput, "HTTP 429"),
        ({"faults": [{"kind": "500"}]}, ServiceFailed, "HTTP 500: it broke, 4 tries"),
    ],
)
def test_what_no_request_can_get_past_stops_the_run(protocol_server, behaviour, error, says):
    protocol_server.set(**behaviour)
    with pytest.raises(error, match=says):
        ask(engine_for(protocol_server), [question(number) for number in range(300)])
    assert protocol_server.stats()["requests"] <= 8 * 4 + 8


def test_a_server_that_goes_away_stops_the_run_after_some_failures(protocol_server):
    protocol_server.set(faults=[{"kind": "close", "match": "late"}])
    requests = [question(n) for n in range(20)] + [question(n, "late") for n in range(500)]
    engine = engine_for(protocol_server, concurrency=8, retries=1)

    async def run() -> list[Reply]:
        found = []

        async def source() -> AsyncIterator[tuple[int, Request]]:
            for number, request in enumerate(requests):
                yield number, request

        async def take() -> None:
            async for _, reply in engine.ask(source()):
                found.append(reply)

        with pytest.raises(ServiceFailed, match="everything so far is kept"):
            await take()
        return found

    replies = asyncio.run(run())
    assert sum(reply.failure is None for reply in replies) == 20
    assert sum(reply.outage for reply in replies) == 7  # the eighth in a row is the end
    assert protocol_server.stats()["requests"] < 60


def test_nobody_at_that_address_is_one_sentence(protocol_server):
    endpoint = Endpoint("http://127.0.0.1:9/v1", "m", retries=1, backoff=FAST)
    with pytest.raises(ServiceFailed, match=r"127\.0\.0\.1:9/v1: no connection"):
        ask(EndpointEngine(endpoint, random.Random(0)), [question(0)])


def test_closing_the_stream_drops_what_is_in_flight(protocol_server):
    protocol_server.set(delay_s=0.2)

    async def run() -> int:
        async def source() -> AsyncIterator[tuple[int, Request]]:
            for number in range(1000):
                yield number, question(number)

        replies = engine_for(protocol_server, concurrency=4).ask(source())
        await anext(replies)
        await replies.aclose()
        return len(asyncio.all_tasks())

    assert asyncio.run(run()) == 1  # nothing is left running
    assert protocol_server.stats()["requests"] <= 8


def test_a_source_that_waits_for_replies_does_not_stall(protocol_server):
    """Each question follows from the reply before it, as a rationale comes before its question."""

    async def run() -> int:
        answered: asyncio.Queue[int] = asyncio.Queue()

        async def source() -> AsyncIterator[tuple[int, Request]]:
            yield 0, question(0)
            while (number := await answered.get()) < 20:
                yield number + 1, question(number + 1)

        count = 0
        async for number, _ in engine_for(protocol_server, concurrency=4).ask(source()):
            count += 1
            answered.put_nowait(number)
        return count

    assert asyncio.run(run()) == 21
