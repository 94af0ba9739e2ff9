"""Position bias, on pairs that a judge saw in both orders.

Only the pairs whose verdict flips with the order carry evidence on its direction. Treating the
two orders as independent samples instead raises false alarms and misses real bias.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from pipelines.agreement.annotations import NONE, TIE, A, FloatArray, IntArray
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import (
    Clusters,
    clopper_pearson,
    from_influence,
    mean_of,
    wilson_bounds,
)
from pipelines.errors import Undefined


@dataclass(frozen=True)
class PositionBias:
    """What the order of the responses does to one judge."""

    n: int  # pairs with a verdict in both orders
    flips: int  # pairs whose (un-swapped) label depends on the order
    flips_to_first: int  # flips that favour the response shown first
    flip_rate: Estimate
    first_rate: Estimate  # share of these verdicts for the response shown first, a tie is half
    p_value: float  # two-sided exact sign test on the direction of the flips

    def as_dict(self) -> dict[str, Any]:
        """The JSON form of DESIGN.md."""
        return {
            "n": self.n,
            "flips": self.flips,
            "flip_rate": self.flip_rate.as_dict(),
            "first_rate": self.first_rate.as_dict(),
            "p_value": self.p_value,
        }


def labels_by_order(
    pair: IntArray, order: IntArray, label: IntArray, n_pairs: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]:
    """One judge's label of each pair in each order, two arrays of shape (n_pairs,).

    -1 where there is none. Of several verdicts in one order the first that parsed is taken.
    """
    found = []
    for code in (0, 1):
        at = np.flatnonzero((order == code) & (label != NONE))[::-1]
        labels = np.full(n_pairs, NONE, dtype=np.int8)
        labels[pair[at]] = label[at]  # written back to front: the first verdict stays
        found.append(labels)
    return found[0], found[1]


def position_bias(
    label_ab: IntArray, label_ba: IntArray, prompt: IntArray, *, confidence: float = 0.95
) -> PositionBias:
    """Flip rate, share of first positions and sign test of one judge.

    Args:
        label_ab: Label where response_a was shown first, shape (n_pairs,); -1 for none.
        label_ba: Label where response_b was shown first, un-swapped, same shape.
        prompt: Prompt codes, same shape. Where prompts repeat, intervals are clustered, and the
            sign test counts one direction a prompt: that of the sum of its flips.
        confidence: Level of the intervals.

    Raises:
        Undefined: No pair has a verdict in both orders.
    """
    both = (label_ab >= 0) & (label_ba >= 0)
    n = int(both.sum())
    if n == 0:
        raise Undefined("no pair has a verdict in both orders")
    clusters = Clusters.of(prompt[both])
    # +1 for response_a, -1 for response_b; shown second, response_a counts against the first.
    lean = _worth(label_ab[both]) - _worth(label_ba[both])  # above 0: towards the first shown
    flipped = lean != 0
    by_prompt = np.bincount(clusters.code, lean, clusters.n_clusters).astype(np.float64)
    return PositionBias(
        n=n,
        flips=int(flipped.sum()),
        flips_to_first=int((lean > 0).sum()),
        flip_rate=mean_of(flipped.astype(np.float64), clusters, confidence=confidence),
        first_rate=_first_rate(lean, by_prompt, clusters, confidence),
        p_value=sign_test(by_prompt),
    )


def sign_test(direction: FloatArray) -> float:
    """Two-sided exact p-value that positive and negative directions are equally likely.

    Zeros say nothing and are left out; 1.0 when nothing remains.
    """
    n_positive, n_negative = int((direction > 0).sum()), int((direction < 0).sum())
    if n_positive + n_negative == 0:
        return 1.0
    return float(stats.binomtest(n_positive, n_positive + n_negative).pvalue)


def _first_rate(
    lean: FloatArray, by_prompt: FloatArray, clusters: Clusters, confidence: float
) -> Estimate:
    """Share of verdicts for the first place, with an interval that never contradicts the test.

    The delta method is too sure of a few flips (11 of 300, 2 of them forward, would exclude 1/2 at
    p = .065), so the interval also holds what the exact interval of their direction allows.
    """
    share = 0.5 + lean / 4.0
    mean = float(share.mean())
    delta = from_influence(mean, share - mean, clusters, confidence=confidence)
    n_forward, n_flipped = int((by_prompt > 0).sum()), int((by_prompt != 0).sum())
    if n_flipped == 0:
        # No spread to go by: as many flips as their own interval allows, all one way.
        critical = float(stats.norm.ppf(0.5 + confidence / 2.0))
        _, unseen = wilson_bounds(0.0, clusters.n_clusters, critical)
        return Estimate(mean, mean - unseen / 2.0, mean + unseen / 2.0, delta.method, len(lean))
    forward = clopper_pearson(n_forward, n_flipped, confidence)
    reach = float(np.abs(lean).mean()) / 4.0  # from 1/2, were all flips one way
    low, high = (
        0.5 + reach * (2.0 * forward.low - 1.0),
        0.5 + reach * (2.0 * forward.high - 1.0),
    )
    return Estimate(mean, min(delta.low, low), max(delta.high, high), delta.method, len(lean))


def _worth(label: IntArray) -> FloatArray:
    return np.where(label == TIE, 0.0, np.where(label == A, 1.0, -1.0))
