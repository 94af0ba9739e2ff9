"""The shipped project.toml examples: they load, and their judges judge, on tiny folders."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import pytest
from protocol_server import ServerHandle

from pipelines.config import load_config
from pipelines.judge.modes import asked_orders, judge_pair
from pipelines.judge.spec import JudgeSpec, Mode
from pipelines.judge.template import load_template
from pipelines.models.engine import Engine, Reply, Request
from pipelines.models.opening import build_engine
from pipelines.records import Judgment, PreferencePair

DATA = Path(__file__).parents[3] / "data"
EXAMPLES = sorted((DATA / "examples").glob("*.toml"))
PAIR = PreferencePair(
    id="p",
    prompt="Why does the kettle sing?",
    response_a="Small bubbles collapse on their way up.",
    response_b="It is happy.",
)


def judged(engine: Engine, spec: JudgeSpec) -> list[Judgment]:
    """A judgment in each order that the judge asks."""
    template = load_template(spec, [DATA])

    async def reply_to(requests: tuple[Request, ...]) -> tuple[Reply, ...]:
        async def source() -> AsyncIterator[tuple[int, Request]]:
            for numbered in enumerate(requests):
                yield numbered

        replies = {key: reply async for key, reply in engine.ask(source())}
        return tuple(replies[key] for key in range(len(requests)))

    async def judge() -> list[Judgment]:
        judgments = []
        for order in asked_orders(spec):
            steps = judge_pair(spec, template, PAIR, order)
            requests = next(steps)
            while True:
                try:
                    requests = steps.send(await reply_to(requests))
                except StopIteration as done:
                    judgments.append(done.value)
                    break
        return judgments

    return asyncio.run(judge())


def on_a_tiny_folder(spec: JudgeSpec, folder: Path) -> JudgeSpec:
    """The same judge on a model that this machine can hold; only few tokens are written."""
    local = spec.local.model_copy(update={"device": "cpu"})
    return spec.model_copy(update={"model": str(folder), "local": local, "max_tokens": 12})


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_project_file(example: Path, tmp_path: Path) -> None:
    shutil.copy(example, tmp_path / "project.toml")
    config = load_config(tmp_path)
    assert config.judges
    for spec in config.judges:
        load_template(spec, [DATA])
    assert config.audit.label in {"majority", "mean", *(spec.name for spec in config.judges)}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_with_what_it_leaves_out_written_in_is_one_too(
    example: Path, tmp_path: Path
) -> None:
    lines = example.read_text(encoding="utf-8").splitlines()
    first = next((n for n, line in enumerate(lines) if line == "# [[judges]]"), len(lines))
    written = lines[:first] + [line.removeprefix("# ") for line in lines[first:]]
    (tmp_path / "project.toml").write_text("\n".join(written), encoding="utf-8")
    n_commented = sum(line == "# [[judges]]" for line in lines)
    n_judges = sum(line == "[[judges]]" for line in lines)
    assert len(load_config(tmp_path).judges) == n_judges + n_commented


def test_the_local_examples_judge_on_a_folder_of_their_architecture(
    long_qwen2: Path, tmp_path: Path
) -> None:
    shutil.copy(DATA / "examples" / "local-judge-one-gpu.toml", tmp_path / "project.toml")
    for spec in load_config(tmp_path).judges:
        assert spec.engine == "local"
        spec = on_a_tiny_folder(spec, long_qwen2)
        judgments = judged(build_engine(spec, tmp_path), spec)
        assert [judgment.order for judgment in judgments] == ["ab", "ba"]
        for judgment in judgments:
            assert judgment.failure in (None, "truncated")
            if spec.mode == "logprob":
                assert judgment.p_a is not None
                assert 0.0 < judgment.p_a < 1.0


def test_the_endpoint_examples_judge_through_a_server(
    protocol_server: ServerHandle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "not-a-real-key")
    shutil.copy(DATA / "examples" / "endpoint-judge.toml", tmp_path / "project.toml")
    for spec in load_config(tmp_path).judges:
        assert spec.engine == "endpoint"
        spec = spec.model_copy(update={"base_url": protocol_server.url})
        for judgment in judged(build_engine(spec, tmp_path), spec):
            assert judgment.failure is None, judgment.raw
            assert judgment.label is not None


@pytest.mark.parametrize("mode", get_args(Mode))
def test_every_mode_runs_on_the_local_engine(long_qwen2: Path, mode: Mode) -> None:
    by_principle = mode in ("per-principle", "check")
    constitution = "helpful-harmless-honest-private" if by_principle else ""
    spec = JudgeSpec(
        name="tiny",
        engine="local",
        model=str(long_qwen2),
        mode=mode,
        samples=2,
        constitution=constitution,
    )
    spec = on_a_tiny_folder(spec, long_qwen2)
    judgments = judged(build_engine(spec, DATA), spec)
    assert len(judgments) == len(asked_orders(spec))
    if mode in ("logprob", "per-principle"):
        assert all(judgment.label is not None for judgment in judgments)
    else:  # random weights write nothing that a parser takes, and it is not scored
        assert all(judgment.failure in (None, "unparsed", "truncated") for judgment in judgments)
    assert judgments == judged(build_engine(spec, DATA), spec)
