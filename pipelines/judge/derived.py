"""How an ensemble or a cascade was made: `runs/derived/<name>.json`, beside its stored labels.

Its labels may have learned from human labels. On those pairs it agrees with people better than it
will anywhere else, so whoever holds it against people leaves them out.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.disk import write_whole
from pipelines.errors import BadInput
from pipelines.store import PairStore


class DerivedRecord(BaseModel):
    """What a judge that is made of others was made of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    method: str
    judges: tuple[str, ...]
    n_pairs: int  # in the store when it was made
    sources: dict[str, str]  # SHA-256 of each member's stored judgments, "" for imported ones
    learned_from: tuple[str, ...] = ()  # ids of the pairs whose human labels it has seen
    settings: dict[str, Any] = {}


def make_record(
    store: PairStore,
    name: str,
    method: str,
    judges: tuple[str, ...],
    learned: npt.NDArray[np.bool_] | None,
    settings: dict[str, Any],
) -> DerivedRecord:
    """The record of a judge that is about to be stored.

    Args:
        store: The project's pairs.
        name: What it is stored as.
        method: How it was made.
        judges: Its members.
        learned: Pairs whose human labels it has seen, shape (n_pairs,); none when None.
        settings: Weights, thresholds.
    """
    ids: list[str] = []
    if learned is not None and learned.any():
        everything = store.pair_ids()
        ids = [everything[row] for row in np.flatnonzero(learned).tolist()]
    return DerivedRecord(
        name=name,
        method=method,
        judges=judges,
        n_pairs=len(store),
        sources=_sources(store, judges),
        learned_from=tuple(ids),
        settings=settings,
    )


def write_record(project_dir: Path, record: DerivedRecord) -> None:
    """Keep it, in place of an earlier one of that name."""
    path = _path(project_dir, record.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, record.model_dump_json(indent=1))
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror}); make room") from error


def read_record(project_dir: Path, name: str) -> DerivedRecord | None:
    """The record of a judge; None for one that is not made of others here.

    Raises:
        BadInput: It is damaged.
    """
    path = _path(project_dir, name)
    try:
        return DerivedRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise BadInput(f"{path}: damaged; remove it and make the judge again") from error


def is_stale(store: PairStore, record: DerivedRecord) -> bool:
    """Whether a member was judged again, or pairs were imported, since it was made."""
    return record.n_pairs != len(store) or record.sources != _sources(store, record.judges)


def seen_rows(store: PairStore, record: DerivedRecord | None) -> npt.NDArray[np.bool_]:
    """The pairs whose human labels a judge has learned from, shape (n_pairs,)."""
    seen = np.zeros(len(store), dtype=bool)
    if record is not None and record.learned_from:
        rows = store.rows_of(list(record.learned_from))
        seen[rows[rows >= 0]] = True
    return seen


def _sources(store: PairStore, judges: tuple[str, ...]) -> dict[str, str]:
    stored = {file.judge: file.sha256 for file in store.manifest().judged}
    return {judge: stored.get(judge, "") for judge in judges}


def _path(project_dir: Path, name: str) -> Path:
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:60]
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]  # two names may read the same
    return project_dir / "runs" / "derived" / f"{readable}-{digest}.json"
