"""Conversations as files hold them: message lists, transcripts, and what two of them share."""

import re
from collections.abc import Sequence
from typing import Any

from pipelines.formats.rejects import (
    MISSING_KEY,
    NO_SHARED_PROMPT,
    UNKNOWN_VALUE,
    WRONG_TYPE,
    BadRow,
)
from pipelines.records import Message

_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "model": "assistant",
    "chatbot": "assistant",
}
_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):")


def messages_of(value: Any, key: str) -> tuple[Message, ...]:
    """A list of messages, in OpenAI's (`role`, `content`) or ShareGPT's (`from`, `value`) form.

    Raises:
        BadRow: It is something else; the detail names `key`.
    """
    if not isinstance(value, list):
        raise BadRow(WRONG_TYPE, f"{key} is no list of messages")
    return tuple(_message(turn, f"{key}[{place}]") for place, turn in enumerate(value))


def _message(turn: Any, where: str) -> Message:
    if not isinstance(turn, dict):
        raise BadRow(WRONG_TYPE, f"{where} is no message")
    role = turn.get("role", turn.get("from"))
    content = turn.get("content", turn.get("value"))
    if role is None or content is None:
        raise BadRow(MISSING_KEY, f"{where} has no role or no content")
    if not isinstance(role, str) or not isinstance(content, str | list):
        raise BadRow(WRONG_TYPE, f"{where} has a role or a content of the wrong type")
    role = _ROLES.get(role, role)
    if role not in ("system", "user", "assistant", "tool"):
        raise BadRow(UNKNOWN_VALUE, f'{where} has the unknown role "{role}"')
    text = content if isinstance(content, str) else _joined(content, where)
    return Message.model_validate({"role": role, "content": text})


def _joined(parts: list[Any], where: str) -> str:
    """Content given in parts; only texts can be shown to a reviewer."""
    texts: list[str] = []
    for part in parts:
        text = part.get("text") if isinstance(part, dict) else part
        if not isinstance(text, str):
            raise BadRow(WRONG_TYPE, f"{where} holds more than text (an image?); only text is read")
        texts.append(text)
    return "\n".join(texts)


def turns_of(transcript: str, key: str) -> tuple[Message, ...]:
    """The turns of a transcript in which "Human:" and "Assistant:" open paragraphs.

    Raises:
        BadRow: It does not begin with such a turn.
    """
    pieces = _TURN.split(transcript.lstrip())
    before, names, texts = pieces[0], pieces[1::2], pieces[2::2]
    if before.strip() or not names:
        raise BadRow(WRONG_TYPE, f'{key} does not begin with a turn of "Human:" or "Assistant:"')
    return tuple(
        Message(role="user" if name == "Human" else "assistant", content=text.strip())
        for name, text in zip(names, texts, strict=True)
    )


def split_prompt(
    chosen: Sequence[Message], rejected: Sequence[Message]
) -> tuple[tuple[Message, ...], str, str]:
    """(prompt, chosen response, rejected response): the prompt is what both begin with.

    Each response keeps at least its last message, so two equal conversations give two equal
    responses. A response of several messages comes out as a transcript.

    Raises:
        BadRow: They share no beginning, or one of them is empty.
    """
    n_shared = 0
    most = min(len(chosen), len(rejected)) - 1
    while n_shared < most and chosen[n_shared] == rejected[n_shared]:
        n_shared += 1
    if n_shared < 1:
        raise BadRow(NO_SHARED_PROMPT, "chosen and rejected do not begin with the same message")
    prompt = tuple(chosen[:n_shared])
    return prompt, response_text(chosen[n_shared:]), response_text(rejected[n_shared:])


def response_text(messages: Sequence[Message]) -> str:
    """What the messages of a response say: the text of a single one, else a transcript."""
    if len(messages) == 1 and messages[0].role == "assistant":
        return messages[0].content
    names = {"user": "Human", "assistant": "Assistant", "system": "System", "tool": "Tool"}
    return "\n\n".join(f"{names[message.role]}: {message.content}" for message in messages)


def split_text(chosen: str, rejected: str) -> tuple[str, str, str]:
    """(prompt, chosen, rejected) of two texts: the words they both begin with are the prompt.

    Joined again, prompt and response give the text that stood in the file.
    """
    n_shared = 0
    for one, other in zip(chosen, rejected, strict=False):
        if one != other:
            break
        n_shared += 1
    # Back to the start of the word in which they part (TRL cuts within it).
    while n_shared and not chosen[n_shared - 1].isspace():
        n_shared -= 1
    return chosen[:n_shared], chosen[n_shared:], rejected[n_shared:]
