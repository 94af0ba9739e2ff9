"""Pairs as three flat Arrow tables (pairs, verdicts, labels) and back.

Row group g of the three files of a part belong together: the verdicts and labels in it are those
of the pairs in it. So any pair is read by opening one row group of each file, and the narrow
columns of millions of verdicts are read without touching a text.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.agreement.annotations import FAILURE_NAMES, LABEL_NAMES, NONE
from pipelines.formats.fingerprints import is_empty, is_identical
from pipelines.formats.ids import Admission
from pipelines.preferences.annotations import FAILURE_CODES, LABEL_CODES, ORDER_CODES
from pipelines.records import PreferencePair

TABLES = ("pairs", "verdicts", "labels")

SCHEMAS: dict[str, pa.Schema] = {
    "pairs": pa.schema(
        [
            ("id", pa.string()),
            ("prompt", pa.string()),  # JSON: a string, or a list of messages
            ("response_a", pa.string()),
            ("response_b", pa.string()),
            ("model_a", pa.string()),
            ("model_b", pa.string()),
            ("source", pa.string()),
            ("subset", pa.string()),
            ("meta", pa.string()),  # JSON object; null when empty
            ("prompt_hash", pa.uint64()),
            ("text_hash", pa.uint64()),
            ("row_hash", pa.binary(32)),
            ("chars_prompt", pa.int32()),
            ("chars_a", pa.int32()),
            ("chars_b", pa.int32()),
            ("turns", pa.int32()),  # messages of the prompt; 1 for a plain text
            ("identical", pa.bool_()),
            ("empty", pa.bool_()),
            ("duplicate", pa.bool_()),
        ]
    ),
    # Labels, orders and failures are the codes of pipelines.agreement.annotations; -1 is none.
    "verdicts": pa.schema(
        [
            ("pair", pa.int64()),  # row of the pair, counted over all parts
            ("judge", pa.string()),
            ("order", pa.int8()),
            ("label", pa.int8()),
            ("p_a", pa.float64()),
            ("confidence", pa.float64()),
            ("failure", pa.int8()),
            ("rationale", pa.string()),
            ("raw", pa.string()),
        ]
    ),
    "labels": pa.schema(
        [
            ("pair", pa.int64()),
            ("annotator", pa.string()),
            ("label", pa.int8()),
            ("comment", pa.string()),
            ("seconds", pa.float64()),
        ]
    ),
}

# What a pair is without what others say of it.
TEXT_COLUMNS = SCHEMAS["pairs"].names[: SCHEMAS["pairs"].names.index("prompt_hash")]

# Columns with few distinct values; all others are stored plain, which is faster for long texts.
DICTIONARY_COLUMNS: dict[str, list[str]] = {
    "pairs": ["model_a", "model_b", "source", "subset"],
    "verdicts": ["judge"],
    "labels": ["annotator"],
}

ORDER_NAMES = ("ab", "ba")


class PartBuffer:
    """Pairs on their way to disk, column by column."""

    def __init__(self, first_row: int):
        self.first_row = first_row
        self.n_chars = 0
        self._rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in TABLES}

    def __len__(self) -> int:
        return len(self._rows["pairs"])

    def add(self, admission: Admission) -> None:
        """The next pair."""
        pair, hashes = admission.pair, admission.hashes
        row = self.first_row + len(self)
        if isinstance(pair.prompt, str):
            chars_prompt, turns = len(pair.prompt), 1
        else:
            chars_prompt = sum(len(message.content) for message in pair.prompt)
            turns = len(pair.prompt)
        chars_a, chars_b = len(pair.response_a), len(pair.response_b)
        self.n_chars += chars_prompt + chars_a + chars_b
        self._rows["pairs"].append(
            (
                pair.id,
                hashes.prompt_json,
                pair.response_a,
                pair.response_b,
                pair.model_a,
                pair.model_b,
                pair.source,
                pair.subset,
                json.dumps(pair.meta, ensure_ascii=False) if pair.meta else None,
                hashes.prompt,
                hashes.text,
                hashes.row,
                chars_prompt,
                chars_a,
                chars_b,
                turns,
                is_identical(pair),
                is_empty(pair),
                admission.duplicate,
            )
        )
        for judgment in pair.ai:
            self._rows["verdicts"].append(
                (
                    row,
                    judgment.judge,
                    ORDER_CODES[judgment.order],
                    LABEL_CODES[judgment.label],
                    judgment.p_a,
                    judgment.confidence,
                    FAILURE_CODES[judgment.failure],
                    judgment.rationale,
                    judgment.raw,
                )
            )
        for label in pair.human:
            self._rows["labels"].append(
                (row, label.annotator, LABEL_CODES[label.label], label.comment, label.seconds)
            )

    def tables(self) -> dict[str, pa.Table]:
        """The three tables; any of them may be empty."""
        return {name: _table(SCHEMAS[name], rows) for name, rows in self._rows.items()}


def _table(schema: pa.Schema, rows: list[tuple[Any, ...]]) -> pa.Table:
    columns: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) or [[] for _ in schema]
    arrays = [
        pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def pairs_of(
    tables: dict[str, pa.Table], first_row: int, places: npt.NDArray[np.int64]
) -> Iterator[PreferencePair]:
    """Some pairs of one row group, whole, in the order of `places`.

    Args:
        tables: The same row group of the three files.
        first_row: Row of its first pair, counted over all parts.
        places: Which pairs, counted from `first_row`; each once. Shape (n_wanted,).
    """
    judgments = _by_pair(tables["verdicts"], first_row, places)
    labels = _by_pair(tables["labels"], first_row, places)
    for place, row in zip(places.tolist(), tables["pairs"].take(places).to_pylist(), strict=True):
        yield _pair(
            row,
            [_judgment(judgment) for judgment in judgments.get(place, ())],
            [_label(label) for label in labels.get(place, ())],
        )


def bare_pairs_of(batch: pa.RecordBatch, places: npt.NDArray[np.int64]) -> Iterator[PreferencePair]:
    """Some pairs of a batch that has `TEXT_COLUMNS`, without verdicts and labels."""
    rows = batch.to_pylist()
    for place in places.tolist():
        yield _pair(rows[place], [], [])


def numbers(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """A column of numbers without nulls as an array; `to_numpy` would import pandas (50 MB)."""
    values: npt.NDArray[Any] = np.from_dlpack(column.combine_chunks())
    return values


def _pair(
    row: dict[str, Any], ai: list[dict[str, Any]], human: list[dict[str, Any]]
) -> PreferencePair:
    return PreferencePair.model_validate(
        {
            "id": row["id"],
            "prompt": json.loads(row["prompt"]),
            "response_a": row["response_a"],
            "response_b": row["response_b"],
            "model_a": row["model_a"],
            "model_b": row["model_b"],
            "ai": ai,
            "human": human,
            "source": row["source"],
            "subset": row["subset"],
            "meta": {} if row["meta"] is None else json.loads(row["meta"]),
        }
    )


def _by_pair(
    table: pa.Table, first_row: int, places: npt.NDArray[np.int64]
) -> dict[int, list[dict[str, Any]]]:
    """The rows of a table of verdicts or labels that belong to these pairs."""
    wanted = np.isin(table["pair"].to_numpy(), first_row + places)
    found: dict[int, list[dict[str, Any]]] = {}
    for row in table.filter(pa.array(wanted)).to_pylist():
        found.setdefault(row["pair"] - first_row, []).append(row)
    return found


def _judgment(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "judge": row["judge"],
        "order": _name(ORDER_NAMES, row["order"]),
        "label": _name(LABEL_NAMES, row["label"]),
        "p_a": row["p_a"],
        "confidence": row["confidence"],
        "failure": _name(FAILURE_NAMES, row["failure"]),
        "rationale": row["rationale"],
        "raw": row["raw"],
    }


def _label(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "annotator": row["annotator"],
        "label": _name(LABEL_NAMES, row["label"]),
        "comment": row["comment"],
        "seconds": row["seconds"],
    }


def _name(names: tuple[str, ...], code: int) -> str | None:
    return None if code == NONE else names[code]
