"""Chance without order: a draw follows from what it is about, never from when it is asked for.

So a simulated server gives the same answer to the same request however many clients ask it, in
whatever order, and after a restart.
"""

import hashlib
import random


def draw(*about: object) -> float:
    """A number in [0, 1), uniform over different arguments and the same for the same ones."""
    return int.from_bytes(_digest(about)[:7], "big") / 2.0**56


def rng(*about: object) -> random.Random:
    """A source of chance of its own for these arguments."""
    return random.Random(int.from_bytes(_digest(about)[:16], "big"))


def _digest(about: tuple[object, ...]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in about:
        encoded = str(part).encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(encoded))  # so that no two lists of arguments read the same
        digest.update(encoded)
    return digest.digest()
