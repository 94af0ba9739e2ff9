"""Prompts from any file: one a line, JSONL, CSV, Parquet, a data set of the hub, HH transcripts."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import JsonValue, ValidationError

from pipelines.errors import BadInput
from pipelines.formats.containers import RawRow, Source, iter_rows, open_source
from pipelines.formats.conversations import messages_of, split_prompt, turns_of
from pipelines.formats.fields import as_json, origin, required, text
from pipelines.formats.hub import PREFIX
from pipelines.formats.pairs_file import parse_json
from pipelines.formats.rejects import (
    BROKEN_JSON,
    DUPLICATE_ID,
    MISSING_KEY,
    NOT_UTF8,
    WRONG_TYPE,
    BadRow,
    Reject,
    reason_of,
)
from pipelines.generate.folders import folder_rows
from pipelines.generate.records import Conversation, Prompt, text_hash
from pipelines.records import Message

EMPTY = "empty prompt"
NO_USER_TURN = "no user turn"

_TEXT_SUFFIXES = (".txt", ".text")
# The first of these that a row has is its prompt.
PROMPT_KEYS = (
    "prompt",
    "messages",
    "conversations",
    "conversation",
    "transcript",
    "instruction",
    "question",
    "query",
    "text",
)
# Responses that a data set has are not ours to carry along.
_NOT_META = {*PROMPT_KEYS, "system", "meta", "chosen", "rejected", "completions", "responses"}


@dataclass(frozen=True)
class PromptFile:
    """What was read.

    Attributes:
        source: The file, folder or data set.
        prompts: In its order, without repeats.
        n_rows: Rows that were looked at.
        n_duplicates: Rows whose prompt stood further up.
        rejects: Rows that are no prompts.
    """

    source: str
    prompts: tuple[Prompt, ...]
    n_rows: int
    n_duplicates: int
    rejects: tuple[Reject, ...] = field(repr=False)


def read_prompts(path: Path, strict: bool = False) -> PromptFile:
    """All prompts of a file, of a folder with data files, or of a data set (`hf:ORG/NAME`).

    Args:
        path: Which.
        strict: One bad row refuses all.

    Raises:
        BadInput: It cannot be read, holds no prompt, or `strict` and a bad row.
        ServiceFailed: The hub cannot be reached.
    """
    prompts: list[Prompt] = []
    rejects: list[Reject] = []
    texts: set[str] = set()
    ids: set[str] = set()
    n_rows = n_duplicates = 0
    for line, raw, plain in _rows(path):
        n_rows += 1
        try:
            prompt = _prompt(raw, plain)
            shown = prompt.text_hash()
            if shown in texts:
                n_duplicates += 1
                continue
            if prompt.id in ids:
                raise BadRow(DUPLICATE_ID, f'id "{prompt.id}" stood before with another prompt')
        except BadRow as error:
            rejects.append(Reject(line, error.reason, error.detail))
            continue
        except ValidationError as error:
            rejects.append(Reject(line, *reason_of(error)))
            continue
        texts.add(shown)
        ids.add(prompt.id)
        prompts.append(prompt)
    if strict and rejects:
        first = rejects[0]
        n = f"{len(rejects):,} rows are" if len(rejects) > 1 else "1 row is"
        raise BadInput(
            f"{path}:{first.line}: {first.detail}; {n} bad, so --strict generated nothing"
        )
    if not prompts:
        why = f"; row {rejects[0].line}: {rejects[0].detail}" if rejects else ""
        raise BadInput(f"{path}: holds no prompt{why}; write one a line, or JSON with a prompt")
    return PromptFile(str(path), tuple(prompts), n_rows, n_duplicates, tuple(rejects))


def _rows(path: Path) -> Iterator[tuple[int, RawRow, bool]]:
    """(line, row, whether it is a line of plain text)."""
    if not str(path).startswith(PREFIX) and path.is_dir():
        yield from ((line, row, False) for line, row in folder_rows(path))
        return
    source = open_source(path)
    if path.suffix.lower() in _TEXT_SUFFIXES:
        source = Source(source.path, "jsonl", source.gzipped, source.n_bytes)
        plain = True
    else:
        plain = source.container == "jsonl" and not _is_json(source)
    for line, raw in iter_rows(source):
        yield line, raw, plain


def _is_json(source: Source) -> bool:
    """Whether a file of lines is JSON: its name says so, or its first line does."""
    if any(suffix in (".jsonl", ".ndjson", ".json") for suffix in source.path.suffixes):
        return True
    with closing(iter_rows(source)) as rows:
        _, first = next(rows)
    return isinstance(first, bytes) and first[:1] == b"{"


def _prompt(raw: RawRow, plain: bool) -> Prompt:
    """One row as a prompt.

    Raises:
        BadRow: It is none.
    """
    if plain and isinstance(raw, bytes):
        try:
            return _made(raw.decode())
        except UnicodeDecodeError as error:
            raise BadRow(NOT_UTF8, "the line is not UTF-8 text") from error
    if isinstance(raw, bytes) and raw[:1] == b'"':
        try:
            return _made(text(json.loads(raw), "the row"))
        except ValueError as error:
            raise BadRow(BROKEN_JSON, "the row is a text without its end") from error
    row = parse_json(raw)
    conversation = _conversation(row)
    if row.get("system") not in (None, ""):
        conversation = _with_system(text(row["system"], "system"), conversation)
    found = origin(row, _NOT_META)
    meta = {**_meta(row.get("meta")), **(found.meta or {})}
    return _made(conversation, found.id, found.subset, found.source, meta)


def _conversation(row: dict[str, Any]) -> Conversation:
    """What the row asks."""
    if {"chosen", "rejected"} <= row.keys() and "prompt" not in row:
        sides = [_turns(required(row, key), key) for key in ("chosen", "rejected")]
        return split_prompt(*sides)[0]
    for key in PROMPT_KEYS:
        value = row.get(key)
        if value is None:
            continue
        if not isinstance(value, str):
            return messages_of(value, key)
        if value[:1] == "[" and value.rstrip()[-1:] == "]":  # messages in a cell of a CSV
            try:
                return messages_of(json.loads(value), key)
            except ValueError:
                return value
        if key == "transcript" or value.lstrip().startswith("Human:"):
            return turns_of(value, key)
        more = row.get("input") if key == "instruction" else None
        return f"{value}\n\n{more}" if isinstance(more, str) and more.strip() else value
    raise BadRow(MISSING_KEY, f"none of the keys {', '.join(PROMPT_KEYS)} is there")


def _turns(value: Any, key: str) -> tuple[Message, ...]:
    return turns_of(value, key) if isinstance(value, str) else messages_of(value, key)


def _with_system(system: str, conversation: Conversation) -> tuple[Message, ...]:
    if isinstance(conversation, str):
        conversation = (Message(role="user", content=conversation),)
    if conversation and conversation[0].role == "system":
        raise BadRow(WRONG_TYPE, "system is set, and the messages begin with a system message too")
    return (Message(role="system", content=system), *conversation)


def _meta(value: Any) -> dict[str, JsonValue]:
    if value in (None, ""):
        return {}
    if isinstance(value, str):
        value = parse_json(value.encode())
    if not isinstance(value, dict):
        raise BadRow(WRONG_TYPE, "meta is no object")
    return {str(key): as_json(inner) for key, inner in value.items()}


def _made(
    conversation: Conversation,
    id: str | None = None,
    subset: str | None = None,
    source: str | None = None,
    meta: dict[str, JsonValue] | None = None,
) -> Prompt:
    if isinstance(conversation, str):
        conversation = conversation.strip()
        if not conversation:
            raise BadRow(EMPTY, "the prompt is empty")
    else:
        # What comes after the last user's turn is the response that a data set has.
        last = max((k for k, turn in enumerate(conversation) if turn.role == "user"), default=-1)
        if last < 0:
            raise BadRow(NO_USER_TURN, "the conversation has no user's turn")
        conversation = conversation[: last + 1]
        if not conversation[-1].content.strip():
            raise BadRow(EMPTY, "the last user's turn is empty")
    return Prompt(
        id=id or text_hash(conversation),
        prompt=conversation,
        subset=subset,
        source=source,
        meta=meta or {},
    )
