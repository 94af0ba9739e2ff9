"""Training rows, read from a curated export or a file in one of its formats.

A preference row says how sure the label is (`p_chosen`, at least 1/2) and how much it counts
(`weight`). Which of the two responses is "chosen" is what the label says; nothing is dropped here
without a count.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipelines.errors import BadInput
from pipelines.records import Message
from pipelines.train.row_files import SPLITS, raw_rows

Kind = Literal["preference", "reply", "demonstration", "prompt"]

_KEYS: dict[Kind, str] = {
    "preference": "prompt, chosen, rejected (`workbench export trl`)",
    "reply": "prompt, completion, label (`workbench export kto`), or prompt, chosen, rejected",
    "demonstration": "prompt and completion, messages, or prompt, chosen, rejected",
    "prompt": "prompt, or messages",
}


@dataclass(frozen=True, slots=True)
class PreferenceRow:
    """Two responses to one conversation; `p_chosen` is the probability that chosen is better."""

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    p_chosen: float = 1.0
    weight: float = 1.0
    margin: float | None = None
    by_human: bool = False  # a person decided


@dataclass(frozen=True, slots=True)
class ReplyRow:
    """One response and whether it is wanted."""

    prompt: tuple[Message, ...]
    completion: str
    wanted: bool


@dataclass(frozen=True, slots=True)
class DemonstrationRow:
    """A response to be imitated."""

    prompt: tuple[Message, ...]
    completion: str


@dataclass(frozen=True, slots=True)
class PromptRow:
    """A conversation to be answered, with the other columns of its row for reward functions."""

    prompt: tuple[Message, ...]
    columns: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Rows:
    """What a file held: rows by split, and what was left out, counted by reason."""

    kind: Kind
    splits: Mapping[str, list[Any]]
    n_in: int
    left_out: Mapping[str, int]
    n_tokens: tuple[int, ...] = ()  # of each training row's longest text, once they are counted

    @property
    def train(self) -> list[Any]:
        """The rows to learn from."""
        return self.splits.get("train", [])

    @property
    def held_out(self) -> list[Any]:
        """Rows of prompts that no training row has: `test`, else `validation`."""
        return self.splits.get("test") or self.splits.get("validation") or []


def read_rows(path: Path, kind: Kind) -> Rows:
    """The training rows of a file or of a data set folder.

    A row's split is its column `split`, else what the name of its file says (`train`, `test`,
    `validation`), else `train`. A tie has no chosen response: only a soft label of 1/2 can be
    learnt from it, by a trainer of pairs.

    Args:
        path: JSON Lines (also gzipped), Parquet, or a folder of either (see `row_files`).
        kind: What the trainer needs; a preference row also serves as two replies and, with its
            chosen response, as a demonstration.

    Raises:
        BadInput: It cannot be read, or a row lacks what the trainer needs; the message names the
            file, the row and the keys.
    """
    splits: dict[str, list[Any]] = {}
    left_out: Counter[str] = Counter()
    n_in = 0
    for name, where, row in raw_rows(path):
        n_in += 1
        split = str(row.get("split") or name)
        if split not in SPLITS:
            left_out[f'of split "{split}"'] += 1
            continue
        for read in _read(row, kind, where):
            if isinstance(read, str):
                left_out[read] += 1
            else:
                splits.setdefault(split, []).append(read)
    if n_in == 0:
        raise BadInput(f"{path}: holds no rows; export some with `workbench export`")
    _check_splits(path, splits)
    return Rows(kind, splits, n_in, dict(left_out))


def _read(row: dict[str, Any], kind: Kind, where: str) -> Iterator[Any]:
    """The rows of one line; a text where it is left out, saying why."""
    if kind == "prompt":
        prompt = row.get("prompt") if row.get("prompt") is not None else row.get("messages")
        columns = {key: value for key, value in row.items() if key not in ("prompt", "messages")}
        yield PromptRow(_prompt(prompt, kind, where), columns)
    elif kind == "demonstration" and isinstance(row.get("messages"), list):
        turns = _prompt(row["messages"], kind, where)
        if turns[-1].role != "assistant":
            yield "no response at the end"
        elif len(turns) < 2:
            yield "no prompt"
        else:
            yield DemonstrationRow(turns[:-1], turns[-1].content)
    elif "completion" in row and kind in ("reply", "demonstration"):
        prompt, text = _prompt(row.get("prompt"), kind, where), _text(row, "completion", where)
        if not text.strip():
            yield "empty response"
        elif kind == "demonstration":
            yield DemonstrationRow(prompt, text)
        elif isinstance(row.get("label"), bool):
            yield ReplyRow(prompt, text, row["label"])
        else:
            raise BadInput(f"{where}: label is not true or false; a reply row needs one")
    else:
        yield from _from_pair(row, kind, where)


def _from_pair(row: dict[str, Any], kind: Kind, where: str) -> Iterator[Any]:
    pair = _pair(row, kind, where)
    if isinstance(pair, str) or kind == "preference":
        yield pair
    elif pair.p_chosen == 0.5:  # neither of the two is the one to imitate
        yield "tie"
    elif kind == "demonstration":
        yield DemonstrationRow(pair.prompt, pair.chosen)
    else:
        yield ReplyRow(pair.prompt, pair.chosen, True)
        yield ReplyRow(pair.prompt, pair.rejected, False)


def _pair(row: dict[str, Any], kind: Kind, where: str) -> PreferenceRow | str:
    prompt = _prompt(row.get("prompt"), kind, where)
    if "response_a" in row:
        label = row.get("label")
        if label not in ("A", "B"):
            return "tie" if label == "tie" else "no label"
        sides = ("response_a", "response_b") if label == "A" else ("response_b", "response_a")
        p = row.get("p_chosen")
        if p is None and row.get("p_a") is not None:
            p_a = _number(row["p_a"], 1.0, "p_a", where)
            p = p_a if label == "A" else 1.0 - p_a
    else:
        sides, p = ("chosen", "rejected"), row.get("p_chosen")
    chosen, rejected = (_text(row, side, where) for side in sides)
    if chosen == rejected:
        return "chosen equals rejected"
    if not chosen.strip() or not rejected.strip():
        return "empty response"
    p, weight = _number(p, 1.0, "p_chosen", where), _number(row.get("weight"), 1.0, "weight", where)
    if not 0.0 <= p <= 1.0 or weight < 0.0:
        raise BadInput(f"{where}: p_chosen {p} or weight {weight} is out of range")
    if weight == 0.0:
        return "weight 0"
    margin = None if row.get("margin") is None else _number(row["margin"], 0.0, "margin", where)
    # Only a label that a person gave, and that stands, can score a reward model.
    by_human = row.get("label_source") in ("human", "adjudicated") and p > 0.5
    if p < 0.5:  # the same pair, told from the other side
        chosen, rejected, p = rejected, chosen, 1.0 - p
        margin = None if margin is None else -margin
    return PreferenceRow(prompt, chosen, rejected, p, weight, margin, by_human)


def _prompt(value: Any, kind: Kind, where: str) -> tuple[Message, ...]:
    """The conversation before the response; a plain text is one turn of a user."""
    if isinstance(value, str) and value.strip():
        return (Message(role="user", content=value),)
    if isinstance(value, list) and value:
        try:
            return tuple(Message(role=turn["role"], content=turn["content"]) for turn in value)
        except (TypeError, KeyError, ValueError) as error:
            raise BadInput(f"{where}: a turn of the prompt lacks role or content") from error
    raise BadInput(f"{where}: has no prompt; a {kind} row needs {_KEYS[kind]}")


def _text(row: Mapping[str, Any], key: str, where: str) -> str:
    value = row.get(key)
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        value = value[0].get("content")
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        raise BadInput(
            f"{where}: {key} is a whole conversation; write the shared part as `prompt` and the "
            "last turn alone here (`workbench import` and `workbench export trl` do)"
        )
    raise BadInput(f"{where}: {key} is missing or not a text; the keys are prompt, {key}, ...")


def _number(value: Any, absent: float, name: str, where: str) -> float:
    if value is None:
        return absent
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadInput(f"{where}: {name} is not a number")
    return float(value)


def _check_splits(path: Path, splits: Mapping[str, Iterable[Any]]) -> None:
    """No prompt may be on both sides of a split: the held-out score would be of what was learnt."""
    train = {row.prompt for row in splits.get("train", [])}
    for name, rows in splits.items():
        if name == "train":
            continue
        shared = {row.prompt for row in rows} & train
        if shared:
            raise BadInput(
                f"{path}: {len(shared)} prompts are in both train and {name}; split by prompt, as "
                "`workbench export --test-share` does"
            )
