"""What the runs of one model were: `runs/generate/<model>/manifest.json`, replaced whole."""

from pathlib import Path
from typing import Any

from pydantic import Field

from pipelines.stages.manifest import AnyRun, Manifest, read_runs


class GenerateEntry(AnyRun):
    """One run: under which settings, and what came of it."""

    settings_hash: str
    spec: dict[str, Any]
    n_candidates: int
    seed: int
    near: float
    resamples: int
    prompts: str  # where they came from
    prompts_hash: str
    n_prompts: int
    n_drawn: int = 0  # prompts, by this run
    n_new: int = 0  # candidates, by this run
    failed: dict[str, int] = Field(default_factory=dict)
    n_aside: int = 0  # samples that were set aside, near-identical or failed
    n_near_identical: int = 0  # that stayed so


class GenerateManifest(Manifest):
    """All runs of one model."""

    model: str
    log_bytes: int = 0  # of the log that candidates.jsonl was made of
    runs: tuple[GenerateEntry, ...] = ()


def read_manifest(path: Path, model: str) -> GenerateManifest:
    """A model's manifest; see `read_runs`."""
    return read_runs(path, GenerateManifest(model=model), "the candidates are")
