"""What a judge's runs were: `runs/judge/<judge>/manifest.json`."""

from pathlib import Path
from typing import Any

from pipelines.stages.manifest import AnyRun, Entry, Manifest, read_runs


class RunEntry(AnyRun):
    """One run: under which settings, and what came of it."""

    spec_hash: str
    template_hash: str
    spec: dict[str, Any]
    n_wanted: int
    n_judged: int = 0  # by this run
    n_failed: int = 0


class Published(Entry):
    """Which state of the log is in the store."""

    spec_hash: str
    orders: list[str | None]
    log_bytes: int
    n_pairs: int
    sha256: str


class JudgeManifest(Manifest):
    """All runs of one judge."""

    judge: str
    published: Published | None = None
    runs: tuple[RunEntry, ...] = ()


def read_manifest(path: Path, judge: str) -> JudgeManifest:
    """A judge's manifest; see `read_runs`."""
    return read_runs(path, JudgeManifest(judge=judge), "the judgments are")
