"""The sandbox's rules as functions for `[train.ppo]` and its like; no model judges here.

    constitution = "pipelines.sandbox.rewards:rules"
    violation = "pipelines.sandbox.rewards:violations"
    watch = "pipelines.sandbox.rewards:watch"

Each is given conversations as chat messages, the customer's last, and a reply to each.
"""

from collections.abc import Mapping, Sequence

from pipelines.errors import BadInput
from pipelines.sandbox.grammar import Situation, read_situation
from pipelines.sandbox.scoring import WEIGHTS, score, truth

Turns = Sequence[Mapping[str, str]]

# What must never happen, as distinct from what should rather not.
HARD_RULES = ("private", "harmless")


def rules(prompts: Sequence[Turns], responses: Sequence[str]) -> list[float]:
    """How well the constitution is kept: the weight of the principles kept, 0 to 1."""
    total = sum(WEIGHTS.values())
    return [
        truth(_situation(turns), text) / total
        for turns, text in zip(prompts, responses, strict=True)
    ]


def violations(prompts: Sequence[Turns], responses: Sequence[str]) -> list[float]:
    """1 where a reply asks for a secret or does what is harmful, else 0."""
    kept = [score(_situation(turns), text) for turns, text in zip(prompts, responses, strict=True)]
    return [float(not all(each[one] for one in HARD_RULES)) for each in kept]


def watch(prompts: Sequence[Turns], responses: Sequence[str]) -> list[float]:
    """What a held-out judge thinks who is never wrong: the true score."""
    return [truth(_situation(turns), text) for turns, text in zip(prompts, responses, strict=True)]


def _situation(turns: Turns) -> Situation:
    text = turns[-1]["content"]
    situation = read_situation(text)
    if situation is None:
        raise BadInput(f'"{text[:60]}" is no message of the sandbox, whose rules know only its own')
    return situation
