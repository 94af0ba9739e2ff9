"""What a step depends on: a model that is another one under its old name, and what is shared."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from pipelines.run import Step
from workbench.project import Project
from workbench.running.depends import depends_on, model_weights, set_aside, settled
from workbench.running.task import Bars, Task

SETTINGS = """
[generate]
models = ["mine"]
[[models]]
name = "mine"
engine = "local"
model = "weights"
"""


def unseen(*_: object) -> None:
    """Progress that nobody draws."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project whose model is a folder, and has answered."""
    (tmp_path / "project.toml").write_text(SETTINGS)
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Hello"}\n')
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model.safetensors").write_bytes(b"first")
    (tmp_path / "runs" / "generate" / "mine").mkdir(parents=True)
    return tmp_path


def task(folder: Path, stage: str) -> Task:
    bars = Bars(lambda: nullcontext(unseen), lambda _: nullcontext(unseen))
    return Task(Project.open(folder), Step.model_validate({"stage": stage}), False, bars)


def test_answers_of_other_weights_are_put_aside_and_those_of_the_same_stay(folder: Path) -> None:
    step = task(folder, "generate")
    before = model_weights(step)
    assert set_aside(step, before) == []
    (folder / "weights" / "model.safetensors").write_bytes(b"second")
    lines = set_aside(step, before)
    assert len(lines) == 1
    assert "runs/generate-before/mine.1" in lines[0]
    assert (folder / "runs" / "generate-before" / "mine.1").is_dir()
    assert not (folder / "runs" / "generate" / "mine").exists()


def test_what_is_shared_changes_what_a_step_depends_on_but_not_what_it_settled(
    folder: Path,
) -> None:
    step = task(folder, "revise")
    now, own = depends_on(step), settled(step, depends_on(step), {"generate": "1"})
    (folder / "runs" / "generate" / "mine" / "candidates.jsonl").write_text("{}\n")
    assert depends_on(step) != now
    assert settled(step, depends_on(step), {"generate": "1"}) == own
    # What it goes on with is part of it all the same.
    assert settled(step, depends_on(step), {"generate": "2"}) != own
