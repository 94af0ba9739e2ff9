"""The judgments of this project's own judges on disk: one Parquet file a judge, beside the imports.

Row group g of a judge's file holds its verdicts on the pairs of the g-th row group of the store, so
whole pairs stay as cheap to read as without them. A judge's file exists when the store's manifest
names it; a new one takes its place in the one step in which the manifest is replaced.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.disk import sole, sync
from pipelines.errors import BadInput
from pipelines.manifest import JudgedFile
from pipelines.preferences.annotations import FAILURE_CODES, LABEL_CODES, ORDER_CODES
from pipelines.records import Judgment
from pipelines.tables import DICTIONARY_COLUMNS, SCHEMAS, numbers

if TYPE_CHECKING:
    from pipelines.store import PairStore

RAW_CHARS = 20_000  # of what a judge said, kept with its verdict; its log holds all of it
RATIONALE_CHARS = 8_000
_CHUNK = 512
_SCHEMA = SCHEMAS["verdicts"]
_NUMPY_TYPES = {pa.int64(): np.int64, pa.int8(): np.int8, pa.float64(): np.float64}


def put_by_id(store: "PairStore", judge: str, judgments: Iterable[tuple[str, Judgment]]) -> int:
    """`PairStore.put_judgments`: any order; all of them are in memory at once, as Arrow."""
    from pyarrow import compute as pc

    known = store.id_column()
    chunks = []
    source = iter(judgments)
    while chunk := list(islice(source, _CHUNK)):
        rows = pc.fill_null(pc.index_in(pa.array([key for key, _ in chunk]), value_set=known), -1)
        for row, (key, _) in zip(rows.to_pylist(), chunk, strict=True):
            if row < 0:
                raise BadInput(f'no pair of this project has the id "{key}"; import it first')
        placed = zip(rows.to_pylist(), (judgment for _, judgment in chunk), strict=True)
        chunks.append(_table(judge, placed))
    table = pa.concat_tables(chunks) if chunks else _SCHEMA.empty_table()
    table = table.take(pa.array(np.argsort(numbers(table["pair"]), kind="stable")))
    with _locked(store.folder):
        return _replace(store, judge, iter([table]))


def put_by_row(store: "PairStore", judge: str, verdicts: Iterable[tuple[int, Judgment]]) -> int:
    """The same for verdicts that come in row order: a chunk of them in memory at a time.

    Args:
        store: The project's pairs.
        judge: Whose verdicts these are, all of them.
        verdicts: The row of a pair and a judgment on it; rows never decrease.

    Returns:
        How many verdicts the judge now has.

    Raises:
        BadInput: Imported verdicts have this judge's name.
    """

    def tables() -> Iterator[pa.Table]:
        source = _in_order(verdicts)
        while chunk := list(islice(source, _CHUNK)):
            yield _table(judge, chunk)

    with _locked(store.folder):
        return _replace(store, judge, tables())


def _in_order(verdicts: Iterable[tuple[int, Judgment]]) -> Iterator[tuple[int, Judgment]]:
    last = 0
    for row, judgment in verdicts:
        if row < last:
            raise ValueError(f"verdicts must come in row order, not {row} after {last}")
        last = row
        yield row, judgment


def _replace(store: "PairStore", judge: str, tables: Iterator[pa.Table]) -> int:
    """Write the judge's new file and let the manifest name it in place of the old one."""
    store.check_judge_name(judge)
    before = store.manifest().judged
    folder = store.judged_folder
    folder.mkdir(parents=True, exist_ok=True)
    _remove_strays(folder, {file.file for file in before})
    numbers = [int(file.file.rsplit("-", 1)[1].split(".")[0]) for file in before]
    name = f"{_slug(judge)}-{max(numbers, default=-1) + 1:05d}.parquet"
    path = folder / name
    try:
        n_verdicts, n_failed = _write(path, tables, store.group_ends())
        with path.open("rb") as file:
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        sync(folder)
        made = JudgedFile(
            judge=judge, file=name, n_verdicts=n_verdicts, n_failed=n_failed, sha256=digest
        )
        store.commit_judged((*(one for one in before if one.judge != judge), made))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return n_verdicts


def _write(path: Path, tables: Iterator[pa.Table], ends: list[int]) -> tuple[int, int]:
    """One row group for each of the store's, empty ones too. Returns verdicts and failures."""
    n_verdicts = n_failed = 0
    held = _table("", ())
    with pq.ParquetWriter(
        path,
        _SCHEMA,
        compression="zstd",
        compression_level=1,
        use_dictionary=DICTIONARY_COLUMNS["verdicts"],
    ) as writer:
        for end in ends:
            while held.num_rows == 0 or held["pair"][-1].as_py() < end:
                more = next(tables, None)
                if more is None:
                    break
                held = pa.concat_tables([held, more])
            n_here = int(np.searchsorted(numbers(held["pair"]), end))
            group, held = held.slice(0, n_here).combine_chunks(), held.slice(n_here)
            writer.write_table(group, row_group_size=max(1, n_here))
            n_verdicts += n_here
            n_failed += int(np.count_nonzero(numbers(group["failure"]) >= 0))
    if held.num_rows or next(tables, None) is not None:
        raise IndexError(f"a verdict is on a row that does not exist (there are {ends[-1:]})")
    return n_verdicts, n_failed


def _table(judge: str, verdicts: Iterable[tuple[int, Judgment]]) -> pa.Table:
    rows: list[tuple[Any, ...]] = [
        (
            row,
            judge,
            ORDER_CODES[judgment.order],
            LABEL_CODES[judgment.label],
            judgment.p_a,
            judgment.confidence,
            FAILURE_CODES[judgment.failure],
            _bounded(judgment.rationale, RATIONALE_CHARS),
            _bounded(judgment.raw, RAW_CHARS),
        )
        for row, judgment in verdicts
    ]
    columns = zip(*rows, strict=True) if rows else [()] * len(_SCHEMA)
    arrays = [_array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=_SCHEMA)


def _array(values: tuple[Any, ...], kind: pa.DataType) -> pa.Array:
    """Values as an Arrow array, None as null; `pa.array` would import pandas (50 MB)."""
    n = len(values)
    there = np.fromiter((value is not None for value in values), np.bool_, n)
    bitmap = None if there.all() else pa.py_buffer(np.packbits(there, bitorder="little").tobytes())
    if kind != pa.string():
        filled = [0 if value is None else value for value in values]
        numbers = np.array(filled, dtype=_NUMPY_TYPES[kind])
        return pa.Array.from_buffers(kind, n, [bitmap, pa.py_buffer(numbers)])
    texts = [b"" if value is None else value.encode() for value in values]
    ends = np.zeros(n + 1, dtype=np.int32)
    np.cumsum([len(text) for text in texts], out=ends[1:])
    return pa.Array.from_buffers(
        kind, n, [bitmap, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))]
    )


def _bounded(text: str | None, n_chars: int) -> str | None:
    """The text, or its start; without lone surrogates, which Arrow cannot hold."""
    if text is None:
        return None
    if len(text) > n_chars:
        text = text[: n_chars - 1] + "…"
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _slug(judge: str) -> str:
    """A file name that any system takes; the manifest says which judge it is."""
    return re.sub(r"[^A-Za-z0-9._]+", "_", judge)[:40].lstrip(".") or "judge"


def _remove_strays(folder: Path, named: set[str]) -> None:
    """What a put that was cut off left, and files that were replaced before the last put.

    A replaced file outlives its replacement by one put, for readers that opened the store before.
    """
    for path in folder.glob("*.parquet"):
        if path.name not in named:
            path.unlink()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The lock of imports: waits until one that is running is done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("a+", encoding="utf-8") as file, sole(file):
            yield
    except OSError as error:
        raise BadInput(
            f"{folder}: cannot be written ({error.strerror or error}); "
            "the judgments are still in the judge's log: make room, then run again"
        ) from error
