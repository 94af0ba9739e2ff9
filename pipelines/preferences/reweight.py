"""Training weights of pairs: what each counts, with a mean of 1 over the pairs that are kept."""

from typing import Literal, get_args

import numpy as np

from pipelines.agreement.annotations import FloatArray, IntArray
from pipelines.errors import BadInput

Weighting = Literal["none", "prompt", "confidence", "subset"]
WEIGHTINGS: tuple[Weighting, ...] = get_args(Weighting)


def weights(
    weighting: Weighting,
    p_a: FloatArray,
    prompt: IntArray,
    subset: IntArray,
    before: FloatArray | None = None,
) -> FloatArray:
    """A weight for each pair, shape (n_pairs,), mean 1.

    "none": all alike. "prompt": every prompt counts the same, however many pairs it has.
    "subset": every subset counts the same. "confidence": |2p - 1|, which is what a soft label
    carries; a pair at one half counts nothing.

    Args:
        weighting: One of `WEIGHTINGS`.
        p_a: Soft labels.
        prompt: Prompt codes.
        subset: Subset codes.
        before: Weights that these multiply, such as the constitution's.

    Raises:
        BadInput: No such weighting, or all weights are 0.
    """
    if weighting not in WEIGHTINGS:
        raise BadInput(f'reweight "{weighting}" is not one of {", ".join(WEIGHTINGS)}')
    found = np.ones(len(p_a)) if before is None else before.astype(np.float64).copy()
    if weighting == "confidence":
        found *= np.abs(2.0 * p_a - 1.0)
    elif weighting in ("prompt", "subset"):
        group = np.unique(prompt if weighting == "prompt" else subset, return_inverse=True)[1]
        found /= np.bincount(group)[group]
    if not len(found):
        return found
    if found.sum() <= 0.0:
        raise BadInput("reweight: every pair would count nothing; use another weighting")
    return np.asarray(found / found.mean(), dtype=np.float64)
