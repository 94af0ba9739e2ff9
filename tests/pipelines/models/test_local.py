"""The local engine as a judge uses it: requests in, replies out, whatever the source does."""

import asyncio
import math
import random
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
import tiny_models as tiny
import torch

from pipelines.errors import BadInput
from pipelines.models.completions import Price
from pipelines.models.engine import Reply, Request
from pipelines.models.local import LocalEngine, LocalModel
from pipelines.records import Message

PREAMBLE = "You judge which of two responses is better. " + tiny.sentence(1, 60)


@pytest.fixture(scope="module")
def engine(llama: Path) -> LocalEngine:
    return LocalEngine(LocalModel(str(llama), device="cpu", max_batch=8))


def question(number: int, **more: Any) -> Request:
    text = tiny.sentence(number, 5 + number * 7 % 40)
    messages = (Message(role="system", content=PREAMBLE), Message(role="user", content=text))
    shared: dict[str, Any] = {"shared_chars": len(PREAMBLE), "answers": ("A", "B")}
    return Request(messages=messages, **shared | more)


def writing(number: int, **more: Any) -> Request:
    return question(number, **{"answers": None, "max_tokens": 4} | more)


async def streamed(requests: Iterable[Request]) -> AsyncIterator[tuple[int, Request]]:
    for number, request in enumerate(requests):
        yield number, request


def ask(engine: LocalEngine, requests: Iterable[Request]) -> list[Reply]:
    """The replies in the order of the requests."""

    async def collect() -> dict[int, Reply]:
        return {key: reply async for key, reply in engine.ask(streamed(requests))}

    replies = asyncio.run(collect())
    return [replies[key] for key in sorted(replies)]


def chances(reply: Reply) -> tuple[float, float]:
    assert reply.answer_logprobs is not None, reply.detail
    return math.exp(reply.answer_logprobs[0]), math.exp(reply.answer_logprobs[1])


def test_answers_have_the_probabilities_of_the_models_next_token(engine: LocalEngine) -> None:
    from pipelines.models.local_model import load

    loaded = load(LocalModel(engine.name, device="cpu"))
    requests = [question(number) for number in range(20)]
    for request, reply in zip(requests, ask(engine, requests), strict=True):
        messages = [{"role": m.role, "content": m.content} for m in request.messages]
        ids = loaded.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_dict=False
        )
        with torch.inference_mode():
            logits = loaded.model(input_ids=torch.tensor([ids])).logits[0, -1]
        letters = loaded.tokenizer.convert_tokens_to_ids(["A", "B"])
        expected = torch.softmax(logits, 0)[letters].tolist()
        assert chances(reply) == pytest.approx(expected, rel=1e-4)
        assert (reply.prompt_tokens, reply.completion_tokens) == (len(ids), 1)


def test_every_request_of_a_mixed_stream_is_answered_once(engine: LocalEngine) -> None:
    requests = [question(k) if k % 3 else writing(k) for k in range(100)]
    replies = ask(engine, requests)
    assert len(replies) == 100
    for request, reply in zip(requests, replies, strict=True):
        assert (reply.answer_logprobs is None) == (request.answers is None)
        assert (reply.text is None) == (request.answers is not None)


def test_the_same_stream_gives_the_same_replies(engine: LocalEngine) -> None:
    requests = [question(k) if k % 2 else writing(k, temperature=1.0, seed=k) for k in range(60)]
    assert ask(engine, requests) == ask(engine, requests)


def test_ones_own_machine_is_free_unless_it_has_a_price(llama: Path, engine: LocalEngine) -> None:
    (free,) = ask(engine, [question(1)])
    assert free.cost_usd == 0.0
    dear = LocalEngine(LocalModel(str(llama), device="cpu", price=Price(2.0, 10.0)))
    scored, written = ask(dear, [question(1), writing(1)])
    assert scored.cost_usd == pytest.approx((2 * scored.prompt_tokens + 10) / 1e6)
    assert written.cost_usd == pytest.approx(
        (2 * written.prompt_tokens + 10 * written.completion_tokens) / 1e6
    )


def test_a_stream_without_requests_has_no_replies(engine: LocalEngine) -> None:
    assert ask(engine, []) == []


def test_a_source_may_wait_for_a_reply_before_it_asks_on(engine: LocalEngine) -> None:
    # As with a rationale: first the text, then a question on top of it.
    async def judged() -> list[int]:
        come_back: asyncio.Queue[int] = asyncio.Queue()

        async def source() -> AsyncIterator[tuple[int, Request]]:
            for number in range(50):
                yield number, writing(number)
            for _ in range(50):
                number = await come_back.get()
                await asyncio.sleep(0.001 * (number % 4))
                yield number + 100, question(number)

        order = []
        async for key, reply in engine.ask(source()):
            order.append(key)
            if reply.text is not None:
                come_back.put_nowait(key)
        return order

    order = asyncio.run(asyncio.wait_for(judged(), 60))
    assert sorted(order) == [*range(50), *range(100, 150)]


@pytest.mark.parametrize("n_first", [1, 255, 256, 257, 300])
def test_a_source_may_wait_at_any_number(llama: Path, n_first: int) -> None:
    engine = LocalEngine(LocalModel(str(llama), device="cpu", max_batch=128))

    async def answered() -> int:
        n_answered, all_back = 0, asyncio.Event()

        async def source() -> AsyncIterator[tuple[int, Request]]:
            for number in range(n_first):
                yield number, question(number % 9)
            await all_back.wait()
            yield n_first, question(1)

        async for _ in engine.ask(source()):
            n_answered += 1
            if n_answered == n_first:
                all_back.set()
        return n_answered

    assert asyncio.run(asyncio.wait_for(answered(), 60)) == n_first + 1


def test_no_more_than_the_window_is_ever_held(engine: LocalEngine) -> None:
    async def most_held() -> int:
        held = most = 0

        async def source() -> AsyncIterator[tuple[int, Request]]:
            nonlocal held, most
            for number in range(100):
                held += 1
                most = max(most, held)
                yield number, question(number)

        async for _ in engine.ask(source()):
            held -= 1
        return most

    # One more may be on its way: the source has made it, and nobody has taken it yet.
    assert engine.window <= asyncio.run(most_held()) <= engine.window + 1


def test_closing_drops_what_is_in_flight_and_leaves_no_thread(engine: LocalEngine) -> None:
    closed = []

    async def source() -> AsyncIterator[tuple[int, Request]]:
        try:
            for number in range(10_000):
                yield number, writing(number, max_tokens=200)
        finally:
            closed.append(True)

    async def first_only() -> None:
        requests = source()
        replies = engine.ask(requests)
        await anext(replies)
        await replies.aclose()
        await requests.aclose()

    asyncio.run(asyncio.wait_for(first_only(), 60))
    assert closed == [True]
    assert not [t for t in threading.enumerate() if t.name.startswith("local-model")]
    assert len(ask(engine, [question(1)])) == 1  # and works on


def test_a_task_that_is_cancelled_leaves_the_engine_usable(engine: LocalEngine) -> None:
    async def cut() -> None:
        async def collect() -> None:
            async for _ in engine.ask(streamed(writing(k, max_tokens=300) for k in range(50))):
                pass

        task = asyncio.create_task(collect())
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cut())
    assert not [t for t in threading.enumerate() if t.name.startswith("local-model")]
    assert len(ask(engine, [question(1)])) == 1


def test_two_streams_at_once_take_turns(engine: LocalEngine) -> None:
    requests = [question(number) for number in range(30)]

    async def both() -> list[dict[int, Reply]]:
        async def collect() -> dict[int, Reply]:
            return {key: reply async for key, reply in engine.ask(streamed(requests))}

        return list(await asyncio.gather(collect(), collect()))

    first, second = asyncio.run(both())
    for key, reply in first.items():
        assert chances(reply) == pytest.approx(chances(second[key]), rel=1e-4)


def test_what_goes_wrong_in_the_source_comes_out(engine: LocalEngine) -> None:
    async def broken() -> AsyncIterator[tuple[int, Request]]:
        yield 1, question(1)
        raise BadInput("pairs.jsonl:7: torn")

    async def collect() -> None:
        async for _ in engine.ask(broken()):
            pass

    with pytest.raises(BadInput, match="torn"):
        asyncio.run(collect())


def test_a_prompt_longer_than_the_context_fails_alone(engine: LocalEngine) -> None:
    long = Message(role="user", content="kettle " * 600)
    requests = [
        question(1),
        Request(messages=(long,), answers=("A", "B")),
        Request(messages=(long,), max_tokens=5),
        question(2),
    ]
    replies = ask(engine, requests)
    assert [reply.failure for reply in replies] == [None, "error", "error", None]
    assert replies[1].detail is not None
    assert "is longer than the context of" in replies[1].detail
    assert "(512 tokens)" in replies[1].detail


def test_answers_that_are_not_one_token_stop_the_run_before_it_begins(engine: LocalEngine) -> None:
    with pytest.raises(BadInput, match="the answer 'Response one' is not one token after"):
        ask(engine, [question(1, answers=("Response one", "B"))])


def test_an_answer_that_melts_into_one_rationale_fails_alone(engine: LocalEngine) -> None:
    def going_on(text: str) -> Request:
        messages = (Message(role="user", content="q"), Message(role="assistant", content=text))
        return Request(messages=messages, answers=("h", "t"))

    replies = ask(engine, [going_on("Letter:\n"), going_on("whic")])
    assert replies[0].failure is None
    assert replies[1].failure == "error"
    assert "is not one token" in str(replies[1].detail)


def test_a_model_that_gives_not_a_number_fails_and_is_never_scored(
    llama: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    subprocess.run(["cp", "-r", str(llama), str(broken)], check=True)
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"][3] = math.nan
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    engine = LocalEngine(LocalModel(str(broken), device="cpu"))
    for reply in ask(engine, [question(1), question(2)]):
        assert reply.failure == "error"
        assert "not-a-number" in str(reply.detail)


def test_a_limit_on_batches_changes_no_score(llama: Path, engine: LocalEngine) -> None:
    starved = LocalEngine(LocalModel(str(llama), device="cpu", max_batch_tokens=250))
    requests = [question(number) for number in range(40)]
    for small, whole in zip(ask(starved, requests), ask(engine, requests), strict=True):
        assert chances(small) == pytest.approx(chances(whole), rel=1e-4)


def test_a_request_that_memory_cannot_hold_is_a_failure_with_a_way_out(llama: Path) -> None:
    starved = LocalEngine(LocalModel(str(llama), device="cpu", max_batch_tokens=30))
    replies = ask(starved, [question(1, shared_chars=0), question(2, answers=None, max_tokens=9)])
    for reply in replies:
        assert reply.failure == "error"
        assert "do not fit into the memory of cpu; use a smaller model" in str(reply.detail)


def test_importing_the_engine_imports_no_torch() -> None:
    code = "import sys, pipelines.models.local; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_order_of_a_stream_changes_no_answer(engine: LocalEngine) -> None:
    requests = [question(number) for number in range(40)]
    in_order = ask(engine, requests)
    order = random.Random(4).sample(range(40), 40)
    shuffled = ask(engine, [requests[number] for number in order])
    for number, reply in zip(order, shuffled, strict=True):
        assert chances(reply) == pytest.approx(chances(in_order[number]), rel=1e-4)
