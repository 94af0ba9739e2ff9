"""Whether the judge's probabilities mean what they say: reliability curve, ECE, Brier score."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from pipelines.agreement.annotations import TIE, A, FloatArray, IntArray
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import Clusters, check_confidence, mean_of
from pipelines.errors import BadInput, Undefined


@dataclass(frozen=True)
class ReliabilityBin:
    """Pairs whose p_a falls into one bin: what was said, and what people chose."""

    low: float
    high: float
    mean_p_a: float
    observed: Estimate  # share of people's choices for response_a


@dataclass(frozen=True)
class Calibration:
    """Of p_a against human choices, 1 for A, 0 for B."""

    n: int
    bins: tuple[ReliabilityBin, ...]  # those that hold pairs
    brier: Estimate  # mean squared error of p_a: 0 is perfect, 1/4 is what p_a = 1/2 gets
    ece: Estimate  # mean gap between said and observed, weighted by the pairs of a bin
    ece_if_calibrated: float  # what chance alone would make of the ECE with these bins


def calibration(
    p_a: FloatArray,
    human_label: IntArray,
    prompt: IntArray,
    *,
    n_bins: int = 10,
    confidence: float = 0.95,
) -> Calibration:
    """Reliability curve, expected calibration error and Brier score of one judge.

    Args:
        p_a: The judge's probability that response_a is better, shape (n_pairs,); NaN is left out.
        human_label: Human labels, codes of the same shape; only A and B are used.
        prompt: Prompt codes, same shape; intervals are clustered where they repeat.
        n_bins: Equal-width bins over 0..1.
        confidence: Level of the intervals.

    Raises:
        Undefined: No pair has both p_a and a decisive human label.
    """
    check_confidence(confidence)
    if n_bins < 1:
        raise BadInput(f"{n_bins} bins cannot hold any pair; use 1 or more")
    usable = ~np.isnan(p_a) & (human_label >= 0) & (human_label != TIE)
    n = int(usable.sum())
    if n == 0:
        raise Undefined("no pair has both p_a and a decisive human label")
    p, y, code = p_a[usable], (human_label[usable] == A).astype(np.float64), prompt[usable]
    place = np.minimum((p * n_bins).astype(np.int64), n_bins - 1)
    bins, gaps, errors, weights = [], [], [], []
    for number in np.unique(place):
        at = place == number
        clusters = Clusters.of(code[at])
        observed = mean_of(y[at], clusters, confidence=confidence)
        said = float(p[at].mean())
        bins.append(ReliabilityBin(number / n_bins, (number + 1) / n_bins, said, observed))
        gaps.append(observed.estimate - said)
        errors.append(_gap_error(y[at] - p[at], p[at], clusters))
        weights.append(float(at.mean()))
    ece, if_calibrated = _expected_gap(
        np.array(gaps), np.array(errors), np.array(weights), n, confidence
    )
    return Calibration(
        n=n,
        bins=tuple(bins),
        brier=mean_of((p - y) ** 2, Clusters.of(code), confidence=confidence),
        ece=ece,
        ece_if_calibrated=if_calibrated,
    )


def _gap_error(gap: FloatArray, p: FloatArray, clusters: Clusters) -> float:
    """Standard error of a bin's mean gap; that of a calibrated judge where the gaps are alike."""
    n = len(gap)
    totals = np.bincount(clusters.code, weights=gap - gap.mean(), minlength=clusters.n_clusters)
    # What the bin's own mean takes from the spread, were the pairs of a prompt all alike: for
    # single pairs 1 - 1/n, more where prompts differ in size.
    size = np.bincount(clusters.code).astype(np.float64)
    square = float((size**2).sum())
    left = 1.0 - 2.0 * float((size**3).sum()) / (n * square) + square / n**2
    measured = math.sqrt(float(np.square(totals).sum()) / max(left, 1.0 / n)) / n
    calibrated = math.sqrt(float((p * (1.0 - p)).sum())) / n
    return measured if measured > 1e-9 and clusters.n_clusters > 1 else max(calibrated, 0.5 / n)


def _expected_gap(
    gaps: FloatArray, errors: FloatArray, weights: FloatArray, n: int, confidence: float
) -> tuple[Estimate, float]:
    """ECE with an interval that knows its bias: noise alone makes absolute gaps.

    Each bin's measured gap is normal around its true one, so the ECE has the mean and variance of
    weighted folded normals. The interval holds the multiples c of the measured gaps under which
    the ECE seen would be within its usual spread; c = 0 is a calibrated judge.
    """
    measured = float(weights @ np.abs(gaps))
    critical = float(stats.norm.ppf(0.5 + confidence / 2.0))

    def spread(scale: float) -> tuple[float, float]:
        true = scale * gaps
        ratio = true / errors
        mean = errors * math.sqrt(2.0 / math.pi) * np.exp(-(ratio**2) / 2.0) + true * (
            1.0 - 2.0 * stats.norm.cdf(-ratio)
        )
        variance = true**2 + errors**2 - mean**2
        return float(weights @ mean), math.sqrt(max(0.0, float(weights**2 @ variance)))

    def surprise(scale: float) -> float:  # falls as the scale grows
        mean, deviation = spread(scale)
        return (measured - mean) / max(deviation, 1e-12)

    if_calibrated, _ = spread(0.0)
    if measured == 0.0:
        high = critical * float(np.sqrt(weights**2 @ errors**2))
        return Estimate(0.0, 0.0, min(1.0, high), "folded-normal", n), if_calibrated

    def end(target: float) -> float:
        if surprise(0.0) <= target:
            return 0.0
        top = 1.0
        while surprise(top) > target:  # far up where the gaps are tiny beside their noise
            top *= 2.0
        return float(optimize.brentq(lambda scale: surprise(scale) - target, 0.0, top))

    low, high = end(critical) * measured, end(-critical) * measured
    return Estimate(measured, low, min(1.0, high), "folded-normal", n), if_calibrated
