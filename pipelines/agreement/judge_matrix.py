"""How alike several judges are, and how many independent ones they are worth.

Ten judges that err on the same pairs are one judge with ten bills. What counts is the correlation
of their *errors* against people: that of their labels is high whenever all of them are good.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.agreement.annotations import FloatArray, IntArray
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import Clusters, check_confidence
from pipelines.errors import BadInput, Undefined

N_RESAMPLES = 1000


@dataclass(frozen=True)
class JudgeMatrix:
    """Every two judges on the pairs that both labelled; NaN where there is nothing to say."""

    judges: tuple[str, ...]
    n: IntArray  # (n_judges, n_judges) pairs that both labelled
    agreement: FloatArray  # (n_judges, n_judges) share with the same label
    kappa: FloatArray  # (n_judges, n_judges) Cohen's kappa

    def as_dict(self) -> dict[str, Any]:
        """As JSON: NaN becomes null."""
        return {
            "judges": list(self.judges),
            "n": self.n.tolist(),
            "agreement": _listed(self.agreement),
            "kappa": _listed(self.kappa),
        }


@dataclass(frozen=True)
class EffectiveJudges:
    """How many independent judges a panel is worth, on pairs that people decided."""

    judges: tuple[str, ...]  # those sometimes right and sometimes wrong: others cannot correlate
    excluded: tuple[str, ...]  # always right or always wrong on these pairs
    n_pairs: int  # answered by all these judges, and decided by people
    accuracy: FloatArray  # (n_judges,)
    error_correlation: FloatArray  # (n_judges, n_judges) phi of the judges' errors
    mean_correlation: float
    n_effective: Estimate  # k / (1 + (k - 1) mean correlation)
    n_by_eigenvalues: float  # (sum of eigenvalues)^2 / sum of their squares
    collapsed: bool  # worth less than the asked share of the panel

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "judges": list(self.judges),
            "excluded": list(self.excluded),
            "n_pairs": self.n_pairs,
            "accuracy": self.accuracy.tolist(),
            "error_correlation": _listed(self.error_correlation),
            "mean_error_correlation": self.mean_correlation,
            "n_effective": self.n_effective.as_dict(),
            "n_by_eigenvalues": self.n_by_eigenvalues,
            "collapsed": self.collapsed,
        }


def judge_matrix(labels: IntArray, judges: Sequence[str]) -> JudgeMatrix:
    """Agreement and kappa of every two judges.

    Args:
        labels: Codes of shape (n_judges, n_pairs); -1 where a judge has no label.
        judges: Their names.
    """
    _check(labels, judges)
    k = len(judges)
    # One-hot by category: a product of two such matrices counts a cell for all judges at once.
    hot = [(labels == code).astype(np.float64) for code in range(3)]
    answered = (labels >= 0).astype(np.float64)
    n = answered @ answered.T
    same = sum((one @ one.T for one in hot), np.zeros((k, k)))
    # A judge's share of a category among the pairs that the other one labelled too.
    chance = sum(((one @ answered.T) * (one @ answered.T).T for one in hot), np.zeros((k, k)))
    with np.errstate(invalid="ignore", divide="ignore"):
        observed, expected = same / n, chance / n**2
        kappa = np.where(expected < 1.0 - 1e-12, (observed - expected) / (1.0 - expected), np.nan)
    return JudgeMatrix(tuple(judges), n.astype(np.int64), observed, kappa)


def effective_judges(
    points: FloatArray,
    prompt: IntArray,
    judges: Sequence[str],
    rng: np.random.Generator,
    *,
    collapse_below: float = 0.5,
    confidence: float = 0.95,
) -> EffectiveJudges:
    """How many independent judges this panel is worth.

    The variance of the mean error of k judges whose errors correlate by r on average is
    (1 + (k - 1) r) / k times that of one: as good as k / (1 + (k - 1) r) independent ones (Kish's
    design effect). Beside it the participation ratio of the eigenvalues of the correlation matrix,
    k^2 / sum of r_ij^2, which also sees two camps that average out. The interval resamples prompts.

    Args:
        points: 1 where a judge agrees with people, 0 where it does not, 1/2 where it abstains,
            NaN where it failed or people did not decide. Shape (n_judges, n_pairs).
        prompt: Prompt codes, shape (n_pairs,).
        judges: Their names.
        rng: Of the resampling.
        collapse_below: The panel has collapsed when it is worth less than this share of itself.
        confidence: Level of the interval.

    Raises:
        Undefined: Fewer than two judges that are sometimes right and sometimes wrong.
    Source: Kish (1965), Survey Sampling; for panels of language models Kohli (2026),
        arXiv:2605.29800.
    """
    _check(points, judges)
    check_confidence(confidence)
    usable = ~np.isnan(points).any(axis=0)
    errors = 1.0 - points[:, usable]
    if errors.shape[1] == 0:
        raise Undefined("no pair has a decisive human label and an answer of every judge")
    varied = np.ptp(errors, axis=1) > 0.0
    if varied.sum() < 2:
        raise Undefined(
            f"on {errors.shape[1]} pairs fewer than two judges are both right and wrong, so their "
            "errors have no correlation; label more pairs"
        )
    errors = errors[varied]
    k = len(errors)
    correlation = np.corrcoef(errors)
    mean = _mean_correlation(correlation)
    worth = _worth(mean, k)
    low, high = _resampled(errors, Clusters.of(prompt[usable]), rng, confidence)
    return EffectiveJudges(
        judges=tuple(name for name, keep in zip(judges, varied, strict=True) if keep),
        excluded=tuple(name for name, keep in zip(judges, varied, strict=True) if not keep),
        n_pairs=errors.shape[1],
        accuracy=1.0 - errors.mean(axis=1),
        error_correlation=correlation,
        mean_correlation=mean,
        n_effective=Estimate(
            worth, min(worth, low), max(worth, high), "bootstrap", errors.shape[1]
        ),
        n_by_eigenvalues=float(k**2 / np.square(correlation).sum()),
        collapsed=worth < collapse_below * k,
    )


def _resampled(
    errors: FloatArray, clusters: Clusters, rng: np.random.Generator, confidence: float
) -> tuple[float, float]:
    """Percentiles of the panel's worth when prompts are drawn again with replacement."""
    k, g = len(errors), clusters.n_clusters
    chances = np.full(g, 1.0 / g)
    found = []
    for _ in range(N_RESAMPLES):
        weight = rng.multinomial(g, chances)[clusters.code].astype(np.float64)
        total = weight.sum()
        mean = errors @ weight / total
        covariance = (errors * weight) @ errors.T / total - np.outer(mean, mean)
        spread = np.sqrt(np.clip(np.diag(covariance), 0.0, None))
        if spread.min() > 1e-9:  # else a judge made no error in this resample
            found.append(_worth(_mean_correlation(covariance / np.outer(spread, spread)), k))
    if len(found) < N_RESAMPLES // 2:
        return 1.0, float(k)  # too few errors to say anything
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(found, [tail, 1.0 - tail])
    return float(low), float(high)


def _worth(mean_correlation: float, k: int) -> float:
    """Kish's effective number. Errors that avoid each other make it exceed k: it is cut there."""
    return min(float(k), k / max(1.0 + (k - 1) * mean_correlation, 1e-9))


def _mean_correlation(correlation: FloatArray) -> float:
    k = len(correlation)
    return float((correlation.sum() - np.trace(correlation)) / (k * (k - 1)))


def _check(rows: IntArray | FloatArray, judges: Sequence[str]) -> None:
    if len(rows) != len(judges):
        raise BadInput(f"{len(rows)} rows of labels are not those of {len(judges)} judges")


def _listed(matrix: FloatArray) -> list[list[float | None]]:
    return [[None if math.isnan(value) else value for value in row] for row in matrix.tolist()]
