"""The order of a draw, from nothing but a seed, names and pair ids.

A pair's key is a SHA-256, so that the order is the same on every machine, in every language and
under every version of NumPy: `printf '%s' '7|round-1|main|p-17' | sha256sum`.
The round's name is in the key, so that a second round with the same seed draws other pairs.
"""

import hashlib
from collections.abc import Sequence


def key(seed: int, round_name: str, purpose: str, pair_id: str) -> bytes:
    """The 32 bytes that decide about one pair; `purpose` is the stratum, or what else is drawn."""
    return hashlib.sha256(f"{seed}|{round_name}|{purpose}|{pair_id}".encode()).digest()


def uniform(seed: int, round_name: str, purpose: str, pair_id: str) -> float:
    """A number in (0, 1) made from the first 53 bits of the key."""
    bits = int.from_bytes(key(seed, round_name, purpose, pair_id)[:8]) >> 11
    return float((bits + 0.5) / 2**53)


def draw_order(pair_ids: Sequence[str], seed: int, round_name: str, stratum: str) -> list[int]:
    """A uniformly random permutation: indices into `pair_ids`, the first drawn first."""
    prefix = hashlib.sha256(f"{seed}|{round_name}|{stratum}|".encode())
    keys = []
    for pair_id in pair_ids:
        digest = prefix.copy()
        digest.update(pair_id.encode())
        keys.append(digest.digest())
    return sorted(range(len(keys)), key=keys.__getitem__)


def overlap_positions(start: int, stop: int, share: float) -> list[int]:
    """Positions of a draw, from `start` to before `stop`, that two people label.

    Every 1/share-th position: the draw is in random order, so these are a random `share` of the
    pairs, exact at every length, and an extension goes on with the same step.
    """
    # Rounded, because 20 * 0.15 is 2.9999999999999996 in binary.
    steps = [int(round(position * share, 9) + 0.5) for position in range(start, stop + 1)]
    return [start + k for k in range(stop - start) if steps[k + 1] > steps[k]]
