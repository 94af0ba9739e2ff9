"""Writers of rows: JSON Lines and Parquet, in bounded memory, on the disk when closed."""

import gzip
import os
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic_core import to_json

from workbench.export.columns import Column, stand_ins, without_nulls

_BATCH_ROWS = 2000
_BATCH_CHARS = 8_000_000
SHARD_CHARS = 500_000_000

_TYPES = {"text": pa.string(), "number": pa.float64(), "count": pa.int64(), "flag": pa.bool_()}
_TURNS = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


class RowWriter(Protocol):
    """Takes the rows of one split."""

    def write(self, row: dict[str, Any]) -> None:
        """The next row."""
        ...

    def close(self) -> None:
        """Everything is on the disk when this returns."""
        ...

    def discard(self) -> None:
        """Let go of the file, whole or not; nothing after `close`."""
        ...


class JsonlWriter:
    """JSON Lines, gzipped where the name ends in .gz; nulls become the columns' stand-ins."""

    def __init__(self, path: Path, columns: tuple[Column, ...], gzipped: bool):
        self._file: IO[bytes] = path.open("wb")
        # No name and no time in the header: the same rows give the same bytes.
        self._out: IO[bytes] | gzip.GzipFile = (
            gzip.GzipFile(filename="", mode="wb", fileobj=self._file, mtime=0)
            if gzipped
            else self._file
        )
        self._stand_ins = stand_ins(columns)
        self._nulls_stay = not columns  # a pairs file, which this program reads, not `datasets`

    def write(self, row: dict[str, Any]) -> None:
        """One line."""
        held = row if self._nulls_stay else without_nulls(row, self._stand_ins)
        self._out.write(to_json(held) + b"\n")

    def close(self) -> None:
        """Flush to the disk."""
        if self._out is not self._file:
            self._out.close()
        _sync(self._file)

    def discard(self) -> None:
        """Close without finishing."""
        with suppress(OSError):  # on a full disk closing fails as well, and was said before
            self._out.close()
            self._file.close()


class ParquetWriter:
    """Parquet in row groups of bounded size; `folder` and `stem` make shards, else one file."""

    def __init__(self, path: Path, schema: pa.Schema, shard_chars: int | None = None):
        self._path, self._schema, self._shard_chars = path, schema, shard_chars
        self._rows: list[dict[str, Any]] = []
        self._chars = self._shard_used = self._shard = 0
        self._file: IO[bytes] | None = None
        self._writer: pq.ParquetWriter | None = None

    def write(self, row: dict[str, Any]) -> None:
        """The next row."""
        self._rows.append(row)
        self._chars += _n_chars(row)
        if len(self._rows) >= _BATCH_ROWS or self._chars >= _BATCH_CHARS:
            self._flush()

    def close(self) -> None:
        """Write what is left, and at least an empty table."""
        if self._rows or (self._writer is None and self._shard == 0):
            self._flush()
        self._close_shard()

    def discard(self) -> None:
        """Close without finishing."""
        if self._writer is not None and self._file is not None:
            with suppress(OSError):
                self._writer.close()
                self._file.close()

    def _flush(self) -> None:
        if self._writer is None:
            path = self._path
            if self._shard_chars is not None:
                path = path.with_name(f"{path.name}-{self._shard:05d}.parquet")
            self._file = path.open("wb")
            self._writer = pq.ParquetWriter(self._file, self._schema, compression="zstd")
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._shard_used += self._chars
        self._rows, self._chars = [], 0
        if self._shard_chars is not None and self._shard_used >= self._shard_chars:
            self._close_shard()

    def _close_shard(self) -> None:
        if self._writer is not None and self._file is not None:
            self._writer.close()
            _sync(self._file)
            self._shard += 1
        self._writer = self._file = None
        self._shard_used = 0


def schema_of(texts: dict[str, bool], columns: tuple[Column, ...]) -> pa.Schema:
    """The Arrow schema of a format's rows.

    Args:
        texts: Names of the text columns, and whether each holds messages.
        columns: The columns beside them.
    """
    fields = [(name, _TURNS if turns else pa.string()) for name, turns in texts.items()]
    return pa.schema(fields + [(column.name, _TYPES[column.kind]) for column in columns])


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()


def _n_chars(row: dict[str, Any]) -> int:
    n = 0
    for value in row.values():
        if isinstance(value, str):
            n += len(value)
        elif isinstance(value, list):
            n += sum(len(turn["content"]) for turn in value)
    return n
