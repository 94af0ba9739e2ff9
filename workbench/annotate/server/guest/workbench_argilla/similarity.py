"""Records by the angle between their vectors: every vector is compared, off the event loop."""

import math
from collections.abc import Iterable, Sequence
from heapq import nlargest
from operator import mul
from uuid import UUID


def nearest(
    rows: Iterable[tuple[UUID, Sequence[float]]],
    target: Sequence[float],
    n_most: int,
    *,
    least: bool,
    threshold: float | None,
) -> list[tuple[UUID, float]]:
    """The records whose vectors point most (or least) in the direction of `target`.

    Args:
        rows: Record and vector, each of `target`'s length.
        target: The direction looked for.
        n_most: How many to return.
        least: The most different first.
        threshold: The smallest score that counts.

    Returns:
        Record and score in [0, 1], as Elasticsearch gives it: half of one plus the cosine (of the
        opposite direction where `least`), best first, ties by record.
    """
    length, sign = math.sqrt(sum(map(mul, target, target))), -1.0 if least else 1.0
    scored = []
    for record, vector in rows:
        norm = length * math.sqrt(sum(map(mul, vector, vector)))
        cosine = sum(map(mul, vector, target)) / norm if norm else 0.0
        score = (1 + sign * cosine) / 2
        if threshold is None or score >= threshold:
            scored.append((record, score))
    return nlargest(n_most, scored, key=lambda row: (row[1], -row[0].int))
