"""Rows that are longer than the model is trained on: counted, and dropped, cut or refused."""

from collections.abc import Iterator, Sequence
from typing import Any

from pipelines.errors import BadInput
from pipelines.records import Message
from pipelines.train.rows import DemonstrationRow, PreferenceRow, PromptRow, ReplyRow, Rows

OVER_LENGTH = "over max_length"


def fit(rows: Rows, tokenizer: Any, max_length: int, over_length: str) -> Rows:
    """The rows with those over length treated as asked.

    Args:
        rows: As read.
        tokenizer: With a chat template.
        max_length: Tokens of prompt and response together.
        over_length: "drop", "truncate" (the trainer cuts the end) or "refuse".

    Raises:
        BadInput: A row is over length and `refuse` was asked, or nothing is left to train on.
    """
    splits: dict[str, list[Any]] = {}
    n_over, longest = 0, 0
    for split, several in rows.splits.items():
        kept = splits.setdefault(split, [])
        for row, n_tokens in zip(several, _n_tokens(several, tokenizer), strict=True):
            longest = max(longest, n_tokens)
            n_over += n_tokens > max_length
            if n_tokens <= max_length or over_length == "truncate":
                kept.append(row)
    if n_over and over_length == "refuse":
        raise BadInput(
            f"{n_over} rows are longer than max_length = {max_length} tokens (the longest has "
            f"{longest}); raise it, or set over_length"
        )
    if not splits.get("train"):
        raise BadInput(
            f"no training row is left of {rows.n_in} (left out: "
            f"{_said({**rows.left_out, OVER_LENGTH: n_over})}); look at the data, or raise "
            "max_length"
        )
    named = f"{OVER_LENGTH}, cut" if over_length == "truncate" else OVER_LENGTH
    left_out = {**rows.left_out, named: n_over} if n_over else dict(rows.left_out)
    return Rows(rows.kind, splits, rows.n_in, left_out)


def _n_tokens(rows: Sequence[Any], tokenizer: Any) -> Iterator[int]:
    """Tokens of each row's longest text."""
    for row in rows:
        yield max(
            len(tokenizer.apply_chat_template(turns, return_dict=False, **options))
            for turns, options in _texts(row)
        )


def _texts(row: Any) -> Iterator[tuple[list[dict[str, str]], dict[str, Any]]]:
    match row:
        case PreferenceRow():
            yield _turns(row.prompt, row.chosen), {}
            yield _turns(row.prompt, row.rejected), {}
        case ReplyRow() | DemonstrationRow():
            yield _turns(row.prompt, row.completion), {}
        case PromptRow():
            yield _turns(row.prompt), {"add_generation_prompt": True}


def _turns(prompt: tuple[Message, ...], response: str | None = None) -> list[dict[str, str]]:
    turns = [turn.model_dump() for turn in prompt]
    return turns if response is None else [*turns, {"role": "assistant", "content": response}]


def _said(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {reason}" for reason, n in counts.items() if n) or "none"
