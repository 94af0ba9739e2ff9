"""A tiny folder behind a real `transformers serve`, asked through the endpoint's client."""

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from pipelines.errors import BadInput
from pipelines.judge.modes import judge_pair
from pipelines.judge.spec import JudgeSpec
from pipelines.judge.template import load_template
from pipelines.models.endpoint import Endpoint, EndpointEngine
from pipelines.models.engine import Engine, Reply, Request
from pipelines.models.local import LocalEngine, LocalModel
from pipelines.records import Judgment, Message, PreferencePair

DATA = Path(__file__).parents[3] / "data"
START_S = 180.0  # a loaded machine imports transformers slowly


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers_health(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


@pytest.fixture(scope="module")
def server(long_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a server that has loaded the folder."""
    port = free_port()
    log = tmp_path_factory.mktemp("serve") / "log"
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(long_llama)]
    command += ["--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
    try:
        until = time.monotonic() + START_S
        while not answers_health(port):
            if process.poll() is not None or time.monotonic() > until:
                pytest.fail(f"transformers serve did not start: {log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def ask(engine: Engine, requests: Sequence[Request]) -> list[Reply]:
    async def source() -> AsyncIterator[tuple[int, Request]]:
        for numbered in enumerate(requests):
            yield numbered

    async def collect() -> dict[int, Reply]:
        return {key: reply async for key, reply in engine.ask(source())}

    replies = asyncio.run(collect())
    return [replies[key] for key in sorted(replies)]


def user(text: str) -> tuple[Message, ...]:
    return (Message(role="user", content=text),)


def test_text_through_the_server_is_the_text_of_the_local_engine(
    server: str, long_llama: Path
) -> None:
    requests = [
        Request(user(f"Which response is better, {number}?"), max_tokens=6) for number in range(4)
    ]
    served = ask(EndpointEngine(Endpoint(server, str(long_llama))), requests)
    local = ask(LocalEngine(LocalModel(str(long_llama), device="cpu")), requests)
    assert [reply.failure for reply in served] == [None] * 4
    for far, near in zip(served, local, strict=True):
        assert (far.text, far.finish) == (near.text, near.finish)
        assert far.prompt_tokens == near.prompt_tokens


def test_a_verdict_is_asked_for_and_what_nobody_can_read_is_a_failure(
    server: str, long_llama: Path
) -> None:
    # Random weights say nothing that is a verdict: after one repair question it is unparsed.
    spec = JudgeSpec(
        name="tiny", model=str(long_llama), base_url=server, mode="verdict", max_tokens=8
    )
    template = load_template(spec, [DATA])
    pair = PreferencePair(id="p", prompt="Why?", response_a="Because.", response_b="So.")
    engine = EndpointEngine(Endpoint(server, str(long_llama)))
    steps = judge_pair(spec, template, pair, "ab")
    n_asked = 0
    requests = next(steps)
    while True:
        n_asked += len(requests)
        try:
            requests = steps.send(tuple(ask(engine, requests)))
        except StopIteration as done:
            judgment: Judgment = done.value
            break
    assert judgment.label is None
    assert judgment.failure in ("unparsed", "truncated")
    assert judgment.raw
    assert 1 <= n_asked <= 2


def test_a_server_that_ignores_logprobs_is_noticed_at_the_first_answer(
    server: str, long_llama: Path
) -> None:
    requests = [Request(user(f"{number}?"), answers=("A", "B")) for number in range(50)]
    with pytest.raises(BadInput) as caught:
        ask(EndpointEngine(Endpoint(server, str(long_llama), concurrency=2)), requests)
    said = str(caught.value)
    assert "ignores logprobs" in said
    assert 'set mode = "verdict"' in said
    assert "\n" not in said
