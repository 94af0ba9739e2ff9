"""Who gets which slot: decided by hashes, so at random, replayable, and blind to the content.

Every open slot belongs to one of the people who are present: the one with the greatest score, a
hash of the design's seed, the slot and the person (rendezvous hashing). Whoever joins takes a
random share of the open slots; when somebody leaves, only their open slots pass on; nobody gets a
slot by being faster. `claims` is the rule; `board.Board` is the same rule for a hundred thousand
slots.
"""

import hashlib
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

PREFETCH_START, PREFETCH_MIN, PREFETCH_MAX = 12, 6, 48
PREFETCH_SECONDS = 120.0


def score(seed: int, slot_id: int, annotator_id: int) -> int:
    """The first 8 bytes of SHA-256 of 'seed|slot|annotator' as an integer, its last bit set.

    The last bit keeps 0 free to mean "barred".
    """
    digest = hashlib.sha256(f"{seed}|{slot_id}|{annotator_id}".encode()).digest()
    return int.from_bytes(digest[:8]) | 1


def left_response(seed: int, item_id: int, annotator_id: int) -> Literal["A", "B"]:
    """Which response this person sees on the left: a fair coin per person and pair, replayable."""
    digest = hashlib.sha256(f"{seed}|left|{item_id}|{annotator_id}".encode()).digest()
    return "A" if digest[0] & 1 else "B"


@dataclass(frozen=True)
class ItemState:
    """What dealing may know of one item. Annotators are ids; nothing of the content is here.

    `leased` names only holders who are present: a lease of somebody away holds nothing back.
    """

    slots: Mapping[int, int]  # number -> slot id
    filled: Mapping[int, int] = field(default_factory=dict)  # number -> who gave the counting vote
    leased: Mapping[int, int] = field(default_factory=dict)  # number -> who has it in their queue
    voted: Collection[int] = ()  # everyone with a live vote on the item, counting or not
    skipped: Collection[int] = ()


def claims(state: ItemState, present: Collection[int], seed: int) -> dict[int, int]:
    """Whose each open slot of one item is now: number -> annotator, without those nobody may have.

    Slots are settled in the order of their numbers, so that the one that counts comes first and
    the overlap goes to a different person.
    """
    barred = {*state.voted, *state.skipped}
    taken = {number: who for number, who in state.leased.items() if number not in state.filled}
    for number in sorted(state.slots):
        if number in state.filled or number in taken:
            continue
        candidates = [who for who in present if who not in barred and who not in taken.values()]
        if candidates:
            slot_id = state.slots[number]
            taken[number] = max(candidates, key=lambda who: (score(seed, slot_id, who), -who))
    return taken


def prefetch_size(recent_seconds: Sequence[float]) -> int:
    """How many pairs a page should hold: what this person answers in two minutes.

    Args:
        recent_seconds: Time on each of the last few pairs, seconds; too few give the start size.
    """
    if len(recent_seconds) < 3:
        return PREFETCH_START
    pace = max(statistics.median(recent_seconds), 0.1)
    return max(PREFETCH_MIN, min(PREFETCH_MAX, round(PREFETCH_SECONDS / pace)))
