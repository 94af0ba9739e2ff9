"""Reading human labels from a file: CSV, JSON Lines, or any file of pairs with `human` entries."""

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from pipelines.errors import BadInput
from pipelines.formats.reading import read_pairs
from pipelines.formats.rejects import Reject, reason_of
from pipelines.records import Label, Record
from workbench.audit.items import text_fingerprint

COLUMNS = ("pair_id", "annotator", "label", "seconds", "comment")


class LabelRow(Record):
    """One person's label of one pair, as a row of a file says it."""

    pair_id: str = Field(min_length=1)
    annotator: str = Field(min_length=1)
    label: Label
    seconds: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    comment: str | None = None


@dataclass(frozen=True)
class ReadLabel:
    """A row with its place; `text` fingerprints the pair where the file holds its text."""

    line: int
    row: LabelRow
    text: str | None = None


def read_labels(path: Path) -> Iterator[ReadLabel | Reject]:
    """Every label of a file, in order; rows that cannot be taken come as rejects.

    Raises:
        BadInput: The file cannot be read, or a CSV lacks a column or has an unknown one.
    """
    if path.suffix.lower() == ".csv":
        yield from _csv(path)
    elif _is_label_lines(path):
        yield from _lines(path)
    else:
        for number, pair in enumerate(read_pairs(path), start=1):
            if isinstance(pair, Reject):
                yield pair
                continue
            text = text_fingerprint(pair.prompt_json(), pair.response_a, pair.response_b)
            for label in pair.human:
                row = LabelRow(pair_id=pair.id or "", **label.model_dump())
                yield ReadLabel(number, row, text)


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes.

    Raises:
        BadInput: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); check the name") from error


def _csv(path: Path) -> Iterator[ReadLabel | Reject]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            names = reader.fieldnames or []
            missing = [name for name in COLUMNS[:3] if name not in names]
            unknown = [name for name in names if name not in COLUMNS]
            if missing or unknown:
                raise BadInput(
                    f"{path}: the columns are {', '.join(COLUMNS)}, the last two may be left out; "
                    + (f"{missing[0]!r} is missing" if missing else f"{unknown[0]!r} is unknown")
                )
            for row in reader:
                values = {name: value or None for name, value in row.items() if name is not None}
                yield _checked(reader.line_num, json.dumps(values), lax=True)
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path}: not a CSV file in UTF-8 ({error}); save it as UTF-8") from error


def _lines(path: Path) -> Iterator[ReadLabel | Reject]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            text = line.removeprefix(b"\xef\xbb\xbf").strip()
            if text:
                yield _checked(number, text)


def _checked(line: int, raw: str | bytes, *, lax: bool = False) -> ReadLabel | Reject:
    try:
        return ReadLabel(line, LabelRow.model_validate_json(raw, strict=not lax))
    except ValidationError as error:
        reason, detail = reason_of(error, raw.encode() if isinstance(raw, str) else raw)
        return Reject(line, reason, detail)


def _is_label_lines(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            for line in file:
                text = line.removeprefix(b"\xef\xbb\xbf").strip()
                if text:
                    first = json.loads(text)
                    return isinstance(first, dict) and "pair_id" in first
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); check the name") from error
    except ValueError:
        return False  # not JSON Lines: some other format, or a broken first row of a pairs file
    return False
