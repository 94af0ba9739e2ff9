"""Agreement within slices of the pairs: by subset, by length gap, by the judge's confidence.

A slice that nobody declared before the draw is exploratory: among twenty of them one is bound to
look bad. The intervals here are each at their own level; the gate tests declared slices.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.agreement.annotations import FloatArray, IntArray
from pipelines.agreement.comparison import defined
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import Clusters
from pipelines.agreement.kappa import Ties, agreement
from pipelines.errors import BadInput


@dataclass(frozen=True)
class Slice:
    """Some of the pairs, and AI-human agreement on them."""

    name: str
    n_pairs: int  # compared: with an AI label and a human reference
    agreement: Estimate | None  # None where nothing could be compared


def agreement_by_slice(
    reference: IntArray,
    verdict: IntArray,
    prompt: IntArray,
    group: IntArray,
    names: Sequence[str],
    *,
    ties: Ties = "strict",
    confidence: float = 0.95,
) -> list[Slice]:
    """Agreement in each group, in the order of `names`.

    Args:
        reference: Human labels, codes of shape (n_pairs,); -1 is left out.
        verdict: AI labels, same shape; -1 is left out.
        prompt: Prompt codes, same shape.
        group: Index into `names`, same shape; -1 belongs to no slice.
        names: What the slices are called.
        ties: How ties count.
        confidence: Level of each interval.
    """
    if len(group) and int(group.max()) >= len(names):
        raise BadInput(f"a pair is in slice {int(group.max())}, but only {len(names)} have names")
    usable = np.flatnonzero((reference >= 0) & (verdict >= 0) & (group >= 0))
    order = usable[np.argsort(group[usable], kind="stable")]
    edges = np.searchsorted(group[order], np.arange(len(names) + 1))
    slices = []
    for number, name in enumerate(names):
        at = order[edges[number] : edges[number + 1]]
        estimate = defined(
            agreement,
            reference[at],
            verdict[at],
            Clusters.of(prompt[at]),
            ties=ties,
            confidence=confidence,
        )
        slices.append(Slice(name, 0 if estimate is None else estimate.n, estimate))
    return slices


def by_length_gap(
    chars_a: IntArray, chars_b: IntArray, ai_label: IntArray
) -> tuple[IntArray, tuple[str, ...]]:
    """Groups by how much longer the response is that the AI chose; ties and failures are -1.

    Args:
        chars_a: Characters of response_a, shape (n_pairs,).
        chars_b: Characters of response_b, same shape.
        ai_label: AI labels, same shape.
    """
    names = ("half as long", "shorter", "about as long", "longer", "twice as long")
    ratio = log_length_ratio(chars_a, chars_b)
    chosen = np.where(ai_label == 0, ratio, -ratio)
    group = np.digitize(chosen, [-np.log(2.0), -np.log(1.1), np.log(1.1), np.log(2.0)])
    return np.where((ai_label == 0) | (ai_label == 1), group, -1), names


def by_confidence(p_a: FloatArray) -> tuple[IntArray, tuple[str, ...]]:
    """Groups by the judge's confidence, the larger of p_a and 1 - p_a; NaN is in none."""
    edges = (0.6, 0.7, 0.8, 0.9, 0.95)
    names = (
        "p .50-.60",
        "p .60-.70",
        "p .70-.80",
        "p .80-.90",
        "p .90-.95",
        "p .95-1",
    )
    confidence = np.maximum(p_a, 1.0 - p_a)
    return np.where(np.isnan(p_a), -1, np.digitize(confidence, edges)), names


def log_length_ratio(chars_a: IntArray, chars_b: IntArray) -> FloatArray:
    """log((1 + characters of a) / (1 + characters of b)), shape (n_pairs,): 0 is equal length."""
    return np.log1p(chars_a.astype(np.float64)) - np.log1p(chars_b.astype(np.float64))
