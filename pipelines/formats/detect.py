"""Telling the format of a file from the keys of its first rows."""

from contextlib import closing
from itertools import islice
from typing import Any, Literal, get_args

from pydantic_core import from_json

from pipelines.errors import BadInput
from pipelines.formats.containers import RawRow, Source, iter_rows

Format = Literal["pairs", "trl", "hh", "ultrafeedback", "wins"]
FORMATS: tuple[Format, ...] = get_args(Format)

_ROWS_LOOKED_AT = 20
_EXPECTED = (
    "expected prompt/response_a/response_b (pairs), chosen/rejected (trl, hh), "
    "completions with scores (ultrafeedback) or model_a/model_b/winner (wins)"
)


def detect_format(source: Source) -> Format:
    """The format of a file.

    Raises:
        BadInput: None of its first rows looks like anything known.
    """
    keys: list[str] = []
    with closing(iter_rows(source)) as rows:
        for _, raw in islice(rows, _ROWS_LOOKED_AT):
            row = _as_dict(raw)
            if row is None:
                continue
            found = format_of(row)
            if found is not None:
                return found
            keys = keys or sorted(row)
    if not keys:
        raise BadInput(
            f"{source.path}: no JSON object in its first {_ROWS_LOOKED_AT} rows; {_EXPECTED}"
        )
    shown = ", ".join(keys[:8]) + (", ..." if len(keys) > 8 else "")
    raise BadInput(
        f"{source.path}: no known format has the keys {shown}; {_EXPECTED}, or name it by --format"
    )


def format_of(row: dict[str, Any]) -> Format | None:
    """The format that a row's keys tell, or None."""
    if {"chosen", "rejected"} <= row.keys():
        transcripts = all(
            isinstance(row[key], str) and "\n\nHuman:" in f"\n\n{row[key].lstrip()}"
            for key in ("chosen", "rejected")
        )
        return "hh" if transcripts and "prompt" not in row else "trl"
    if isinstance(row.get("completions"), list):
        return "ultrafeedback"
    if "winner" in row or {"winner_model_a", "winner_model_b"} <= row.keys():
        return "wins"
    if "response_a" in row or "response_b" in row:
        return "pairs"
    return None


def _as_dict(raw: RawRow) -> dict[str, Any] | None:
    if isinstance(raw, dict):
        return raw
    try:
        row = from_json(raw)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
