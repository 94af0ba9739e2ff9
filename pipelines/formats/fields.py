"""Single fields of foreign rows: texts, numbers, names, and whatever is left over for `meta`."""

import math
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import JsonValue

from pipelines.formats.placing import Origin
from pipelines.formats.rejects import MISSING_KEY, NOT_A_NUMBER, WRONG_TYPE, BadRow

ORIGIN_KEYS = ("id", "source", "subset")


def required(row: Mapping[str, Any], key: str) -> Any:
    """A value that must be there.

    Raises:
        BadRow: It is not.
    """
    value = row.get(key)
    if value is None:
        raise BadRow(MISSING_KEY, f'"{key}" is missing or null')
    return value


def text(value: Any, key: str) -> str:
    """A value that must be a text.

    Raises:
        BadRow: It is not; the detail names `key`.
    """
    if not isinstance(value, str):
        raise BadRow(WRONG_TYPE, f"{key} is {str(value)[:60]!r}, not a text")
    return value


def name(value: Any) -> str | None:
    """A model's or a person's name as a text; None where there is none."""
    return None if value is None or value == "" else str(value)


def number(value: Any) -> float | None:
    """A number, also one written as a text; None where there is none ("N/A", null).

    Raises:
        BadRow: NaN or infinity.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        result = float(value)
    except ValueError:
        return None
    if not math.isfinite(result):
        raise BadRow(NOT_A_NUMBER, f"a score is {value}")
    return result


def origin(row: Mapping[str, Any], used: Collection[str], **more: JsonValue) -> Origin:
    """Id, source, subset, and every column that nobody has used as `meta`: nothing is dropped."""
    meta = {
        key: as_json(value)
        for key, value in row.items()
        if key not in used and key not in ORIGIN_KEYS and value is not None and key
    }
    return Origin(
        id=name(row.get("id")),
        source=name(row.get("source")),
        subset=name(row.get("subset")),
        meta=meta | more,
    )


def as_json(value: Any) -> JsonValue:
    """A value of a Parquet or hub row as JSON; dates and bytes become texts."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            return None  # Parquet's NaN stands for a missing number
        return value
    if isinstance(value, Mapping):
        return {str(key): as_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(inner) for inner in value]
    return str(value)
