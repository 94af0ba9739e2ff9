"""Rows that are longer than the model is trained on: counted, and dropped, cut or refused."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pipelines.errors import BadInput
from pipelines.records import Message
from pipelines.train.rows import DemonstrationRow, PreferenceRow, ReplyRow, Rows

OVER_LENGTH = "over max_length"
_NO_ROOM = "whose prompt alone fills max_length"


def fit(
    rows: Rows, tokenizer: Any, max_length: int, over_length: str, vocabulary: int | None = None
) -> Rows:
    """The rows with those over length treated as asked, and the tokens of each training row.

    Args:
        rows: As read.
        tokenizer: With a chat template.
        max_length: Tokens of prompt and response together.
        over_length: "drop", "truncate" (the trainer cuts the end) or "refuse".
        vocabulary: Tokens that the model knows; None leaves this unchecked.

    Raises:
        BadInput: A row is over length and `refuse` was asked, nothing is left to train on, or a
            token is not one of the model's.
    """
    splits: dict[str, list[Any]] = {}
    lengths: list[int] = []
    left_out = dict(rows.left_out)
    n_over = longest = 0
    for split, several in rows.splits.items():
        kept = splits.setdefault(split, [])
        for row in several:
            n_tokens = max(_count(turns, tokenizer, vocabulary) for turns in _texts(row))
            longest = max(longest, n_tokens)
            n_over += n_tokens > max_length
            if n_tokens > max_length:
                # A cut that leaves nothing of the response leaves nothing to learn.
                nothing = over_length == "truncate" and (
                    _count(_turns(row.prompt), tokenizer, None) >= max_length
                )
                reason = _NO_ROOM if nothing else OVER_LENGTH
                reason += ", cut" if over_length == "truncate" and not nothing else ""
                left_out[reason] = left_out.get(reason, 0) + 1
                if over_length != "truncate" or nothing:
                    continue
            kept.append(row)
            if split == "train":
                lengths.append(min(n_tokens, max_length))
    if n_over and over_length == "refuse":
        raise BadInput(
            f"{n_over} rows are longer than max_length = {max_length} tokens (the longest has "
            f"{longest}); raise it, or set over_length"
        )
    if not splits.get("train"):
        raise BadInput(
            f"no training row is left of {rows.n_in} (left out: {_said(left_out)}); look at the "
            "data, or raise max_length"
        )
    return replace(rows, splits=splits, left_out=left_out, n_tokens=tuple(lengths))


def _count(turns: list[dict[str, str]], tokenizer: Any, vocabulary: int | None) -> int:
    """Tokens of a conversation; one that ends with a user's turn is asked to be answered."""
    asked = turns[-1]["role"] != "assistant"
    ids = tokenizer.apply_chat_template(turns, return_dict=False, add_generation_prompt=asked)
    if vocabulary is not None and ids and max(ids) >= vocabulary:
        raise BadInput(
            f"the tokenizer has a token {max(ids):,} and the model knows {vocabulary:,}; take the "
            "tokenizer that the model was trained with"
        )
    return len(ids)


def _texts(row: Any) -> Iterator[list[dict[str, str]]]:
    match row:
        case PreferenceRow():
            yield _turns(row.prompt, row.chosen)
            yield _turns(row.prompt, row.rejected)
        case ReplyRow() | DemonstrationRow():
            yield _turns(row.prompt, row.completion)
        case _:
            yield _turns(row.prompt)


def _turns(prompt: tuple[Message, ...], response: str | None = None) -> list[dict[str, str]]:
    turns = [turn.model_dump() for turn in prompt]
    return turns if response is None else [*turns, {"role": "assistant", "content": response}]


def _said(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {reason}" for reason, n in counts.items() if n) or "none"
