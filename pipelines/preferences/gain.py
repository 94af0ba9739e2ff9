"""What better labels are worth: accuracy and log-loss of two sets of soft labels, paired.

Both sets are held against the same people on the same pairs, so the difference is far more certain
than either figure. Its interval is clustered by prompt.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from pipelines.agreement.annotations import FloatArray, IntArray
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import (
    Clusters,
    check_confidence,
    from_influence,
    standard_error,
    wilson,
)
from pipelines.errors import Undefined
from pipelines.preferences.odd_logistic import log_loss

_ROUNDING = 1e-12


@dataclass(frozen=True)
class Gain:
    """Of `after` over `before`; positive is better. Accuracy speaks of decisive pairs only."""

    accuracy_before: Estimate
    accuracy_after: Estimate
    accuracy_gain: Estimate
    log_loss_before: float
    log_loss_after: float
    log_loss_gain: Estimate
    n_prompts: int

    @property
    def is_certain(self) -> bool:
        """Better in log-loss or in accuracy beyond chance, and not worse in the other.

        Of useless labels either happens in at most 1 of 40 cases (at 95%), so both in 1 of 20.
        """
        loss, accuracy = self.log_loss_gain, self.accuracy_gain
        return (loss.low > 0.0 and accuracy.estimate >= 0.0) or (
            accuracy.low > 0.0 and loss.estimate >= 0.0
        )

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


def compare(
    before: FloatArray,
    after: FloatArray,
    human: FloatArray,
    prompt: IntArray,
    weight: FloatArray | None = None,
    *,
    confidence: float = 0.95,
) -> Gain:
    """Two sets of soft labels against people.

    Args:
        before: Probability that response_a is the better one, shape (n_pairs,).
        after: The same from elsewhere; of pairs that it was not fitted on.
        human: Share of people who prefer response_a, same shape; one half is a tie.
        prompt: Prompt codes, same shape.
        weight: Of each pair, such as 1 / inclusion probability; 1 when absent.
        confidence: Level of the intervals.

    Raises:
        Undefined: No pair with a decisive human label, or fewer than two prompts.
    """
    check_confidence(confidence)
    weight = np.ones(len(human)) if weight is None else weight
    decisive = np.abs(human - 0.5) > _ROUNDING
    if not decisive.any():
        raise Undefined("people preferred neither response in any of these pairs")
    clusters, near = Clusters.of(prompt), Clusters.of(prompt[decisive])
    if clusters.n_clusters < 2:
        raise Undefined("all these pairs have one prompt, so nothing can be said of others")
    right = [
        hits(labels[decisive], human[decisive], weight[decisive], near, confidence)
        for labels in (before, after)
    ]
    losses = [log_loss(labels, human) for labels in (before, after)]
    scores = [_right(labels[decisive], human[decisive]) for labels in (before, after)]
    return Gain(
        accuracy_before=right[0],
        accuracy_after=right[1],
        accuracy_gain=_mean(
            scores[1] - scores[0], weight[decisive], near, confidence, bounds=(-1.0, 1.0)
        ),
        log_loss_before=float(np.average(losses[0], weights=weight)),
        log_loss_after=float(np.average(losses[1], weights=weight)),
        log_loss_gain=_mean(losses[0] - losses[1], weight, clusters, confidence),
        n_prompts=clusters.n_clusters,
    )


def hits(
    p_a: FloatArray, human: FloatArray, weight: FloatArray, clusters: Clusters, confidence: float
) -> Estimate:
    """Share of decisive pairs on which a soft label takes people's side; one half counts half."""
    return _mean(_right(p_a, human), weight, clusters, confidence, bounds=(0.0, 1.0))


def _right(p_a: FloatArray, human: FloatArray) -> FloatArray:
    undecided = np.abs(p_a - 0.5) <= _ROUNDING
    return np.where(undecided, 0.5, (p_a > 0.5) == (human > 0.5)).astype(np.float64)


def _mean(
    values: FloatArray,
    weight: FloatArray,
    clusters: Clusters,
    confidence: float,
    bounds: tuple[float, float] | None = None,
) -> Estimate:
    mean = float(np.average(values, weights=weight))
    influence = weight * (values - mean) / weight.mean()
    if bounds == (-1.0, 1.0) and not values.any():
        # Not one pair differs: as large a share may as is compatible with none of so many.
        most = wilson(0, clusters.n_clusters, confidence).high
        return Estimate(0.0, -most, most, "wilson", len(values))
    if bounds is not None:
        return from_influence(mean, influence, clusters, bounds=bounds, confidence=confidence)
    error = standard_error(influence, clusters)
    half = error * float(stats.t.ppf(0.5 + confidence / 2.0, clusters.n_clusters - 1))
    return Estimate(mean, mean - half, mean + half, "cluster", len(values))
