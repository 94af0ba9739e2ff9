"""Adaptive concurrency and waits, in the event loop's own time."""

import asyncio
import random
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.models.limits import AdaptiveLimit
from pipelines.models.retry import Backoff, retry_after_s


def test_a_busy_server_halves_the_number_once_per_round_and_answers_give_it_back():
    async def run() -> None:
        limit = AdaptiveLimit(16, random.Random(0))
        started = [await limit.enter() for _ in range(16)]
        for one in started[:8]:  # all of one round: one cut
            limit.leave()
            limit.throttled(one, 0.0)
        assert limit.limit == 8.0
        for _ in range(8):
            limit.leave()
            limit.answered()
        # One more call for each round trip of 8: 8 + 8 * (1 / 8 to 1 / 9) is a little under 9.
        assert 8.9 < limit.limit < 9.0
        again = await limit.enter()
        limit.leave()
        limit.throttled(again, 0.0)
        assert 4.4 < limit.limit < 4.5
        for _ in range(10_000):
            limit.answered()
        assert limit.limit == 16.0

    asyncio.run(run())


def test_it_never_falls_under_one_call():
    async def run() -> None:
        limit = AdaptiveLimit(4, random.Random(0))
        for _ in range(10):
            started = await limit.enter()
            limit.leave()
            limit.throttled(started, 0.0)
        assert (limit.limit, limit.lowest) == (1.0, 1)
        await asyncio.wait_for(limit.enter(), 1.0)

    asyncio.run(run())


def test_nobody_starts_while_the_server_asked_for_rest():
    async def run() -> float:
        limit = AdaptiveLimit(4, random.Random(0))
        started = await limit.enter()
        limit.leave()
        limit.throttled(started, 0.1)
        waiting = [asyncio.create_task(limit.enter()) for _ in range(3)]
        done = await asyncio.gather(*waiting[:2])
        waiting[2].cancel()
        return min(done) - started

    assert 0.1 <= asyncio.run(run()) < 1.0


def test_a_place_given_to_a_call_that_was_cancelled_is_not_lost():
    async def run() -> None:
        limit = AdaptiveLimit(1, random.Random(0))
        await limit.enter()
        waiting = asyncio.create_task(limit.enter())
        await asyncio.sleep(0)
        limit.leave()  # gives the place to the waiting one ...
        waiting.cancel()  # ... which goes away
        await asyncio.gather(waiting, return_exceptions=True)
        assert limit.n_in_flight == 0
        await asyncio.wait_for(limit.enter(), 1.0)

    asyncio.run(run())


@given(st.integers(1, 200), st.integers(0, 1000))
def test_waits_grow_and_are_bounded(n_failed, seed):
    backoff = Backoff(first_s=0.25, factor=2.0, longest_s=30.0)
    ceiling = min(30.0, 0.25 * 2.0 ** (n_failed - 1))
    assert 0.1 * ceiling <= backoff.wait_s(n_failed, random.Random(seed)) <= ceiling


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": " 1.5 "}, 1.5),
        ({"retry-after-ms": "250", "Retry-After": "7"}, 0.25),
        ({"Retry-After": formatdate(1030.0, usegmt=True)}, 30.0),
        ({"Retry-After": formatdate(10.0, usegmt=True)}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "²"}, None),
    ],
)
def test_what_a_server_asks_for_is_read_in_every_form(headers, seconds):
    assert retry_after_s(headers, now=1000.0) == seconds
