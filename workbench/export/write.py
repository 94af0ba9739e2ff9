"""Rows into the staged files of an export, split by split, in flat memory."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from workbench.export.columns import columns_of
from workbench.export.files import SHARD_CHARS, JsonlWriter, ParquetWriter, RowWriter, schema_of
from workbench.export.options import ExportOptions
from workbench.export.places import Places

SplitRows = tuple[str, list[dict[str, Any]]]  # a split, and the rows that one pair has there
OnPair = Callable[[int, int], None]  # pairs done, pairs in all

_TEXTS = {
    "chosen": ("prompt", "chosen", "rejected"),
    "completion": ("prompt", "completion"),
    "ab": ("prompt", "response_a", "response_b"),
}


def write_rows(
    rows: Iterator[SplitRows],
    target: Places,
    folder: Path,
    options: ExportOptions,
    conversational: bool,
    n_pairs: int,
    on_pair: OnPair | None = None,
) -> dict[str, int]:
    """Write all rows; returns how many each split got."""
    writers: dict[str, RowWriter] = {}
    n_rows: dict[str, int] = {}
    try:
        for split in target.data:
            writers[split] = _writer(split, target, folder, options, conversational)
            n_rows[split] = 0
        for n_done, (split, made) in enumerate(rows, start=1):
            for row in made:
                writers[split].write(row)
            n_rows[split] += len(made)
            if on_pair is not None and n_done % 1000 == 1:
                on_pair(n_done, n_pairs)
        for writer in writers.values():
            writer.close()
    finally:
        for writer in writers.values():
            writer.discard()
    return n_rows


def staged_files(target: Places, folder: Path) -> dict[Path, Path]:
    """Each staged file or folder with its place; the card comes last, when all else is there."""
    if target.folder:
        moves = {folder / "data": target.root / "data"}
    else:
        moves = {folder / path.name: path for path in target.data.values()}
    return moves | {folder / path.name: path for path in (target.audit, target.card)}


def _writer(
    split: str, target: Places, folder: Path, options: ExportOptions, conversational: bool
) -> RowWriter:
    columns = columns_of(options.fmt, options.margin)
    if options.fmt.container == "jsonl":
        place = target.data[split]
        return JsonlWriter(folder / place.name, columns, gzipped=place.suffix == ".gz")
    texts = _TEXTS[options.fmt.shape]
    schema = schema_of(
        {name: conversational and not name.startswith("response_") for name in texts}, columns
    )
    if target.folder:
        (folder / "data").mkdir(exist_ok=True)
        return ParquetWriter(folder / "data" / split, schema, shard_chars=SHARD_CHARS)
    return ParquetWriter(folder / target.data[split].name, schema)
