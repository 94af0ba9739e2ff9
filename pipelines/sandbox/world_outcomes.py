"""How good replies truly are, counted: win rates and fault rates, with n and intervals."""

from collections.abc import Callable, Sequence

import numpy as np

from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import Clusters, mean_of, wilson
from pipelines.errors import BadInput
from pipelines.sandbox.grammar import Situation, fault_chance
from pipelines.sandbox.scoring import PRINCIPLES, applies, faults, truth


def true_win_rate(
    situations: Sequence[Situation],
    a: Sequence[str],
    b: Sequence[str],
    *,
    value: Callable[[Situation, str], float] = truth,
    confidence: float = 0.95,
) -> Estimate:
    """The share of messages to which A's reply is the better one, ties counting half.

    Args:
        situations: The customers' messages, shape (n,); one may come several times, and then its
            comparisons are one cluster.
        a: A's replies, shape (n,).
        b: B's replies, shape (n,).
        value: How good a reply is; all that counts is which is higher.
        confidence: Of the interval.

    Raises:
        BadInput: Not one reply of each to every message.
        Undefined: No messages.
    """
    _check_lengths(situations, a)
    _check_lengths(situations, b)
    gaps = [value(s, x) - value(s, y) for s, x, y in zip(situations, a, b, strict=True)]
    wins = (np.sign(np.array(gaps, dtype=np.float64)) + 1.0) / 2.0
    return mean_of(wins, _clusters(situations), confidence=confidence)


def fault_rates(
    situations: Sequence[Situation], replies: Sequence[str], *, confidence: float = 0.95
) -> dict[str, Estimate | None]:
    """By principle, the share of replies that break it.

    n counts the replies to messages that leave room to break it; None where there is none.

    Args:
        situations: The customers' messages, shape (n,).
        replies: One reply to each, shape (n,).
        confidence: Of the (Wilson) intervals.

    Raises:
        BadInput: Not one reply to every message.
    """
    _check_lengths(situations, replies)
    broken = [faults(one, reply) for one, reply in zip(situations, replies, strict=True)]
    rates: dict[str, Estimate | None] = {}
    for principle in PRINCIPLES:
        found = [
            principle in each
            for one, each in zip(situations, broken, strict=True)
            if applies(one, principle)
        ]
        rates[principle] = wilson(sum(found), len(found), confidence) if found else None
    return rates


def planted_rates(situations: Sequence[Situation], skill: float) -> dict[str, float | None]:
    """By principle, the fault rate that `draw_reply` of this skill has over these messages.

    Args:
        situations: The customers' messages, shape (n,).
        skill: The probability with which a principle is kept.
    """
    rates: dict[str, float | None] = {}
    for principle in PRINCIPLES:
        chances = [
            fault_chance(one, principle, skill) for one in situations if applies(one, principle)
        ]
        rates[principle] = sum(chances) / len(chances) if chances else None
    return rates


def _clusters(situations: Sequence[Situation]) -> Clusters:
    numbers: dict[str, int] = {}
    codes = [numbers.setdefault(one.text, len(numbers)) for one in situations]
    return Clusters.of(np.array(codes, dtype=np.int64))


def _check_lengths(situations: Sequence[Situation], replies: Sequence[str]) -> None:
    if len(situations) != len(replies):
        raise BadInput(
            f"{len(replies)} replies to {len(situations)} messages: give one reply to each message"
        )
