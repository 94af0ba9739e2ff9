"""Whether an ensemble is worth its judges: against people, and beside its best member."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.agreement.annotations import NONE, TIE, A, Annotations, B, FloatArray, IntArray
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import Clusters, mean_of
from pipelines.agreement.paired import PairedComparison, compare_paired
from pipelines.errors import Undefined
from pipelines.judge.ensemble import (
    Ensemble,
    learn_weights,
    member_labels,
    weighted_votes,
)
from pipelines.judge.scoring import judge_points, points
from pipelines.preferences.combine import Combined

N_FOLDS = 5
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@dataclass(frozen=True)
class ThresholdRow:
    """What a confidence threshold keeps and drops."""

    threshold: float
    n_kept: int  # of all labels
    n_dropped: int
    kept_right: Estimate | None  # accuracy of the kept labels that people decided
    dropped_right: Estimate | None


@dataclass(frozen=True)
class EnsembleCheck:
    """The ensemble on the pairs that people decided. Abstentions count half."""

    accuracy: Estimate
    cross_fitted: bool  # weights were learned without the prompts that they were tested on
    best_member: str
    against_best: PairedComparison  # first is the ensemble
    thresholds: tuple[ThresholdRow, ...]

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "accuracy": self.accuracy.as_dict(),
            "cross_fitted": self.cross_fitted,
            "best_member": self.best_member,
            "against_best": self.against_best.as_dict(),
            "thresholds": [
                {
                    "threshold": row.threshold,
                    "n_kept": row.n_kept,
                    "n_dropped": row.n_dropped,
                    "kept_right": row.kept_right and row.kept_right.as_dict(),
                    "dropped_right": row.dropped_right and row.dropped_right.as_dict(),
                }
                for row in self.thresholds
            ],
        }


def check_ensemble(
    annotations: Annotations,
    made: Ensemble,
    reference: IntArray,
    rng: np.random.Generator,
    *,
    confidence: float = 0.95,
) -> EnsembleCheck:
    """Hold an ensemble against people and against the member that agrees with them most.

    Weights that were learned from the same pairs are learned again in five folds of prompts, so
    that no pair is judged by weights that have seen it. The best member is chosen on these very
    pairs, which flatters it a little.

    Args:
        annotations: All verdicts.
        made: The ensemble.
        reference: Human labels, codes of shape (n_pairs,).
        rng: Deals prompts to folds.
        confidence: Level of the intervals.

    Raises:
        Undefined: The ensemble and its members share no pair that people decided.
    """
    honest = made
    if made.method == "weighted":
        honest = cross_fitted(annotations, made, reference, rng)
    mine = points(honest.combined(), honest.answered, reference)
    members = {judge: judge_points(annotations, judge, reference) for judge in made.judges}
    common = ~np.isnan(np.stack([mine, *members.values()])).any(axis=0)
    if not common.any():
        raise Undefined("the judges share no pair that people decided; label some first")
    best = max(made.judges, key=lambda judge: float(members[judge][common].mean()))
    prompt = annotations.prompt
    known = ~np.isnan(mine)
    return EnsembleCheck(
        accuracy=mean_of(mine[known], Clusters.of(prompt[known]), confidence=confidence),
        cross_fitted=honest is not made,
        best_member=best,
        against_best=compare_paired(
            mine[common], members[best][common], prompt[common], confidence=confidence
        ),
        thresholds=threshold_table(honest, made, reference, prompt, confidence=confidence),
    )


def cross_fitted(
    annotations: Annotations, made: Ensemble, reference: IntArray, rng: np.random.Generator
) -> Ensemble:
    """A weighted ensemble whose labels on decided pairs come from weights that did not see them."""
    decided = (reference == A) | (reference == B)
    prompts = np.unique(annotations.prompt[decided])
    fold_of = dict(
        zip(rng.permutation(prompts).tolist(), np.arange(len(prompts)) % N_FOLDS, strict=True)
    )
    fold = np.array([fold_of.get(code, -1) for code in annotations.prompt.tolist()])
    labels = member_labels(annotations, made.judges)
    label, p_a = made.label.copy(), made.p_a.copy()
    for number in range(min(N_FOLDS, len(prompts))):
        inside = fold == number
        try:
            weights = learn_weights(
                annotations, made.judges, np.where(inside, NONE, reference).astype(np.int8)
            )
        except Undefined:
            label[inside], p_a[inside] = NONE, np.nan  # the other folds teach nothing
            continue
        label[inside], p_a[inside] = weighted_votes(labels[:, inside], weights)
    return Ensemble(
        method=made.method,
        judges=made.judges,
        label=label,
        p_a=p_a,
        answered=made.answered,
        n_partial=made.n_partial,
        n_undecided=int((made.answered & (label == NONE)).sum()),
    )


def threshold_table(
    honest: Ensemble,
    made: Ensemble,
    reference: IntArray,
    prompt: IntArray,
    thresholds: Sequence[float] = THRESHOLDS,
    *,
    confidence: float = 0.95,
) -> tuple[ThresholdRow, ...]:
    """What each threshold of confidence would keep, and how right that is.

    Args:
        honest: The ensemble whose accuracy is measured.
        made: The ensemble whose labels are counted.
        reference: Human labels, codes of shape (n_pairs,).
        prompt: Prompt codes, same shape.
        thresholds: Confidence, 0.5 to 1.
        confidence: Level of the intervals.
    """
    right = (honest.label == reference).astype(np.float64)
    decided = (honest.label != NONE) & (reference != NONE) & (reference != TIE)
    rows = []
    for threshold in thresholds:
        kept = _sure(made.combined(), threshold)
        kept_here = _sure(honest.combined(), threshold)
        rows.append(
            ThresholdRow(
                threshold=threshold,
                n_kept=int(kept.sum()),
                n_dropped=int(((made.label != NONE) & ~kept).sum()),
                kept_right=_share(right, prompt, decided & kept_here, confidence),
                dropped_right=_share(right, prompt, decided & ~kept_here, confidence),
            )
        )
    return tuple(rows)


def _sure(combined: Combined, threshold: float) -> npt.NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        unsure = np.maximum(combined.p_a, 1.0 - combined.p_a) < threshold - 1e-9
    return np.asarray((combined.label != NONE) & ((combined.label == TIE) | ~unsure))


def _share(
    right: FloatArray,
    prompt: IntArray,
    at: npt.NDArray[np.bool_],
    confidence: float,
) -> Estimate | None:
    if not at.any():
        return None
    return mean_of(right[at], Clusters.of(prompt[at]), confidence=confidence)
