"""The client against `transformers serve`, a real server that somebody else wrote."""

import asyncio
import importlib.util
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import BadInput
from pipelines.generate.reading import read_candidates
from pipelines.models.endpoint import Endpoint, EndpointEngine
from pipelines.models.engine import Reply, Request
from pipelines.records import Message
from pipelines.sandbox.world import find_situation, score
from workbench.cli import main
from workbench.data_files import data_dir
from workbench.project import Project

_START_S = 120.0


@pytest.fixture(scope="module")
def address(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a server on CPU; it loads the model that a request names."""
    if any(importlib.util.find_spec(name) is None for name in ("fastapi", "openai")):
        if os.environ.get("CI"):
            pytest.fail("CI must have transformers[serving]")
        pytest.skip("this machine has no transformers[serving]")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    said = tmp_path_factory.mktemp("serve") / "log.txt"
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve"]
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with said.open("w") as log:
        process = subprocess.Popen(
            [*command, *options], stdout=log, stderr=subprocess.STDOUT, env=environment
        )
    try:
        _wait(f"http://127.0.0.1:{port}/health", process, said)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def _wait(url: str, process: "subprocess.Popen[bytes]", said: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            opener.open(url, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    pytest.fail(f"transformers serve did not start:\n{said.read_text()[-2000:]}")


def ask(address: str, model: str, requests: list[Request]) -> list[Reply]:
    endpoint = Endpoint(address, model, concurrency=2, timeout_s=120.0, retries=1)

    async def run() -> list[Reply]:
        async def source() -> AsyncIterator[tuple[int, Request]]:
            for number, request in enumerate(requests):
                yield number, request

        engine = EndpointEngine(endpoint, random.Random(0))
        found = {number: reply async for number, reply in engine.ask(source())}
        return [found[number] for number in range(len(requests))]

    return asyncio.run(run())


def question(text: str) -> tuple[Message, ...]:
    return (
        Message(role="system", content="You judge."),
        Message(role="user", content=f"Which is better, A or B? {text}"),
    )


def test_text_and_tokens_come_back(address, llama):
    requests = [Request(question(str(number)), max_tokens=6) for number in range(4)]
    for reply in ask(address, str(llama), requests):
        assert reply.failure is None, reply
        assert isinstance(reply.text, str)
        assert reply.finish in ("stop", "length")
        assert reply.prompt_tokens > 10
        assert 1 <= reply.completion_tokens <= 6


def test_it_ignores_logprobs_and_that_is_noticed_at_once(address, llama):
    requests = [Request(question(str(number)), answers=("A", "B")) for number in range(50)]
    with pytest.raises(BadInput, match=r'ignores logprobs.*set mode = "verdict"'):
        ask(address, str(llama), requests)


def runner(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """Runs a command on the project; what its --json says."""

    def run(*arguments: str) -> Any:
        command = ["workbench", *arguments, "--project", str(project.dir), "--json"]
        monkeypatch.setattr("sys.argv", command)
        with pytest.raises(SystemExit) as ended:
            main.main()
        assert not ended.value.code
        return json.loads(capsys.readouterr().out)

    return run


def test_a_project_goes_through_generate_and_judge(
    address, long_llama, tmp_path, monkeypatch, capsys
):
    # Random weights hardly ever say one certain token: let a third of all tokens end a text.
    talker = tmp_path / "talker"
    shutil.copytree(long_llama, talker)
    ends = list(range(3, 203))
    settings = {"eos_token_id": ends, "do_sample": True}  # without, this server is greedy
    (talker / "generation_config.json").write_text(json.dumps(settings))
    project = Project.create(tmp_path / "project")
    with (project.dir / "project.toml").open("a") as config:
        config.write(
            f'[[models]]\nname = "talker"\nmodel = "{talker}"\nbase_url = "{address}"\n'
            "max_tokens = 16\nconcurrency = 2\n"
            f'[[judges]]\nname = "j"\nmodel = "{long_llama}"\nbase_url = "{address}"\n'
            'mode = "verdict"\norders = ["ab"]\nmax_tokens = 4\nconcurrency = 2\n'
        )
    (project.dir / "p.txt").write_text("Why does the kettle sing?\nWhich is better?\n")

    run = runner(project, monkeypatch, capsys)
    found = run("generate", "--prompts", str(project.dir / "p.txt"))
    (generated,) = found["runs"]
    assert (generated["n_drawn"], generated["n_candidates"]) == (2, 8)
    assert found["pairs"]["n_pairs"] == found["pairs"]["n_new"] == len(project.store) > 0
    assert {one.model for one in read_candidates(project.dir)} == {"talker"}
    (judged,) = run("judge")["judges"]
    # It speaks no sense, so no verdict can be read; each is kept as such.
    assert judged["n_pending"] == 0
    assert judged["n_judged"] + sum(judged["failed"].values()) == len(project.store)


def test_a_project_with_the_tiny_model_of_the_help_desk_goes_through_generate_and_judge(
    address, tmp_path, monkeypatch, capsys
):
    """The shipped model as it is: it answers customers; as a judge it can only talk."""
    helpdesk = data_dir() / "helpdesk"
    project = Project.create(tmp_path / "project")
    with (project.dir / "project.toml").open("a") as config:
        for section, more in (("models", "max_tokens = 64"), ("judges", 'mode = "verdict"')):
            config.write(
                f'[[{section}]]\nname = "tiny"\nmodel = "{helpdesk / "model"}"\n'
                f'base_url = "{address}"\nconcurrency = 2\n{more}\n'
            )
    prompts = (helpdesk / "prompts-held-out.jsonl").read_text("utf-8").splitlines(keepends=True)
    (project.dir / "prompts.jsonl").write_text("".join(prompts[:4]), encoding="utf-8")
    run = runner(project, monkeypatch, capsys)
    found = run("generate", "-n", "3")
    (generated,) = found["runs"]
    assert (generated["n_candidates"], generated["failed"]) == (12, {})
    kept = [
        score(situation, one.response or "")
        for one in read_candidates(project.dir)
        if (situation := find_situation(str(one.prompt))) is not None
    ]
    assert sum(one["fluent"] for one in kept) >= 10
    assert len(project.store) == found["pairs"]["n_pairs"] >= 8
    (judged,) = run("judge")["judges"]
    assert judged["n_pending"] == 0
    failed = sum(judged["failed"].values())
    assert judged["n_judged"] + failed == 2 * len(project.store) or failed == len(project.store)
