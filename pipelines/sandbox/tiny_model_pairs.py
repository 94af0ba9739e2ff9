"""Pairs of the tiny model's own replies, labelled by a simulated judge or by the truth.

What the trainers are tried on: the truth is known, so a policy's true win rate is counted.
"""

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import wilson
from pipelines.sandbox.grammar import Situation
from pipelines.sandbox.judges import Judge, p_a
from pipelines.sandbox.scoring import true_preference
from pipelines.sandbox.tiny_model_sampling import sample_replies
from pipelines.sandbox.world_outcomes import true_win_rate


@dataclass(frozen=True)
class SampledPair:
    """Two different replies to one message."""

    situation: Situation
    a: str
    b: str


def sample_pairs(
    model: Any, tokenizer: Any, situations: Sequence[Situation], seed: int, per_prompt: int = 2
) -> list[SampledPair]:
    """Pairs of replies sampled at temperature 1; two equal replies make none.

    Args:
        model: Who replies.
        tokenizer: Its tokenizer.
        situations: The messages.
        seed: Of the replies.
        per_prompt: Pairs of a message, of replies of their own.
    """
    asked = [one for one in situations for _ in range(2 * per_prompt)]
    replies = sample_replies(model, tokenizer, [one.text for one in asked], seed)
    return [
        SampledPair(one, a, b)
        for one, a, b in zip(asked[::2], replies[::2], replies[1::2], strict=True)
        if a != b
    ]


def judged_rows(pairs: Sequence[SampledPair], judge: Judge) -> list[dict[str, JsonValue]]:
    """Rows for `workbench train`, with the judge's probability in the mean of both orders."""
    rows = []
    for pair in pairs:
        said = [p_a(judge, pair.situation, pair.a, pair.b, order) for order in ("ab", "ba")]
        rows.append(_row(pair, sum(said) / 2.0, "ai"))
    return rows


def true_rows(pairs: Sequence[SampledPair]) -> list[dict[str, JsonValue]]:
    """The same with true labels; a tie is a probability of one half."""
    shares = {"A": 1.0, "B": 0.0, "tie": 0.5}
    return [
        _row(pair, shares[true_preference(pair.situation, pair.a, pair.b)], "human")
        for pair in pairs
    ]


def label_accuracy(pairs: Sequence[SampledPair], rows: Sequence[dict[str, JsonValue]]) -> float:
    """The share of the truly decisive pairs on which the rows prefer the better reply."""
    found = []
    for pair, row in zip(pairs, rows, strict=True):
        better = true_preference(pair.situation, pair.a, pair.b)
        if better != "tie":
            found.append(row["chosen"] == (pair.a if better == "A" else pair.b))
    return sum(found) / len(found)


def win_rate_over(
    model: Any, other: Any, tokenizer: Any, situations: Sequence[Situation], samples: int = 2
) -> Estimate:
    """True win rate of a model's replies over another's, sampled at temperature 1.

    Args:
        model: The policy.
        other: What it is compared with.
        tokenizer: Of both.
        situations: Held-out messages, other ones than settings were chosen on.
        samples: Replies of each to a message; each of one meets each of the other.
    """
    messages = [one.text for one in situations]
    mine = [sample_replies(model, tokenizer, messages, 2 * i) for i in range(samples)]
    others = [sample_replies(other, tokenizer, messages, 2 * i + 1) for i in range(samples)]
    met = list(itertools.product(mine, others))
    return true_win_rate(
        list(situations) * len(met),
        [reply for a, _ in met for reply in a],
        [reply for _, b in met for reply in b],
    )


def reward_accuracy(
    pairs: Sequence[SampledPair], score: Callable[[Situation, str], float]
) -> Estimate:
    """The share of the truly decisive pairs on which the better reply has the higher score.

    Args:
        pairs: Held-out pairs.
        score: Of a reply to a message; equal scores count as wrong.
    """
    right = []
    for pair in pairs:
        better = true_preference(pair.situation, pair.a, pair.b)
        if better != "tie":
            gap = score(pair.situation, pair.a) - score(pair.situation, pair.b)
            right.append(gap > 0 if better == "A" else gap < 0)
    return wilson(sum(right), len(right))


def _row(pair: SampledPair, p: float, source: str) -> dict[str, JsonValue]:
    """The likelier one is the chosen one; equal chances are broken by a coin of the pair's own."""
    coin = random.Random(f"{pair.situation.text} {pair.a} {pair.b}").random() < 0.5
    first = p > 0.5 or (p == 0.5 and coin)
    return {
        "prompt": [{"role": "user", "content": pair.situation.text}],
        "chosen": pair.a if first else pair.b,
        "rejected": pair.b if first else pair.a,
        "p_chosen": max(p, 1.0 - p),
        "label_source": source,
    }
