"""Which prompts a reward model learnt from, as far as anybody still knows."""

import json
from pathlib import Path

import pytest

from pipelines.train.run_folder import RunFolder, content_hash
from workbench.evaluating.rewards import trained_on


def write(path: Path, prompts: list[str]) -> None:
    rows = [{"prompt": text, "chosen": "yes", "rejected": "no"} for text in prompts]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run on `exports/trl-train.jsonl`, with one prompt held out."""
    exports = tmp_path / "exports"
    exports.mkdir()
    write(exports / "trl-train.jsonl", ["one", "two"])
    write(exports / "trl-test.jsonl", ["three"])
    files = [exports / f"trl-{split}.jsonl" for split in ("test", "train")]
    run = RunFolder(tmp_path / "runs" / "train" / "rm")
    run.begin({"data": "exports/trl.jsonl", "data_hash": content_hash(*files)})
    return run


def test_the_prompts_of_the_training_split_are_known(run: RunFolder, tmp_path: Path) -> None:
    assert trained_on(run.path, tmp_path) == {"one", "two"}


def test_a_file_that_was_exported_anew_tells_nothing(run: RunFolder, tmp_path: Path) -> None:
    write(tmp_path / "exports" / "trl-train.jsonl", ["two", "three"])
    write(tmp_path / "exports" / "trl-test.jsonl", ["one"])
    assert trained_on(run.path, tmp_path) is None
