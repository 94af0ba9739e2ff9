"""The columns beside the texts: what each means, and what stands where there is no value.

Parquet has nulls. JSON Lines have stand-ins instead: `datasets` takes a column's type from the
first 10 MB of a file and cannot load one that is null there and text further down.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from workbench.export.formats import Format

Value = str | float | int | bool | None


@dataclass(frozen=True)
class Column:
    """One column of an exported row."""

    name: str
    kind: Literal["text", "number", "count", "flag"]
    about: str
    stand_in: str | float | None = None  # what JSON Lines hold instead of null


_ALL = (
    Column("pair_id", "text", "the pair's id in the project"),
    Column("label", "text", "A or B, the better response, or tie"),
    Column("p_a", "number", "soft label: probability that response_a is the better one"),
    Column("p_chosen", "number", "soft label of the chosen response; 0.5 for a tie"),
    Column("margin", "number", "2 p_chosen - 1, from 0 (a coin toss) to 1 (certain)"),
    Column("weight", "number", "training weight: 1 in a set of all pairs; in a set of "
           "human-labelled pairs alone 1 / inclusion_prob, scaled to mean 1 (1 where unknown); in "
           "one that `workbench pairs` made as its settings say"),
    Column("label_source", "text", "who decided: ai, human (votes) or adjudicated"),
    Column("human_label", "text", "the human label by precedence, whatever became of it", ""),
    Column("n_human_labels", "count", "human labels behind human_label"),
    Column("ai_label", "text", "the AI's combined label", ""),
    Column("ai_p_a", "number", "the AI's own mean p_a, uncalibrated", -1.0),
    Column("human_ai", "text", "agree or differ, where both labels exist", ""),
    Column("judge", "text", "the judge, or the rule over judges, whose label this is", ""),
    Column("orders", "text", "orders in which the judge was asked: ab, ba, ab+ba", ""),
    Column("annotators", "text", "people behind a human or adjudicated label, joined by '; '", ""),
    Column("round", "text", "the audit round that drew the pair", ""),
    Column("stratum", "text", "the stratum of that draw", ""),
    Column("inclusion_prob", "number", "probability with which that draw took the pair", 0.0),
    Column("identical", "flag", "both responses are the same text"),
    Column("source", "text", "where the pair came from", ""),
    Column("subset", "text", "its subset there", ""),
    Column("model_a", "text", "model behind response_a", ""),
    Column("model_b", "text", "model behind response_b", ""),
    Column("model_chosen", "text", "model behind the chosen response", ""),
    Column("model_rejected", "text", "model behind the rejected response", ""),
    Column("meta", "text", "the pair's free fields as JSON", ""),
)  # fmt: skip
_BY_NAME = {column.name: column for column in _ALL}

_DRAW = ("judge", "orders", "annotators", "round", "stratum", "inclusion_prob")
_LEAN = ("pair_id", "p_chosen", "weight", "label_source", *_DRAW)
_LABELS = ("label_source", "human_label", "n_human_labels", "ai_label", "ai_p_a", "human_ai")
_FULL = ("weight", *_LABELS, *_DRAW, "identical", "source", "subset")


def columns_of(fmt: Format, margin: bool) -> tuple[Column, ...]:
    """The columns beside the texts, in order.

    Args:
        fmt: The format; `pairs` has the keys of the pairs file instead, so none of these.
        margin: Put `margin` beside chosen and rejected, where TRL's RewardTrainer subtracts it
            from the difference of the rewards; rows of A and B always have it.
    """
    if fmt.shape == "pairs":
        return ()
    if fmt.shape == "ab":
        names = ["pair_id", "label", "p_a", "p_chosen", "margin", *_FULL]
        names += ["model_a", "model_b", "meta"]
    elif fmt.folder:
        names = ["pair_id", "p_chosen", *_FULL, "model_chosen", "model_rejected", "meta"]
    else:
        names = list(_LEAN)
    if margin and fmt.shape == "chosen":
        names.insert(names.index("p_chosen") + 1, "margin")
    return tuple(_BY_NAME[name] for name in names)


def without_nulls(row: dict[str, Any], stand_ins: Mapping[str, str | float]) -> dict[str, Any]:
    """The row as JSON Lines hold it."""
    return {key: stand_ins[key] if value is None else value for key, value in row.items()}


def stand_ins(columns: tuple[Column, ...]) -> dict[str, str | float]:
    """Column name to the value that JSON Lines hold for null."""
    return {column.name: column.stand_in for column in columns if column.stand_in is not None}
