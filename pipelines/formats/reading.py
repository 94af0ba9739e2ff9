"""Any supported file of preferences as a stream of pairs: the one entrance to this package."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines.errors import BadInput
from pipelines.formats.containers import OnBytes, RawRow, iter_rows, open_source
from pipelines.formats.detect import FORMATS, Format, detect_format
from pipelines.formats.ids import Register
from pipelines.formats.options import ReadOptions
from pipelines.formats.pairs_file import parse_json, parse_pair
from pipelines.formats.preference import hh_pairs, trl_pairs
from pipelines.formats.rejects import BadRow, Reject, reason_of
from pipelines.formats.ultrafeedback import ultrafeedback_pairs
from pipelines.formats.wins import win_pairs
from pipelines.records import PreferencePair

__all__ = ["ReadOptions", "Reject", "Row", "file_format", "read_pairs", "read_rows"]

Converter = Callable[[dict[str, Any], ReadOptions], Iterator[PreferencePair]]
_CONVERTERS: dict[Format, Converter] = {
    "trl": trl_pairs,
    "hh": hh_pairs,
    "ultrafeedback": ultrafeedback_pairs,
    "wins": win_pairs,
}


@dataclass(frozen=True, slots=True)
class Row:
    """A pair as it stands at `line` of the file; its id may still be missing."""

    line: int
    pair: PreferencePair


def read_pairs(
    path: Path,
    format: str | None = None,
    options: ReadOptions | None = None,
    on_bytes: OnBytes | None = None,
) -> Iterator[PreferencePair | Reject]:
    """Every row of a file, in order, as a pair with an id or as a reject.

    Args:
        path: A pairs file or any other supported file.
        format: One of `detect.FORMATS`; None looks at the first rows.
        options: How a foreign format becomes pairs.
        on_bytes: Called now and then with the number of bytes of the file read so far.

    Raises:
        BadInput: The file cannot be read, or its format cannot be told.
    """
    register = Register()
    for row in read_rows(path, format, options, on_bytes):
        if isinstance(row, Reject):
            yield row
            continue
        admission = register.admit(row.pair)
        if admission.reason:
            yield Reject(row.line, admission.reason, admission.detail)
        else:
            yield admission.pair


def read_rows(
    path: Path,
    format: str | None = None,
    options: ReadOptions | None = None,
    on_bytes: OnBytes | None = None,
) -> Iterator[Row | Reject]:
    """Like `read_pairs`, with line numbers and before ids are given out."""
    name = file_format(path, format)
    rows = iter_rows(open_source(path), on_bytes)
    if name == "pairs":
        return _pairs_file_rows(rows)
    return _converted_rows(rows, _CONVERTERS[name], options or ReadOptions())


def file_format(path: Path, format: str | None = None) -> Format:
    """The format that a file has, or that somebody says it has.

    Raises:
        BadInput: No format has that name, or the file looks like none.
    """
    if format is None:
        return detect_format(open_source(path))
    for name in FORMATS:
        if name == format:
            return name
    raise BadInput(f'no format is called "{format}"; choose one of {", ".join(FORMATS)}')


def _pairs_file_rows(rows: Iterator[tuple[int, RawRow]]) -> Iterator[Row | Reject]:
    for line, raw in rows:
        try:
            yield Row(line, parse_pair(raw))
        except BadRow as error:
            yield Reject(line, error.reason, error.detail)


def _converted_rows(
    rows: Iterator[tuple[int, RawRow]], convert: Converter, options: ReadOptions
) -> Iterator[Row | Reject]:
    for line, raw in rows:
        try:
            # A row is taken whole or not at all, so its pairs are made before the first goes out.
            pairs = list(convert(parse_json(raw), options))
        except BadRow as error:
            yield Reject(line, error.reason, error.detail)
        except ValidationError as error:
            yield Reject(line, *reason_of(error))
        else:
            for pair in pairs:
                yield Row(line, pair)
