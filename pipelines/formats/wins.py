"""Pairwise win lists: two models, who won, and the texts where the list has them.

model_a,model_b,winner                      (CSV, as of a leaderboard: no texts)
{"model_a": "x", "model_b": "y", "winner": "model_a", "prompt": "...", "response_a": "...", ...}
{"model_a": "x", "model_b": "y", "winner": "tie", "conversation_a": [...], "conversation_b": [...]}
"""

import json
from collections.abc import Iterator
from itertools import chain, zip_longest
from typing import Any

from pipelines.formats.conversations import messages_of, split_prompt
from pipelines.formats.fields import origin, required, text
from pipelines.formats.options import LabelsAre, ReadOptions
from pipelines.formats.placing import CHOSEN, Prompt, human_labels, judgments
from pipelines.formats.rejects import UNKNOWN_LABEL, BadRow
from pipelines.records import Label, Message, PreferencePair

_PROMPT_KEYS = ("prompt", "question", "instruction")
_CONVERSATIONS = ("conversation_a", "conversation_b")
_FLAG_COLUMNS = {"winner_model_a": "A", "winner_model_b": "B", "winner_tie": "tie"}
_WORDS: dict[str, Label] = {
    **dict.fromkeys(("a", "model_a", "response_a", "left", "1", "model_1", "first"), "A"),
    **dict.fromkeys(("b", "model_b", "response_b", "right", "2", "model_2", "second"), "B"),
    **dict.fromkeys(("tie", "draw", "equal", "same", "tie (bothbad)", "both_bad", "0.5"), "tie"),
}
# In the arena's and MT-Bench's own files the column "judge" holds people under such names.
_PEOPLE = ("arena_user", "author_", "expert_")


def win_pairs(row: dict[str, Any], options: ReadOptions) -> Iterator[PreferencePair]:
    """The one pair of a comparison; sides stay as the file has them.

    Raises:
        BadRow: No models, a winner that names neither side, or texts of the wrong type.
    """
    row = {key: value for key, value in row.items() if value is not None and value != ""}
    model_a, model_b = str(required(row, "model_a")), str(required(row, "model_b"))
    label = _label(row, model_a, model_b)
    chooser = _chooser(row, options.labels_are)
    prompt, response_a, response_b = _texts(row)
    used = {"model_a", "model_b", "winner", "judge", "annotator", "response_a", "response_b"}
    used |= {*_PROMPT_KEYS, *_CONVERSATIONS, *_FLAG_COLUMNS}
    came = origin(row, used)
    yield PreferencePair(
        id=came.id,
        prompt=prompt,
        response_a=response_a,
        response_b=response_b,
        model_a=model_a,
        model_b=model_b,
        ai=judgments(label, chooser),
        human=human_labels(label, chooser),
        source=came.source,
        subset=came.subset,
        meta=came.meta or {},
    )


def _label(row: dict[str, Any], model_a: str, model_b: str) -> Label:
    if "winner" not in row and "winner_model_a" in row:
        flags = [word for key, word in _FLAG_COLUMNS.items() if str(row.get(key)) in ("1", "True")]
        winner = flags[0] if len(flags) == 1 else ""
    else:
        winner = str(required(row, "winner")).strip()
    label = _WORDS.get(winner.lower())
    if label is not None:
        return label
    if model_a != model_b and winner in (model_a, model_b):
        return "A" if winner == model_a else "B"
    raise BadRow(UNKNOWN_LABEL, f"winner {winner!r} is neither model_a, model_b nor tie")


def _chooser(row: dict[str, Any], labels_are: LabelsAre | None) -> tuple[LabelsAre, str]:
    """Who chose: `annotator` is a person, `judge` an AI, nobody named: people."""
    if "annotator" in row:
        return labels_are or "human", str(row["annotator"])
    judge = row.get("judge")
    if judge is None:
        return labels_are or "human", CHOSEN
    who = "/".join(map(str, judge)) if isinstance(judge, list) else str(judge)
    return labels_are or ("human" if who.startswith(_PEOPLE) else "ai"), who


def _texts(row: dict[str, Any]) -> tuple[Prompt, str, str]:
    """(prompt, response_a, response_b); empty texts where the list has none."""
    if all(key in row for key in _CONVERSATIONS):
        one, other = (messages_of(_listed(row[key]), key) for key in _CONVERSATIONS)
        return split_prompt(one, other)
    prompt = next((row[key] for key in _PROMPT_KEYS if key in row), "")
    sides = (row.get("response_a", ""), row.get("response_b", ""))
    prompts, *answers = map(_listed, (prompt, *sides))
    if all(_is_turns(turns) for turns in (prompts, *answers)):
        return split_prompt(_talk(prompts, answers[0]), _talk(prompts, answers[1]))
    response_a, response_b = text(sides[0], "response_a"), text(sides[1], "response_b")
    if isinstance(prompt, list):
        return messages_of(prompt, "prompt"), response_a, response_b
    return text(prompt, "prompt"), response_a, response_b


def _is_turns(value: Any) -> bool:
    """Whether this is a list of what one party said, turn by turn."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(turn is None or isinstance(turn, str) for turn in value)
    )


def _listed(value: Any) -> Any:
    """A list that a CSV cell holds as JSON; anything else as it is."""
    if isinstance(value, str) and value[:1] == "[" and value[-1:] == "]":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _talk(prompts: list[Any], answers: list[Any]) -> tuple[Message, ...]:
    """Prompts and answers in turn, as the arena's files list them; a null answer is empty."""
    turns = chain.from_iterable(zip_longest(prompts, answers, fillvalue=None))
    roles = ("user", "assistant")
    return tuple(
        Message.model_validate({"role": roles[place % 2], "content": "" if turn is None else turn})
        for place, turn in enumerate(turns)
    )
