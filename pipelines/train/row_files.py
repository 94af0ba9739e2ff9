"""The files that training rows stand in: which there are, which split each holds, and their rows.

`workbench export` writes one file, or one for each split (`trl-train.jsonl`, `trl-test.jsonl`), or
a folder of Parquet files. The splits of one export are one data set, whichever of them is named.
"""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipelines.errors import BadInput

SPLITS = ("train", "test", "validation")
_SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")


def row_files(path: Path) -> list[tuple[str, Path]]:
    """Split and file of everything that belongs to a data set, in order of names.

    Args:
        path: A folder of rows; a file; the file of one split, which brings the others; or the name
            that the files of several splits have in common (`trl.jsonl` for `trl-train.jsonl`).

    Raises:
        BadInput: There is no such file, or the folder holds none.
    """
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.name.endswith(_SUFFIXES))
        if not found:
            raise BadInput(f"{path}: holds no .parquet and no .jsonl file")
        return [(_split_of(file) or "train", file) for file in found]
    siblings = _siblings(path)
    if path.is_file() and path not in siblings:  # its name says no split
        return [(_split_of(path) or "train", path)]
    if not siblings:
        raise BadInput(f"{path}: there is no such file; `workbench export trl` writes one")
    return [(_split_of(file) or "train", file) for file in siblings]


def raw_rows(path: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Split, place (for messages) and row, file after file.

    Raises:
        BadInput: A file cannot be read, or a line is not a JSON object; the message names it.
    """
    for split, file in row_files(path):
        rows = _parquet(file) if file.suffix == ".parquet" else _json_lines(file)
        for number, row in rows:
            yield split, f"{file}:{number}", row


def _siblings(path: Path) -> list[Path]:
    """The files of an export of several splits, when `path` is one of them or their stem."""
    suffix = next((s for s in _SUFFIXES if path.name.endswith(s)), "")
    stem = path.name.removesuffix(suffix)
    base = next((stem.removesuffix(f"-{s}") for s in SPLITS if stem.endswith(f"-{s}")), stem)
    all_of_them = [path.with_name(f"{base}-{split}{suffix}") for split in SPLITS]
    return sorted(file for file in all_of_them if suffix and file.is_file())


def _split_of(file: Path) -> str | None:
    """The split that a file's name says: `test-00000.parquet`, `trl-test.jsonl`, `test.jsonl`."""
    stem = file.name.partition(".")[0]
    return next((s for s in SPLITS if stem.startswith(s) or stem.endswith(f"-{s}")), None)


def _parquet(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with pq.ParquetFile(file) as table:
            number = 0
            for batch in table.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
        raise BadInput(f"{file}: is not a Parquet file ({error})") from error


def _json_lines(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    try:
        opened = gzip.open if file.suffix == ".gz" else open
        with opened(file, "rt", encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise BadInput(f"{file}:{number}: is not a JSON object")
                yield number, row
    except json.JSONDecodeError as error:
        raise BadInput(f"{file}:{number}: is not JSON ({error.msg})") from error
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise BadInput(f"{file}: cannot be read as UTF-8 text ({error})") from error
