"""What the runs of a stage were: a `manifest.json`, replaced whole, never half."""

from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.disk import write_whole
from pipelines.errors import BadInput
from pipelines.stages.budget import Bound
from pipelines.stages.log import Spend

Ended = Literal["running", "done", "interrupted", "service", "failed", "killed"] | Bound


class Entry(BaseModel):
    """Base of what the manifest holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Spent(Entry):
    """Requests, tokens and dollars; `usd` lacks `n_unpriced` requests without a price."""

    requests: int = 0
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    n_unpriced: int = 0


class AnyRun(Entry):
    """What is said of each run of any stage."""

    started_at: float  # Unix seconds
    seconds: float | None = None  # None while it runs, and for one that was killed
    ended: Ended = "running"
    error: str | None = None
    limits: dict[str, Any]
    spent: Spent = Spent()
    version: str
    git_revision: str | None


class Manifest(Entry):
    """All runs of one judge, model or stage. `spent` is the whole log's, killed runs included."""

    format_version: int = 1
    spent: Spent = Spent()
    runs: tuple[AnyRun, ...] = ()


Kept = TypeVar("Kept", bound=Manifest)


def read_runs(path: Path, empty: Kept, kept: str) -> Kept:
    """The manifest at `path`; `empty` before the first run. A run that was killed is marked so.

    Args:
        path: The file.
        empty: What there is before it.
        kept: What stands in the log beside it, for the message.

    Raises:
        BadInput: It is damaged.
    """
    try:
        found = type(empty).model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return empty
    except ValidationError as error:
        raise BadInput(
            f"{path}: damaged, or written by another version of the program; "
            f"move it away ({kept} in the log beside it) and run again"
        ) from error
    runs = tuple(
        run.model_copy(update={"ended": "killed"}) if run.ended == "running" else run
        for run in found.runs
    )
    return found.model_copy(update={"runs": runs})


def with_run(manifest: Kept, entry: AnyRun, *spent: Spend) -> Kept:
    """The manifest with this run as its last, and all that was ever spent: before it, and in it."""
    total = {one.name: sum(getattr(part, one.name) for part in spent) for one in fields(Spend)}
    return manifest.model_copy(
        update={"runs": (*manifest.runs, entry), "spent": Spent.model_validate(total)}
    )


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Replace the manifest in one step."""
    write_whole(path, manifest.model_dump_json(indent=1))
