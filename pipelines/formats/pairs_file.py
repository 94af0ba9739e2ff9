"""Rows of the pairs file (DESIGN.md, "The pairs file"): the record itself, strictly read."""

from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from pipelines.formats.containers import RawRow
from pipelines.formats.fields import as_json
from pipelines.formats.rejects import (
    NOT_A_NUMBER,
    NOT_AN_OBJECT,
    BadRow,
    reason_of,
    reason_of_broken_json,
)
from pipelines.records import PreferencePair

_TEXTS = ("prompt", "response_a", "response_b")


def parse_pair(raw: RawRow) -> PreferencePair:
    """One row as a pair, its id as given.

    Raises:
        BadRow: With the reason and the key.
    """
    try:
        if isinstance(raw, dict):
            return PreferencePair.model_validate(_without_nulls(raw))
        pair = PreferencePair.model_validate_json(raw)
    except ValidationError as error:
        text = raw if isinstance(raw, bytes) else None
        raise BadRow(*reason_of(error, text)) from error
    # JSON has no NaN, but parsers take it, and in a free field (`meta`) nothing else would see it.
    if b"NaN" in raw or b"Infinity" in raw:
        parse_json(raw)
    return pair


def parse_json(raw: RawRow) -> dict[str, Any]:
    """One row of a foreign format as a dict.

    Raises:
        BadRow: It is not one JSON object, or holds NaN, infinity or half a surrogate pair.
    """
    row = raw if isinstance(raw, dict) else _parsed(raw)
    if not isinstance(row, dict):
        raise BadRow(NOT_AN_OBJECT, "the row is not a JSON object")
    return row


def _parsed(raw: bytes) -> Any:
    try:
        return from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        if _is_json_with_nan(raw):
            raise BadRow(NOT_A_NUMBER, "NaN and infinity are not JSON") from error
        raise BadRow(*reason_of_broken_json(str(error), raw)) from error


def _is_json_with_nan(raw: bytes) -> bool:
    try:
        from_json(raw, allow_inf_nan=True)
    except ValueError:
        return False
    return True


def _without_nulls(row: dict[str, Any]) -> dict[str, Any]:
    """A table has every column in every row: null, or an empty CSV cell, is a key that is absent.

    Nested fields may be JSON texts, as they are in a CSV.
    """
    row = {
        key: value
        for key, value in row.items()
        if value is not None and (value != "" or key in _TEXTS)
    }
    for key in ("ai", "human"):
        if isinstance(row.get(key), str):
            row[key] = _parsed(row[key].encode())
    meta = row.get("meta")
    if isinstance(meta, str):
        row["meta"] = parse_json(meta.encode("utf-8", "surrogatepass"))
    elif isinstance(meta, dict):
        row["meta"] = {key: as_json(value) for key, value in meta.items() if value is not None}
    return row
