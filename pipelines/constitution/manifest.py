"""What the runs of `workbench revise` were: `runs/revise/manifest.json`, replaced whole."""

from pathlib import Path
from typing import Any

from pipelines.stages.manifest import AnyRun, Manifest, read_runs


class ReviseEntry(AnyRun):
    """One run: under which settings, and what came of it."""

    plan_hash: str
    constitution_hash: str
    prompts_hash: str
    settings: dict[str, Any]
    n_wanted: int
    n_done: int = 0  # by this run


class ReviseManifest(Manifest):
    """All runs."""

    runs: tuple[ReviseEntry, ...] = ()


def read_manifest(path: Path) -> ReviseManifest:
    """The manifest of a project's revisions; see `read_runs`."""
    return read_runs(path, ReviseManifest(), "all that was asked is")
