"""Candidates of a real model in this process: the same seeds, the same texts; a small context."""

import asyncio
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch

from pipelines.generate.draw import Sampling
from pipelines.generate.prompts import read_prompts
from pipelines.generate.reading import read_candidates
from pipelines.generate.records import Candidate
from pipelines.generate.runner import GenerateRun, run_generate
from pipelines.models.opening import build_engine
from pipelines.models.spec import LocalOptions, ModelSpec
from pipelines.stages.budget import Budget, Limits

TINY = Path(__file__).parents[3] / "benchmarks" / "tiny_models.py"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny llama whose context holds 512 tokens."""
    spec = importlib.util.spec_from_file_location("tiny_models_of_generate", TINY)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    torch.set_num_threads(1)
    return Path(module.make_model(tmp_path_factory.mktemp("models") / "llama", "llama"))


def generated(folder: Path, model: Path, *lines: str) -> tuple[GenerateRun, list[Candidate]]:
    (folder / "p.txt").write_text("".join(f"{line}\n" for line in lines))
    spec = ModelSpec(
        name="tiny",
        engine="local",
        model=str(model),
        max_tokens=60,
        stop=("e",),  # random weights seldom end a text by themselves
        local=LocalOptions(device="cpu"),
    )
    run = asyncio.run(
        run_generate(
            folder,
            read_prompts(folder / "p.txt"),
            Sampling(spec),
            lambda: build_engine(spec, folder),
            Budget(Limits()),
        )
    )
    return run, list(read_candidates(folder))


def test_seeds_name_the_texts_and_candidates_differ(model, tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    run, candidates = generated(first, model, "Why does the kettle sing?", "Which is better?")
    assert (run.ended, run.n_candidates, run.n_outages) == ("done", 8, 0)
    assert {one.finish for one in candidates} <= {"stop", "length"}
    sound = [one.response for one in candidates if one.failure is None]
    assert len(sound) >= 4
    assert len(set(sound)) == len(sound)
    # In another order, so in other batches.
    _, again = generated(second, model, "Which is better?", "Why does the kettle sing?")
    texts = {(one.prompt_id, one.index): (one.seed, one.response) for one in candidates}
    assert {(one.prompt_id, one.index): (one.seed, one.response) for one in again} == texts


def test_a_prompt_longer_than_the_context_fails_with_one_line_and_the_rest_goes_on(model, tmp_path):
    run, candidates = generated(tmp_path, model, "why " * 600, "Which is better?")
    assert (run.ended, run.n_drawn) == ("done", 2)
    assert run.failed.get("error", 0) >= 4
    long = [one for one in candidates if len(str(one.prompt)) > 1000]
    assert {one.failure for one in long} == {"error"}
    assert "is longer than the context of" in (long[0].detail or "")
    assert run.detail == long[0].detail
    assert "\n" not in (long[0].detail or "")
    assert any(one.failure is None for one in candidates)
