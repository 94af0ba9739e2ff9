"""Rows that cannot be taken: each has a line number, a short reason to count by, and a detail."""

import json
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

BROKEN_JSON = "broken JSON"
NOT_UTF8 = "not UTF-8"
LONE_SURROGATE = "lone surrogate"
NOT_AN_OBJECT = "not an object"
NOT_A_NUMBER = "NaN or infinity"
UNKNOWN_KEY = "unknown key"
MISSING_KEY = "missing key"
UNKNOWN_LABEL = "unknown label"
UNKNOWN_VALUE = "unknown value"
WRONG_TYPE = "wrong type"
OUT_OF_RANGE = "out of range"
LABEL_AND_FAILURE = "label and failure"
NO_SHARED_PROMPT = "no shared prompt"
TOO_FEW_RESPONSES = "too few responses"
DUPLICATE_ID = "duplicate id"
REPEATED_ROW = "repeated row"

_MISSING = {"missing", "string_too_short"}
_RANGES = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}


@dataclass(frozen=True)
class Reject:
    """A row that was not taken. `line` counts from 1 (lines of a text file, rows of Parquet)."""

    line: int
    reason: str
    detail: str


class BadRow(ValueError):
    """A row of a foreign format cannot become a pair; caught by the reader, which adds the line."""

    def __init__(self, reason: str, detail: str):
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def reason_of(error: ValidationError, raw: bytes | None = None) -> tuple[str, str]:
    """(reason, detail) of a row that pydantic refused; `raw` is the JSON text, where there is one.

    Only the first error is told: a union (a prompt is a text or messages) reports each branch, and
    the branch that got deepest into the row is the one that the author of the file meant.
    """
    details = error.errors(include_url=False, include_context=False)
    first = details[0]
    if first["type"] == "json_invalid":
        return reason_of_broken_json(first["msg"].removeprefix("Invalid JSON: "), raw or b"")
    union = [d for d in details if d["loc"][:1] == first["loc"][:1]]
    first = max(union, key=lambda d: len(d["loc"]))
    where = _path(first["loc"])
    if first["type"] == "extra_forbidden":
        return UNKNOWN_KEY, f'unknown key "{where}"'
    if first["type"] in _MISSING:
        return MISSING_KEY, f'"{where}" is missing or empty'
    if first["type"] in ("model_type", "dict_type") and not where:
        return NOT_AN_OBJECT, "the row is not a JSON object"
    if first["type"] == "value_error":
        message = first["msg"].removeprefix("Value error, ")
        return LABEL_AND_FAILURE, f"{where}: {message}"
    got = _short(first["input"])
    if first["type"] == "literal_error":
        reason = UNKNOWN_LABEL if first["loc"][-1] == "label" else UNKNOWN_VALUE
        return reason, f"{where} is {got}; {_lower(first)}"
    if isinstance(first["input"], float) and first["input"] - first["input"] != 0:
        return NOT_A_NUMBER, f"{where} is {got}"
    if first["type"] == "finite_number":
        return NOT_A_NUMBER, f"{where} is {got}"
    if first["type"] == "string_unicode":
        return LONE_SURROGATE, f"{where} holds a character that is not text"
    if first["type"] in _RANGES:
        return OUT_OF_RANGE, f"{where} is {got}; {_lower(first)}"
    return WRONG_TYPE, f"{where} is {got}; {_lower(first)}"


def reason_of_broken_json(message: str, raw: bytes) -> tuple[str, str]:
    """(reason, detail) of a text that pydantic's JSON parser refused with this message."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return NOT_UTF8, "the row is not UTF-8 text"
    if "hex escape" in message or "surrogate" in message:
        try:
            json.loads(raw)
        except ValueError:
            return BROKEN_JSON, f"not JSON ({message})"
        # Python's parser takes it and pydantic's does not: half of a \u surrogate pair.
        return LONE_SURROGATE, "half of a \\u surrogate pair stands alone"
    return BROKEN_JSON, f"not JSON ({message})"


def _path(loc: tuple[int | str, ...]) -> str:
    """`("ai", 0, "label")` as `ai[0].label`; the names of union branches are left out."""
    path = ""
    for step in loc:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step not in ("str", "tuple[Message, ...]"):
            path += f".{step}" if path else step
    return path


def _short(value: Any, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _lower(detail: ErrorDetails) -> str:
    message = detail["msg"]
    return message[:1].lower() + message[1:]
