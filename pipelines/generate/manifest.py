"""What the runs of one model were: `runs/generate/<model>/manifest.json`, replaced whole."""

import os
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from pipelines.errors import BadInput
from pipelines.judge.manifest import Ended, Entry, Spent


class GenerateEntry(Entry):
    """One run: under which settings, and what came of it."""

    started_at: float  # Unix seconds
    seconds: float | None = None  # None while it runs, and for one that was killed
    ended: Ended = "running"
    error: str | None = None
    settings_hash: str
    spec: dict[str, Any]
    n_candidates: int
    seed: int
    near: float
    resamples: int
    prompts: str  # where they came from
    prompts_hash: str
    limits: dict[str, Any]
    n_prompts: int
    n_drawn: int = 0  # prompts, by this run
    n_new: int = 0  # candidates, by this run
    failed: dict[str, int] = Field(default_factory=dict)
    n_aside: int = 0  # samples that were set aside, near-identical or failed
    n_near_identical: int = 0  # that stayed so
    spent: Spent = Spent()
    version: str
    git_revision: str | None


class GenerateManifest(Entry):
    """All runs of one model. `spent` is the whole log's, killed runs included."""

    format_version: int = 1
    model: str
    spent: Spent = Spent()
    log_bytes: int = 0  # of the log that candidates.jsonl was made of
    runs: tuple[GenerateEntry, ...] = ()


def read_manifest(path: Path, model: str) -> GenerateManifest:
    """The manifest; an empty one before the first run. A run that was killed is marked so.

    Raises:
        BadInput: It is damaged.
    """
    try:
        found = GenerateManifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return GenerateManifest(model=model)
    except ValidationError as error:
        raise BadInput(
            f"{path}: damaged, or written by another version of the program; "
            "move it away (the candidates are in the log beside it) and run again"
        ) from error
    runs = tuple(
        run.model_copy(update={"ended": "killed"}) if run.ended == "running" else run
        for run in found.runs
    )
    return found.model_copy(update={"runs": runs})


def write_manifest(path: Path, manifest: GenerateManifest) -> None:
    """Replace the manifest in one step."""
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(manifest.model_dump_json(indent=1))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
