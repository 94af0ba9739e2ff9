"""Two sides as response A and B, so that the position says nothing about which one was chosen.

Which text is A follows from the texts alone: a coin made of their hash decides whether the
lexicographically smaller one is A. The choice plays no part, so rows that disagree about the same
two texts still show them in the same places, and a file read twice gives the same pairs.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from pipelines.formats.options import LabelsAre
from pipelines.records import HumanLabel, Judgment, Label, Message, PreferencePair

CHOSEN = "chosen"  # the name of a judge or annotator whom the file does not name

Prompt = str | tuple[Message, ...]
Outcome = Literal["first", "second", "tie", "failed"]


@dataclass(frozen=True)
class Side:
    """One response, who wrote it and how it was scored, before it becomes A or B."""

    response: str
    model: str | None = None
    score: float | None = None


@dataclass(frozen=True)
class Origin:
    """Where a pair comes from: the fields that do not depend on which side is A."""

    id: str | None = None
    source: str | None = None
    subset: str | None = None
    meta: dict[str, JsonValue] | None = None


def placed_pair(
    prompt: Prompt,
    sides: tuple[Side, Side],
    outcome: Outcome,
    chooser: tuple[LabelsAre, str],
    origin: Origin,
) -> PreferencePair:
    """A pair with one verdict.

    Args:
        prompt: Text or messages.
        sides: Both responses, in any order.
        outcome: Which side is better; "failed" when the chooser gave no readable answer.
        chooser: Whether a person or an AI chose, and its name.
        origin: The other fields; `meta` gets both scores when there are any.
    """
    first = first_side(prompt, sides)
    a, b = sides[first], sides[1 - first]
    meta = dict(origin.meta or {})
    if a.score is not None or b.score is not None:
        meta |= {"score_a": a.score, "score_b": b.score}
    label: Label | None = None
    if outcome == "tie":
        label = "tie"
    elif outcome != "failed":
        label = "A" if (outcome == "first") == (first == 0) else "B"
    return PreferencePair(
        id=origin.id,
        prompt=prompt,
        response_a=a.response,
        response_b=b.response,
        model_a=a.model,
        model_b=b.model,
        ai=judgments(label, chooser),
        human=human_labels(label, chooser),
        source=origin.source,
        subset=origin.subset,
        meta=meta,
    )


def judgments(label: Label | None, chooser: tuple[LabelsAre, str]) -> tuple[Judgment, ...]:
    """The verdict as that of an AI judge; nothing when a person chose. None is a failure."""
    kind, name = chooser
    if kind == "human":
        return ()
    return (Judgment(judge=name, label=label, failure=None if label else "unparsed"),)


def human_labels(label: Label | None, chooser: tuple[LabelsAre, str]) -> tuple[HumanLabel, ...]:
    """The verdict as that of a person; nothing when an AI chose."""
    kind, name = chooser
    if kind == "ai" or label is None:
        return ()
    return (HumanLabel(annotator=name, label=label),)


def first_side(prompt: Prompt, sides: tuple[Side, Side]) -> int:
    """Which of two sides is A: independent of their order and of everything but the texts."""
    keys = [(side.response, side.model or "") for side in sides]
    smaller = 0 if keys[0] <= keys[1] else 1
    turns = prompt if isinstance(prompt, str) else [[m.role, m.content] for m in prompt]
    coin = hashlib.sha256(json.dumps([turns, sorted(keys)]).encode()).digest()[0] & 1
    return smaller ^ coin
