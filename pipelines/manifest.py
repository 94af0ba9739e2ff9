"""What the store's `manifest.json` holds: which files exist, and how they came to be."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Entry(BaseModel):
    """Base of what a manifest holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(Entry):
    """One finished set of three Parquet files."""

    number: int
    n_pairs: int
    n_verdicts: int
    n_labels: int


class Counts(Entry):
    """What became of the rows of one file. `rejected` is counted by reason."""

    taken: int = 0
    known: int = 0  # already in the project
    repeated: int = 0  # the same row under the same id, again in this file
    rejected: dict[str, int] = {}
    identical: int = 0
    empty: int = 0
    duplicate: int = 0
    verdicts: dict[str, int] = {}  # by label, "failed" for failures
    labels: dict[str, int] = {}


class ImportRun(Entry):
    """One import: what went in, under which settings, and what came out."""

    file: str
    sha256: str | None  # of the file; None for a data set of the hub
    n_bytes: int
    format: str
    options: dict[str, Any]
    config: dict[str, Any]
    counts: Counts
    rejects: str | None  # file beside the manifest
    started_at: float  # Unix seconds
    seconds: float
    version: str
    git_revision: str | None


class JudgedFile(Entry):
    """The verdicts of one of the project's own judges."""

    judge: str
    file: str  # beside the parts
    n_verdicts: int
    n_failed: int
    sha256: str


class Manifest(Entry):
    """The commit point of the store."""

    format_version: int = 1
    parts: tuple[Part, ...] = ()
    imports: tuple[ImportRun, ...] = ()
    judged: tuple[JudgedFile, ...] = ()

    @property
    def n_verdicts(self) -> int:
        """Imported verdicts and those of the project's own judges."""
        imported = sum(part.n_verdicts for part in self.parts)
        return imported + sum(file.n_verdicts for file in self.judged)
