"""The labels that people gave, as what is learned from: which pairs, how they were drawn."""

from dataclasses import dataclass

import numpy as np

from pipelines.agreement.annotations import BoolArray, FloatArray, IntArray
from pipelines.preferences.curate import KEPT, Evidence, Policy, curate


@dataclass(frozen=True)
class Audited:
    """The pairs that people labelled, in store order; every array has n_labelled rows."""

    row: IntArray  # of the pair in the store
    p_a: FloatArray  # share of people who prefer response_a: 1, 0, 1/2 or between
    weight: FloatArray  # 1 / inclusion probability over its mean; 1 where it is unknown
    edge: BoolArray  # queued as an edge case, because it looked doubtful
    prompt: IntArray

    def __len__(self) -> int:
        return len(self.row)


def audited_labels(evidence: Evidence, prompt: IntArray, edge: BoolArray) -> Audited:
    """What people said of each pair that they labelled; pairs of identical texts are left out.

    Args:
        evidence: All labels of all pairs.
        prompt: Prompt codes, shape (n_pairs,).
        edge: Pairs that no draw took and that were queued as edge cases, same shape.
    """
    policy = Policy(disagreement="override", ties="keep", identical="drop", human_only=True)
    curated = curate(evidence, policy)
    row = np.flatnonzero(curated.fate == KEPT)
    drawn = ~edge[row]
    inverse = 1.0 / evidence.inclusion_prob[row]
    known = drawn & np.isfinite(inverse)
    weight = np.ones(len(row))
    if known.any():
        weight[known] = inverse[known] / inverse[known].mean()
    return Audited(row, curated.p_a[row], weight, edge[row], prompt[row])
