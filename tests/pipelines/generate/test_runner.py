"""Generating against a real server: what is kept, what is asked again, what a kill repeats."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from protocol_server import ServerHandle

from pipelines.errors import BadInput
from pipelines.generate.draw import Sampling
from pipelines.generate.log import read_state
from pipelines.generate.manifest import read_manifest
from pipelines.generate.prompts import PromptFile, read_prompts
from pipelines.generate.reading import read_candidates
from pipelines.generate.records import Candidate
from pipelines.generate.runner import GenerateFolder, GenerateRun, run_generate
from pipelines.models.completions import Price
from pipelines.models.endpoint import Endpoint, EndpointEngine
from pipelines.models.retry import Backoff
from pipelines.models.spec import ModelSpec
from pipelines.stages.budget import Budget, Limits
from pipelines.stages.lock import project_lock

N_PROMPTS = 30


@dataclass
class World:
    """A folder with prompts, a model and a server."""

    folder: Path
    server: ServerHandle
    prompts: PromptFile
    n: int = 4
    temperature: float = 1.0
    price: Price | None = None

    def sampling(self) -> Sampling:
        keys: dict[str, Any] = {"temperature": self.temperature}
        if self.price is not None:
            keys |= vars_of(self.price)
        return Sampling(
            ModelSpec(name="m", model="m", base_url=self.server.url, **keys), n_candidates=self.n
        )

    def generate(self, limits: Limits | None = None, **more: Any) -> GenerateRun:
        engine = EndpointEngine(
            Endpoint(
                self.server.url,
                "m",
                concurrency=8,
                retries=2,
                backoff=Backoff(first_s=0.01, longest_s=0.05),
                price=self.price,
            ),
            random.Random(1),
        )
        with project_lock(self.folder, "generate"):
            return asyncio.run(
                run_generate(
                    self.folder,
                    self.prompts,
                    self.sampling(),
                    lambda: engine,
                    Budget(limits or Limits()),
                    **more,
                )
            )

    def candidates(self) -> dict[tuple[str, int], Candidate]:
        found = {}
        for one in read_candidates(self.folder):
            assert (one.prompt_id, one.index) not in found
            found[one.prompt_id, one.index] = one
        return found


def vars_of(price: Price) -> dict[str, float]:
    return {
        "usd_per_1m_input": price.usd_per_1m_input,
        "usd_per_1m_output": price.usd_per_1m_output,
    }


@pytest.fixture
def world(tmp_path: Path, protocol_server: ServerHandle) -> World:
    protocol_server.set(text="Answer {digest}", seeded=True)
    path = tmp_path / "prompts.jsonl"
    rows = [{"id": f"p{k}", "prompt": f"Name river {k}."} for k in range(N_PROMPTS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return World(tmp_path, protocol_server, read_prompts(path))


def test_every_prompt_gets_its_candidates_once(world):
    run = world.generate()
    assert (run.ended, run.n_drawn, run.n_candidates, run.n_new) == ("done", 30, 120, 120)
    assert run.failed == {}
    found = world.candidates()
    assert len(found) == 120
    assert len({one.response for one in found.values()}) == 120
    again = world.generate()
    assert (again.n_new, again.spent.requests, again.n_candidates) == (0, 0, 120)
    assert world.candidates() == found
    stats = world.server.stats()
    assert (stats["distinct"], stats["repeated"]) == (120, 0)


def test_more_candidates_are_added_and_another_temperature_samples_anew(world):
    world.generate()
    first = world.candidates()
    world.n = 5
    assert world.generate().n_new == 30
    assert world.candidates().items() >= first.items()
    world.temperature = 0.5
    world.n = 2
    run = world.generate()
    assert run.n_new == 60
    assert len(world.candidates()) == 60
    assert read_manifest(GenerateFolder(world.folder, "m").manifest, "m").spent.requests == 210


def test_failures_are_counted_by_reason_and_retried_when_asked(world):
    world.server.set(
        faults=[
            {"kind": "refuse", "match": "river 1."},
            {"kind": "cut", "match": "river 2."},
            {"kind": "400", "match": "river 3."},
        ]
    )
    run = world.generate()
    assert run.failed == {"refused": 4, "truncated": 4, "error": 4}
    found = world.candidates()
    assert found["p2", 0].response == "Well, "
    assert "the prompt is too long" in (found["p3", 0].detail or "")
    world.server.set(faults=[])
    assert world.generate().spent.requests == 0
    again = world.generate(retry_failed=True)
    assert (again.spent.requests, again.failed, again.n_aside) == (12, {}, 12)
    assert len(world.candidates()) == 120


def test_a_busy_and_breaking_server_loses_nothing(world):
    world.server.set(
        at_once=3,
        faults=[
            {"kind": "500", "share": 0.2, "times": 1},
            {"kind": "truncate", "share": 0.2, "times": 1},
            {"kind": "not-json", "share": 0.1, "times": 1},
        ],
    )
    run = world.generate()
    assert (run.ended, run.n_candidates, run.failed) == ("done", 120, {})
    assert run.spent.calls > run.spent.requests == 120


def test_a_dead_server_ends_the_run_and_keeps_what_was_drawn(world):
    world.generate(Limits(max_requests=40))
    before = world.candidates()
    world.server.set(faults=[{"kind": "close"}])
    run = world.generate()
    assert run.ended == "service"
    assert run.error
    assert world.candidates().items() >= before.items()
    world.server.set(faults=[])
    assert world.generate().n_candidates == 120
    assert world.candidates().items() >= before.items()


def test_a_run_stops_before_its_bounds_and_goes_on(world):
    run = world.generate(Limits(max_requests=50))
    assert (run.ended, run.spent.requests) == ("max_requests", 50)
    assert run.n_pending > 0
    world.price = Price(10.0, 10.0)
    spent = 0.0
    for _ in range(200):
        run = world.generate(Limits(budget_usd=0.05))
        assert run.spent.usd <= 0.05
        spent += run.spent.usd
        if run.ended == "done":
            break
        assert run.ended == "budget_usd"
    assert run.n_candidates == 120
    assert spent > 0
    assert world.server.stats()["repeated"] == 0


def test_a_torn_line_and_a_damaged_one_are_drawn_again(world):
    world.generate()
    before = {key: one.response for key, one in world.candidates().items()}
    log = GenerateFolder(world.folder, "m").log
    lines = log.read_bytes().splitlines(keepends=True)
    drawn = [number for number, line in enumerate(lines) if b'"kind":"drawn"' in line]
    lines[drawn[0]] = b'{"kind": "drawn"\n'
    log.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
    run = world.generate()
    assert run.torn_bytes == 20
    assert run.n_damaged == 1
    assert {key: one.response for key, one in world.candidates().items()} == before


CHILD = """
import asyncio, json, sys
from pathlib import Path
from pipelines.generate.draw import Sampling
from pipelines.generate.prompts import read_prompts
from pipelines.generate.runner import run_generate
from pipelines.stages.budget import Budget, Limits
from pipelines.stages.lock import project_lock
from pipelines.models.opening import build_engine
from pipelines.models.spec import ModelSpec
folder, url = Path(sys.argv[1]), sys.argv[2]
spec = ModelSpec(name="m", model="m", base_url=url, concurrency=8)
with project_lock(folder, "generate"):
    asyncio.run(run_generate(
        folder, read_prompts(folder / "prompts.jsonl"), Sampling(spec),
        lambda: build_engine(spec, folder), Budget(Limits())))
"""


def start_child(world: World) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", CHILD, str(world.folder), world.server.url]
    root = str(Path(__file__).parents[3])
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": root})


def test_killed_again_and_again_it_repeats_only_what_was_in_flight(world):
    world.server.set(delay_s=0.02)
    rng = random.Random(5)
    n_hit = 0
    for _ in range(4):
        before = world.server.stats()["requests"]
        child = start_child(world)
        while world.server.stats()["requests"] == before and child.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 0.06))
        n_hit += child.poll() is None
        child.send_signal(signal.SIGKILL)
        child.communicate()
    world.server.set(delay_s=0.0)
    run = world.generate()
    stats = world.server.stats()
    assert n_hit >= 2
    assert (run.n_drawn, run.n_candidates) == (30, 120)
    assert stats["distinct"] == 120
    assert stats["repeated"] <= n_hit * 8
    manifest = read_manifest(GenerateFolder(world.folder, "m").manifest, "m")
    assert [one.ended for one in manifest.runs].count("killed") == n_hit
    assert manifest.spent.requests == 120
    assert read_state(GenerateFolder(world.folder, "m").log, world.sampling()).n_damaged == 0


def test_two_runs_at_once_are_refused(world):
    with (
        project_lock(world.folder, "generate"),
        pytest.raises(BadInput, match="workbench generate"),
    ):
        world.generate()
