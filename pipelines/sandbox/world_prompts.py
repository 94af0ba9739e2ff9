"""Prompts of the sandbox, in two halves that never meet: to train on, and held out.

A hash of its text says which half a message belongs to. So whatever is drawn, wherever, by whatever
seed, a message that a model was trained on is never one that it is tested on.
"""

import hashlib
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from pipelines.errors import BadInput
from pipelines.sandbox.grammar import (
    MESSAGES,
    Kind,
    Situation,
    draw_kind,
    draw_reply,
    draw_situation,
)

Split = Literal["train", "held-out"]
HELD_OUT_SHARE = 0.2
# With which the tiny model's demonstrations keep each principle.
DEMONSTRATION_SKILL = 0.65
_TRIES = 5000  # in a row that found no new message, after which there is none


@dataclass(frozen=True)
class Demonstration:
    """A customer's message and a reply to it."""

    situation: Situation
    reply: str


def split_of(message: str) -> Split:
    """The half that a message belongs to."""
    digest = hashlib.sha256(message.encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return "held-out" if share < HELD_OUT_SHARE else "train"


def draw_prompts(
    n: int, seed: int, split: Split = "train", kinds: Iterable[Kind] = ()
) -> list[Situation]:
    """Different messages of one half.

    Args:
        n: How many.
        seed: Of the draw.
        split: The half.
        kinds: Only these kinds, in equal shares; none for the world's own mixture.

    Raises:
        BadInput: The world has not so many.
    """
    rng = random.Random(f"prompts {split} {seed}")
    wanted = tuple(kinds)
    drawn: dict[str, Situation] = {}
    while len(drawn) < n:
        # The kind comes first, so that one that has fewer messages keeps its share.
        kind = wanted[len(drawn) % len(wanted)] if wanted else draw_kind(rng)
        for _ in range(_TRIES):
            one = draw_situation(rng, kind)
            if one.text not in drawn and split_of(one.text) == split:
                drawn[one.text] = one
                break
        else:
            raise BadInput(
                f"the sandbox has not {n:,} different {split} prompts of this mixture, only some "
                f"{len(drawn):,}; ask for fewer"
            )
    return list(drawn.values())


def draw_demonstrations(
    n: int, seed: int, skill: float = DEMONSTRATION_SKILL
) -> Iterable[Demonstration]:
    """Messages to train on, with replies of this skill (see `draw_faults`); some come again."""
    rng = random.Random(f"demonstrations {seed}")
    while n > 0:
        situation = draw_situation(rng)
        if split_of(situation.text) == "train":
            n -= 1
            yield Demonstration(situation, draw_reply(situation, rng, skill))


def parse_kinds(names: Iterable[str]) -> tuple[Kind, ...]:
    """Kinds of messages by name.

    Raises:
        BadInput: There is no such kind.
    """
    found: list[Kind] = []
    for name in names:
        kind = next((kind for kind in MESSAGES if kind == name), None)
        if kind is None:
            raise BadInput(f'"{name}" is no kind of message; choose among {", ".join(MESSAGES)}')
        found.append(kind)
    return tuple(found)


def prompt_row(situation: Situation) -> dict[str, JsonValue]:
    """A line of a prompts file."""
    digest = hashlib.sha256(situation.text.encode()).hexdigest()[:12]
    return {"id": f"{situation.kind}-{digest}", "prompt": situation.text, "subset": situation.kind}


def demonstration_row(demonstration: Demonstration) -> dict[str, JsonValue]:
    """A line of a file for supervised fine-tuning."""
    return {
        "messages": [
            {"role": "user", "content": demonstration.situation.text},
            {"role": "assistant", "content": demonstration.reply},
        ]
    }
