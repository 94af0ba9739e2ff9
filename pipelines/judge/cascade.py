"""A cheap judge answers first; only the pairs of which it is unsure go to the dear one.

The line between them is chosen on pairs that people decided: as many pairs as possible stay with
the cheap judge while the cascade is, with confidence, at most `max_loss` less accurate than the
dear judge alone would be. Before the dear judge has answered any of them, the line keeps the cheap
judge's own accuracy above a floor instead.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize
from scipy.special import expit, logit

from pipelines.agreement.annotations import NONE, TIE, FloatArray, IntArray
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import Clusters, mean_of
from pipelines.agreement.paired import compare_paired
from pipelines.errors import BadInput, Undefined
from pipelines.preferences.combine import Combined
from pipelines.records import Judgment

MIN_DECIDED = 50  # fewer labelled pairs cannot carry a line
_N_STEPS = 20
_MIN_KEPT = 20  # a line that keeps fewer decided pairs proves nothing either way
_RIDGE = 1.0
_EDGE = 1e-6


@dataclass(frozen=True)
class CascadeOptions:
    """What the line must keep."""

    max_loss: float = 0.02  # of accuracy, against the dear judge alone
    min_accuracy: float = 0.80  # of what the cheap judge keeps, while the dear one is not known
    alpha: float = 0.05  # chance that the line keeps less

    def __post_init__(self) -> None:
        for name, value in (("max_loss", self.max_loss), ("min_accuracy", self.min_accuracy)):
            if not 0.0 < value < 1.0:
                raise BadInput(f"{name} is {value}, it must lie between 0 and 1")
        if not 0.0 < self.alpha < 0.5:
            raise BadInput(f"alpha is {self.alpha}, it must lie between 0 and 0.5, usually 0.05")


@dataclass(frozen=True)
class Line:
    """Where the cheap judge's word is taken: at this confidence and above."""

    threshold: float  # of the larger of p_a and 1 - p_a; above 1 where it never is
    calibrated: float | None  # how often the cheap judge is right at just that confidence
    n_decided: int  # pairs behind the choice
    share_kept: float  # of the decided pairs, with the cheap judge
    kept_right: Estimate | None  # the cheap judge on what it keeps; None where it keeps nothing
    cascade_right: Estimate | None  # None while the dear judge has not answered
    dear_right: Estimate | None
    difference: Estimate | None  # cascade - dear, two-sided at 1 - 2 alpha
    n_tested: int  # lines tried until one failed

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "threshold": self.threshold if math.isfinite(self.threshold) else None,
            "calibrated_accuracy_at_threshold": self.calibrated,
            "n_decided": self.n_decided,
            "share_kept": self.share_kept,
            "kept_right": self.kept_right and self.kept_right.as_dict(),
            "cascade_right": self.cascade_right and self.cascade_right.as_dict(),
            "dear_right": self.dear_right and self.dear_right.as_dict(),
            "difference": self.difference and self.difference.as_dict(),
            "n_tested": self.n_tested,
        }


@dataclass(frozen=True)
class Price:
    """What one judge takes for one pair, all its orders."""

    requests: float
    usd: float | None = None  # None where it has no price


@dataclass(frozen=True)
class Savings:
    """A cascade against asking the dear judge about everything."""

    n_pairs: int
    n_kept: int  # with the cheap judge
    n_sent: int  # to the dear judge: unsure, or without an answer of the cheap one
    dear_requests_saved: float
    requests: float  # of both judges, in the cascade
    requests_dear_alone: float
    usd: float | None
    usd_dear_alone: float | None

    @property
    def usd_saved(self) -> float | None:
        """Dollars saved, the cheap judge paid; negative where the cascade costs more."""
        if self.usd is None or self.usd_dear_alone is None:
            return None
        return self.usd_dear_alone - self.usd

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "n_pairs": self.n_pairs,
            "n_kept": self.n_kept,
            "n_sent": self.n_sent,
            "dear_requests_saved": self.dear_requests_saved,
            "requests": self.requests,
            "requests_dear_alone": self.requests_dear_alone,
            "usd": self.usd,
            "usd_dear_alone": self.usd_dear_alone,
            "usd_saved": self.usd_saved,
        }


def confidence_of(combined: Combined) -> FloatArray:
    """The larger of p_a and 1 - p_a; 1 for a bare label, 0 without one. Shape (n_pairs,).

    A judge that gives bare labels is as sure as it can say where its orders agree; where they do
    not, it has no label.
    """
    sure = np.maximum(combined.p_a, 1.0 - combined.p_a)
    return np.where(combined.label == NONE, 0.0, np.where(np.isnan(sure), 1.0, sure))


def choose_line(
    cheap: Combined,
    dear_points: FloatArray | None,
    reference: IntArray,
    prompt: IntArray,
    options: CascadeOptions = CascadeOptions(),
) -> Line:
    """The lowest line that keeps what it must, with confidence.

    Lines are tested from the strictest downward, each at alpha, and the first that fails ends the
    search: fixed-sequence testing, so that trying many lines spends no more than one alpha.

    Args:
        cheap: The cheap judge's labels.
        dear_points: 1, 1/2 or 0 where the dear judge agrees with people, abstains or does not, NaN
            where it has not answered; shape (n_pairs,). None before it was asked anything.
        reference: Human labels, codes of shape (n_pairs,).
        prompt: Prompt codes, same shape.
        options: What must be kept.

    Raises:
        Undefined: Too few decided pairs.
    Source: Bauer (1991), Statistics in Medicine 10, 871-890, for fixed sequences; Angelopoulos
        et al. (2021), arXiv:2110.01052, for choosing a threshold by them.
    """
    usable = (reference != NONE) & (reference != TIE)
    who = "the cheap judge has a label"
    if dear_points is None:
        usable &= cheap.label != NONE
    else:
        usable &= ~np.isnan(dear_points)
        who = "the dear judge has answered"
    n = int(usable.sum())
    if n < MIN_DECIDED:
        raise Undefined(
            f"{n} pairs are decided by people where {who}, and a line needs {MIN_DECIDED}; "
            "label or judge more pairs"
        )
    sure = confidence_of(cheap)[usable]
    right = (cheap.label[usable] == reference[usable]).astype(np.float64)
    dear = None if dear_points is None else dear_points[usable]
    codes = prompt[usable]
    best, n_tested = math.inf, 0
    for line in _lines(sure):
        n_tested += 1
        if not _holds(sure >= line, right, dear, codes, options):
            break
        best = line
    kept = sure >= best
    clusters = Clusters.of(codes)
    cascade = difference = None
    if dear is not None:
        cascade = np.where(kept, right, dear)
        paired = compare_paired(cascade, dear, codes, confidence=1.0 - 2.0 * options.alpha)
        difference = paired.difference
    calibrated = None
    if math.isfinite(best):
        spoken = sure > 0.0
        calibrated = float(calibrate(sure[spoken], right[spoken]).at(np.array([best]))[0])
    return Line(
        threshold=best,
        calibrated=calibrated,
        n_decided=n,
        share_kept=float(kept.mean()),
        kept_right=mean_of(right[kept], Clusters.of(codes[kept])) if kept.any() else None,
        cascade_right=None if cascade is None else mean_of(cascade, clusters),
        dear_right=None if dear is None else mean_of(dear, clusters),
        difference=difference,
        n_tested=n_tested,
    )


def calibrate(sure: FloatArray, right: FloatArray) -> "Calibrated":
    """How often the judge is right at a stated confidence: a ridge-logistic curve.

    Args:
        sure: The larger of p_a and 1 - p_a, shape (n_units,).
        right: 1 where the judge is right, else 0, same shape.
    """
    x = logit(np.clip(sure, 0.5, 1.0 - _EDGE))

    def loss(theta: FloatArray) -> float:
        score = theta[0] + theta[1] * x
        pull = 0.5 * _RIDGE * (theta[0] ** 2 + (theta[1] - 1.0) ** 2)
        return float((np.logaddexp(0.0, score) - right * score).sum() + pull)

    found = optimize.minimize(loss, np.array([0.0, 1.0]), method="Nelder-Mead")
    return Calibrated(float(found.x[0]), float(found.x[1]))


@dataclass(frozen=True)
class Calibrated:
    """P(right) = expit(intercept + slope * logit(confidence))."""

    intercept: float
    slope: float

    def at(self, sure: FloatArray) -> FloatArray:
        """P(right) at these confidences."""
        x = logit(np.clip(sure, 0.5, 1.0 - _EDGE))
        return np.asarray(expit(self.intercept + self.slope * x))


def to_send(cheap: Combined, threshold: float) -> npt.NDArray[np.bool_]:
    """The pairs that go to the dear judge: unsure, or without a label. Shape (n_pairs,)."""
    return confidence_of(cheap) < threshold


def savings(cheap: Combined, threshold: float, cheap_price: Price, dear_price: Price) -> Savings:
    """What a cascade asks and costs, and what the dear judge alone would.

    Args:
        cheap: The cheap judge's labels on all pairs.
        threshold: The line.
        cheap_price: Of the cheap judge, for a pair.
        dear_price: Of the dear judge, for a pair.
    """
    sent = to_send(cheap, threshold)
    n, n_sent = len(sent), int(sent.sum())
    usd = alone = None
    if dear_price.usd is not None:
        alone = n * dear_price.usd
        if cheap_price.usd is not None:
            usd = n * cheap_price.usd + n_sent * dear_price.usd
    return Savings(
        n_pairs=n,
        n_kept=n - n_sent,
        n_sent=n_sent,
        dear_requests_saved=(n - n_sent) * dear_price.requests,
        requests=n * cheap_price.requests + n_sent * dear_price.requests,
        requests_dear_alone=n * dear_price.requests,
        usd=usd,
        usd_dear_alone=alone,
    )


@dataclass(frozen=True)
class Cascade:
    """One label per pair from two judges."""

    label: npt.NDArray[np.int8]  # (n_pairs,) -1 where there is none
    p_a: FloatArray  # (n_pairs,) NaN where there is none
    n_cheap: int  # labels of the cheap judge
    n_dear: int  # labels of the dear judge
    n_waiting: int  # sent, and not answered by the dear judge yet (or it failed, or abstains)


def cascade(cheap: Combined, dear: Combined, threshold: float) -> Cascade:
    """The cheap judge's label where it is sure, else the dear judge's; never a guess for it."""
    sent = to_send(cheap, threshold)
    label = np.where(sent, dear.label, cheap.label).astype(np.int8)
    labelled = label != NONE
    return Cascade(
        label=label,
        p_a=np.where(sent, dear.p_a, cheap.p_a),
        n_cheap=int((~sent & labelled).sum()),
        n_dear=int((sent & labelled).sum()),
        n_waiting=int((sent & ~labelled).sum()),
    )


def cascade_judgments(made: Cascade, name: str) -> Iterator[tuple[int, Judgment]]:
    """The labels as judgments by row, in order: what `PairStore.put_judgments_by_row` takes."""
    names = ("A", "B", "tie")
    for row in np.flatnonzero(made.label != NONE).tolist():
        p_a = None if math.isnan(made.p_a[row]) else float(made.p_a[row])
        label = names[int(made.label[row])]
        yield row, Judgment.model_validate({"judge": name, "label": label, "p_a": p_a})


def _lines(sure: FloatArray) -> list[float]:
    """Lines to try, strictest first: at equal steps of the share that is kept."""
    shares = np.arange(1, _N_STEPS + 1) / _N_STEPS
    shares = shares[shares * len(sure) >= _MIN_KEPT]
    lines = {float(one) for one in np.quantile(sure, 1.0 - shares)}
    return sorted((line for line in lines if line > 0.0), reverse=True)


def _holds(
    kept: npt.NDArray[np.bool_],
    right: FloatArray,
    dear: FloatArray | None,
    prompt: IntArray,
    options: CascadeOptions,
) -> bool:
    level = 1.0 - 2.0 * options.alpha  # its lower end is a one-sided bound at alpha
    if dear is None:
        share = mean_of(right[kept], Clusters.of(prompt[kept]), confidence=level)
        return share.low > options.min_accuracy
    mixed = np.where(kept, right, dear)
    return compare_paired(mixed, dear, prompt, confidence=level).difference.low > -options.max_loss
