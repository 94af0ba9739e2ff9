"""What the runs of `workbench revise` were: `runs/revise/manifest.json`, replaced whole."""

import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines.errors import BadInput
from pipelines.judge.manifest import Ended, Entry, Spent


class ReviseEntry(Entry):
    """One run: under which settings, and what came of it."""

    started_at: float  # Unix seconds
    seconds: float | None = None  # None while it runs, and for one that was killed
    ended: Ended = "running"
    error: str | None = None
    plan_hash: str
    constitution_hash: str
    prompts_hash: str
    settings: dict[str, Any]
    limits: dict[str, Any]
    n_wanted: int
    n_done: int = 0  # by this run
    spent: Spent = Spent()
    version: str
    git_revision: str | None


class ReviseManifest(Entry):
    """All runs. `spent` is the whole log's, killed runs included."""

    format_version: int = 1
    spent: Spent = Spent()
    runs: tuple[ReviseEntry, ...] = ()


def read_manifest(path: Path) -> ReviseManifest:
    """The manifest; an empty one before the first run. A run that was killed is marked so.

    Raises:
        BadInput: It is damaged.
    """
    try:
        found = ReviseManifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return ReviseManifest()
    except ValidationError as error:
        raise BadInput(
            f"{path}: damaged, or written by another version of the program; "
            "move it away (all that was asked is in the log beside it) and run again"
        ) from error
    runs = tuple(
        run.model_copy(update={"ended": "killed"}) if run.ended == "running" else run
        for run in found.runs
    )
    return found.model_copy(update={"runs": runs})


def write_manifest(path: Path, manifest: ReviseManifest) -> None:
    """Replace the manifest in one step."""
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(manifest.model_dump_json(indent=1))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
