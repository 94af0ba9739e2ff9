"""Filters on pairs: arrays in, and for each reason the pairs that it holds for. No I/O."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipelines.agreement.annotations import NONE, Annotations, BoolArray, IntArray
from pipelines.errors import BadInput
from pipelines.preferences.combine import combine_judge
from pipelines.preferences.curate import AI

Reasons = dict[str, BoolArray]


def disputed(
    annotations: Annotations, judges: Sequence[str], label: IntArray, source: IntArray, least: float
) -> Reasons:
    """Pairs with an AI label on which too few of the judges that answered say the same.

    Args:
        annotations: All verdicts.
        judges: Who is asked.
        label: The pairs' labels, codes of shape (n_pairs,).
        source: Index into `curate.SOURCES`, same shape; labels of people stay.
        least: Share of the answering judges, 0..1.
    """
    if not 0.0 <= least <= 1.0:
        raise BadInput(f"min_agreement {least} is not between 0 and 1")
    n_same = np.zeros(annotations.n_pairs)
    n_answers = np.zeros(annotations.n_pairs)
    for judge in judges:
        said = combine_judge(annotations, judge).label
        n_answers += said != NONE
        n_same += (said == label) & (said != NONE)
    share = np.divide(n_same, n_answers, out=np.ones_like(n_same), where=n_answers > 0)
    return {"judges disagree": (source == AI) & (share < least - 1e-12)}


def badly_sized(
    chars_a: IntArray, chars_b: IntArray, least: int, most: int, most_ratio: float
) -> Reasons:
    """Responses that are too short or too long, and pairs of very unequal ones.

    Args:
        chars_a: Characters of response_a, shape (n_pairs,).
        chars_b: Of response_b.
        least: Fewest characters of a response.
        most: Most characters; 0 is no limit.
        most_ratio: The longer response is at most this many times the other; 0 is no limit.
    """
    if least < 0 or most < 0 or (most and most < least) or (most_ratio and most_ratio < 1.0):
        raise BadInput(
            f"lengths from {least} to {most} with a ratio up to {most_ratio} leave nothing; "
            "use min <= max (or max 0) and a ratio of at least 1 (or 0)"
        )
    shorter = np.minimum(chars_a, chars_b).astype(np.float64)
    longer = np.maximum(chars_a, chars_b).astype(np.float64)
    nobody = np.zeros(len(shorter), dtype=np.bool_)
    return {
        "a response is too short": shorter < least,
        "a response is too long": longer > most if most else nobody,
        "lengths too unequal": longer > most_ratio * np.maximum(shorter, 1.0)
        if most_ratio
        else nobody,
    }


def repeated(
    prompt: npt.NDArray[np.uint64],
    response_a: npt.NDArray[np.uint64],
    response_b: npt.NDArray[np.uint64],
    alive: BoolArray,
) -> Reasons:
    """Later pairs with the prompt and the two responses of an earlier one, in either order.

    Args:
        prompt: Hash of each pair's prompt, shape (n_pairs,).
        response_a: Of response_a.
        response_b: Of response_b.
        alive: Pairs still here: one that left repeats nothing.
    """
    rows = np.flatnonzero(alive)
    low, high = np.minimum(response_a, response_b)[rows], np.maximum(response_a, response_b)[rows]
    asked = prompt[rows]
    order = np.lexsort((rows, high, low, asked))
    same = np.ones(max(0, len(rows) - 1), dtype=np.bool_)
    for key in (asked, low, high):
        same &= key[order][1:] == key[order][:-1]
    again = np.zeros(len(alive), dtype=np.bool_)
    again[rows[order[1:][same]]] = True
    return {"the same texts as an earlier pair": again}
