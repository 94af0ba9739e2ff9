r"""Chosen and rejected: TRL's preference format in all its shapes, and Anthropic's transcripts.

{"prompt": "Why is the sky blue?", "chosen": "Rayleigh scattering.", "rejected": "The sea."}
{"chosen": [{"role": "user", ...}, {"role": "assistant", ...}], "rejected": [...]}
{"chosen": "\n\nHuman: Why?\n\nAssistant: So.", "rejected": "\n\nHuman: Why?\n\nAssistant: No."}
"""

from collections.abc import Iterator
from typing import Any

from pipelines.formats.conversations import (
    messages_of,
    response_text,
    split_prompt,
    split_text,
    turns_of,
)
from pipelines.formats.fields import name, number, origin, required, text
from pipelines.formats.options import LabelsAre, ReadOptions
from pipelines.formats.placing import CHOSEN, Prompt, Side, placed_pair
from pipelines.formats.rejects import WRONG_TYPE, BadRow
from pipelines.records import Message, PreferencePair

_PROMPT_KEYS = ("prompt", "question", "instruction", "input")


def trl_pairs(row: dict[str, Any], options: ReadOptions) -> Iterator[PreferencePair]:
    """The one pair of a TRL preference row: standard or conversational, prompt given or implied.

    Raises:
        BadRow: Types that do not fit together, or no prompt that both sides share.
    """
    chosen, rejected = required(row, "chosen"), required(row, "rejected")
    prompt_key = next((key for key in _PROMPT_KEYS if row.get(key) is not None), None)
    given = row[prompt_key] if prompt_key else None
    prompt: Prompt
    if isinstance(chosen, str) and isinstance(rejected, str):
        if given is None:
            prompt, chosen, rejected = split_text(chosen, rejected)
        else:
            prompt = (
                messages_of(given, "prompt") if isinstance(given, list) else text(given, "prompt")
            )
    elif isinstance(chosen, list) and isinstance(rejected, list):
        prompt, chosen, rejected = _conversational(
            given, messages_of(chosen, "chosen"), messages_of(rejected, "rejected")
        )
    else:
        raise BadRow(WRONG_TYPE, "chosen and rejected are neither two texts nor two message lists")
    if isinstance(row.get("system"), str) and row["system"] and isinstance(prompt, str):
        prompt = (
            Message(role="system", content=row["system"]),
            Message(role="user", content=prompt),
        )
    used = {"chosen", "rejected", "system"}
    if prompt_key is not None:
        used.add(prompt_key)
    if row.get("messages") == row["chosen"]:
        used.add("messages")  # a copy that some hub datasets carry for SFT
    yield _pair(row, used, prompt, chosen, rejected, options.labels_are or "ai")


def hh_pairs(row: dict[str, Any], options: ReadOptions) -> Iterator[PreferencePair]:
    """The one pair of a row of two transcripts; the turns that they share are the prompt.

    Raises:
        BadRow: No transcripts, or no shared turn.
    """
    prompt, chosen, rejected = split_prompt(
        turns_of(text(required(row, "chosen"), "chosen"), "chosen"),
        turns_of(text(required(row, "rejected"), "rejected"), "rejected"),
    )
    used = {"chosen", "rejected"}
    yield _pair(row, used, prompt, chosen, rejected, options.labels_are or "human")


def _conversational(
    given: Any, chosen: tuple[Message, ...], rejected: tuple[Message, ...]
) -> tuple[Prompt, str, str]:
    """(prompt, chosen, rejected) where the sides are messages, with or without the prompt."""
    if given is None:
        return split_prompt(chosen, rejected)
    if isinstance(given, str):
        if min(len(chosen), len(rejected)) > 1 and chosen[0] == rejected[0]:
            return split_prompt(chosen, rejected)  # the sides hold the whole conversation
        return given, response_text(chosen), response_text(rejected)
    prompt = messages_of(given, "prompt")
    n = len(prompt)
    if chosen[:n] == prompt == rejected[:n] and min(len(chosen), len(rejected)) > n:
        chosen, rejected = chosen[n:], rejected[n:]
    return prompt, response_text(chosen), response_text(rejected)


def _pair(
    row: dict[str, Any],
    used: set[str],
    prompt: Prompt,
    chosen: str,
    rejected: str,
    labels_are: LabelsAre,
) -> PreferencePair:
    sides = []
    for side, response in (("chosen", chosen), ("rejected", rejected)):
        model_key, score_key = _side_key(row, "model", side), _side_key(row, "score", side)
        used |= {model_key, score_key}
        sides.append(Side(response, name(row.get(model_key)), number(row.get(score_key))))
    return placed_pair(
        prompt, (sides[0], sides[1]), "first", (labels_are, CHOSEN), origin(row, used)
    )


def _side_key(row: dict[str, Any], key: str, side: str) -> str:
    """How this file calls the model or the score of a side."""
    names = (f"{key}_{side}", f"{side}_{key}", f"{key}-{side}", f"{side}-{key}")
    return next((name for name in names if name in row), names[0])
