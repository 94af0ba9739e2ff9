"""Several judges as one: majority, weighted, Dawid-Skene, or the mean of their soft labels.

An ensemble is stored as a judge of its own, so that it is audited, exported and compared like any
other. What it could not decide it leaves without a label, counted; nothing is settled by a coin.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy import optimize
from scipy.special import expit

from pipelines.agreement.annotations import NONE, TIE, A, Annotations, B, FloatArray, IntArray
from pipelines.agreement.dawid_skene import dawid_skene
from pipelines.errors import BadInput, Undefined
from pipelines.judge.scoring import judge_points
from pipelines.preferences.combine import Combined, combine_judge, combine_rule, is_derived
from pipelines.records import Judgment

Method = Literal["majority", "weighted", "dawid-skene", "mean"]
METHODS: tuple[Method, ...] = get_args(Method)

_MIN_FOR_DAWID_SKENE = 3  # with two raters nothing says which of them is the better one
_SMOOTHING = 0.1  # of Dawid-Skene's confusion matrices: a cell never seen is not impossible
# Judges that err together are worth less than their odds say, never more.
_MIN_SCALE, _MAX_SCALE = 0.05, 1.0
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Weights:
    """What each judge's vote counts for, learned from pairs that people decided."""

    judges: tuple[str, ...]
    accuracy: FloatArray  # (n_judges,) with one right and one wrong answer added
    n: IntArray  # (n_judges,) pairs behind it
    weight: FloatArray  # (n_judges,) log odds of being right; 0 for one no better than a coin
    scale: float  # 0..1: how far the summed log odds are to be believed


@dataclass(frozen=True)
class Ensemble:
    """One label per pair from several judges."""

    method: Method
    judges: tuple[str, ...]
    label: npt.NDArray[np.int8]  # (n_pairs,) -1 where there is none
    p_a: FloatArray  # (n_pairs,) NaN where no judge answered
    answered: npt.NDArray[np.bool_]  # (n_pairs,) whether any judge has a label there
    n_partial: int  # labelled pairs on which some judge has no label
    n_undecided: int  # answered, but without a majority, or with votes that cancel out
    n_unsure: int = 0  # decided, and dropped for too little confidence
    threshold: float = 0.5  # the confidence below which they were
    weights: Weights | None = None

    @property
    def name(self) -> str:
        """The judge that it is stored as."""
        return f"ensemble:{self.method}"

    @property
    def n_labels(self) -> int:
        """Pairs with a label."""
        return int((self.label != NONE).sum())

    @property
    def n_silent(self) -> int:
        """Pairs on which no judge has a label."""
        return int((~self.answered).sum())

    @property
    def confidence(self) -> FloatArray:
        """The larger of p_a and 1 - p_a, shape (n_pairs,)."""
        return np.maximum(self.p_a, 1.0 - self.p_a)

    def combined(self) -> Combined:
        """As the labels of one judge."""
        n_abstained = self.n_undecided + self.n_unsure
        return Combined(self.label, self.p_a, 0, n_abstained)


def member_judges(annotations: Annotations, judges: Sequence[str] = ()) -> tuple[str, ...]:
    """The judges of an ensemble: those named, else all that are not made of others.

    Raises:
        BadInput: Fewer than two, one that does not exist, or one that is itself made of others.
    """
    chosen = tuple(dict.fromkeys(judges)) or tuple(
        judge for judge in annotations.judges if not is_derived(judge)
    )
    for judge in chosen:
        if judge not in annotations.judges:
            there = ", ".join(annotations.judges) or "none yet"
            raise BadInput(f'no judge is called "{judge}"; there are: {there}')
        if is_derived(judge):
            raise BadInput(f'"{judge}" is made of other judges; name those instead')
    if len(chosen) < 2:
        raise BadInput(f"an ensemble needs two judges or more, and there are {len(chosen)}")
    return chosen


def make_ensemble(
    annotations: Annotations,
    method: Method,
    judges: Sequence[str] = (),
    *,
    reference: IntArray | None = None,
    threshold: float = 0.5,
) -> Ensemble:
    """Combine the judges' labels.

    Args:
        annotations: All verdicts.
        method: "majority": the label of more than half of those who have one. "weighted": votes
            weighed by the log odds of the judge's accuracy on the pairs that people decided, the
            best rule for independent judges, scaled down by what the same pairs say of their
            dependence (Nitzan and Paroush 1982, doi:10.2307/2526438). "dawid-skene": the label
            that is likeliest when each judge has a confusion matrix of its own, without any human
            label. "mean": the mean of the soft labels.
        judges: Names; all that are not made of others when empty.
        reference: Human labels, codes of shape (n_pairs,), for "weighted".
        threshold: Confidence, 0.5 to 1, below which a label is dropped. Ties are kept.

    Raises:
        BadInput: Judges or threshold that cannot be used.
        Undefined: "weighted" without a decided pair.
    """
    if not 0.5 <= threshold <= 1.0:
        raise BadInput(f"the confidence threshold is {threshold}, it must lie between 0.5 and 1")
    members = member_judges(annotations, judges)
    labels = member_labels(annotations, members)
    if method == "mean":
        combined = combine_rule(_only(annotations, members), "mean")
        made = _finish(method, members, labels, combined.label, combined.p_a)
    elif method == "majority":
        made = _finish(method, members, labels, *_majority(labels))
    elif method == "weighted":
        if reference is None:
            raise BadInput("a weighted ensemble needs human labels to weigh by; give a reference")
        weights = learn_weights(annotations, members, reference)
        made = replace(
            _finish(method, members, labels, *weighted_votes(labels, weights)), weights=weights
        )
    else:
        made = _finish(method, members, labels, *_dawid_skene(labels, members))
    return drop_unsure(made, threshold)


def member_labels(annotations: Annotations, judges: Sequence[str]) -> npt.NDArray[np.int8]:
    """Each judge's combined labels, shape (n_judges, n_pairs)."""
    return np.stack([combine_judge(annotations, judge).label for judge in judges])


def drop_unsure(made: Ensemble, threshold: float) -> Ensemble:
    """The ensemble without the labels whose confidence lies under the threshold."""
    decided = (made.label == A) | (made.label == B)
    with np.errstate(invalid="ignore"):
        unsure = decided & (made.confidence < threshold - _ROUNDING)
    label = np.where(unsure, NONE, made.label).astype(np.int8)
    return replace(made, label=label, n_unsure=int(unsure.sum()), threshold=threshold)


def learn_weights(annotations: Annotations, judges: Sequence[str], reference: IntArray) -> Weights:
    """The judges' log odds of being right, on the pairs that people decided.

    Raises:
        Undefined: No judge has an answer on a decided pair, or none beats a coin there.
    """
    points = np.stack([judge_points(annotations, judge, reference) for judge in judges])
    n = (~np.isnan(points)).sum(axis=1)
    if not n.any():
        raise Undefined("no judge has answered a pair that people decided; label some first")
    accuracy = (np.nansum(points, axis=1) + 1.0) / (n + 2.0)
    weight = np.log(np.maximum(accuracy, 0.5) / (1.0 - np.maximum(accuracy, 0.5)))
    if not (weight > 0.0).any():
        raise Undefined(
            f"on {int(n.max())} pairs that people decided no judge is right more often than a "
            "coin, so there is nothing to weigh; see `workbench judge validate`"
        )
    labels = member_labels(annotations, judges)
    decided = (reference == A) | (reference == B)
    score = _score(labels[:, decided], weight)
    people = np.where(reference[decided] == A, 1.0, -1.0)
    return Weights(tuple(judges), accuracy, n, weight, _scale(score * people))


def weighted_votes(labels: IntArray, weights: Weights) -> tuple[npt.NDArray[np.int8], FloatArray]:
    """Labels and soft labels of weighted votes, each of shape (n_pairs,)."""
    score = _score(labels, weights.weight)
    heard = ((labels != NONE) & (weights.weight > 0.0)[:, None]).any(axis=0)
    ties = np.where(labels != NONE, labels == TIE, True).all(axis=0)
    label = np.full(labels.shape[1], NONE, dtype=np.int8)
    label[heard & (score > _ROUNDING)] = A
    label[heard & (score < -_ROUNDING)] = B
    label[heard & ties] = TIE
    p_a = np.where(heard, expit(weights.scale * score), np.nan)
    return label, p_a


def judgments(made: Ensemble, name: str) -> Iterator[tuple[int, Judgment]]:
    """The labels as judgments by row, in order: what `PairStore.put_judgments_by_row` takes.

    A pair without a label has none: the counts say how many, and why.
    """
    names = {A: "A", B: "B", TIE: "tie"}
    for row in np.flatnonzero(made.label != NONE).tolist():
        label = int(made.label[row])
        # The soft label must say what the label says: whoever combines reads it first.
        p_a = 0.5 if label == TIE else float(made.p_a[row])
        yield row, Judgment.model_validate({"judge": name, "label": names[label], "p_a": p_a})


def _majority(labels: IntArray) -> tuple[npt.NDArray[np.int8], FloatArray]:
    counts = np.stack([(labels == code).sum(axis=0) for code in (A, B, TIE)])  # (3, n_pairs)
    total = counts.sum(axis=0)
    most = counts.max(axis=0)
    label = np.where(2 * most > total, counts.argmax(axis=0), NONE).astype(np.int8)
    with np.errstate(invalid="ignore"):
        p_a = (counts[A] + 0.5 * counts[TIE]) / total  # 0/0 is NaN: nobody answered
    return label, p_a


def _dawid_skene(
    labels: IntArray, judges: Sequence[str]
) -> tuple[npt.NDArray[np.int8], FloatArray]:
    if len(judges) < _MIN_FOR_DAWID_SKENE:
        raise BadInput(
            f"Dawid-Skene needs three judges or more and there are {len(judges)}: with two, "
            'nothing says which is the better one; use "majority", "mean" or "weighted"'
        )
    rater, pair = np.nonzero(labels != NONE)
    if len(pair) == 0:
        raise Undefined("no judge has a label, so there is nothing to combine")
    present, unit = np.unique(pair, return_inverse=True)
    given = labels[rater, pair].astype(np.int64)
    used, code = np.unique(given, return_inverse=True)
    fit = dawid_skene(unit, rater, code, len(used), smoothing=_SMOOTHING)
    posterior = np.zeros((labels.shape[1], 3))
    posterior[np.ix_(present, used)] = fit.posterior
    top = posterior.max(axis=1)
    label = np.where(top > 0.5 + _ROUNDING, posterior.argmax(axis=1), NONE).astype(np.int8)
    p_a = np.full(labels.shape[1], np.nan)
    p_a[present] = posterior[present, A] + 0.5 * posterior[present, TIE]
    return label, p_a


def _finish(
    method: Method,
    judges: tuple[str, ...],
    labels: IntArray,
    label: npt.NDArray[np.int8],
    p_a: FloatArray,
) -> Ensemble:
    given = labels != NONE
    answered = given.any(axis=0)
    has_label = label != NONE
    return Ensemble(
        method=method,
        judges=judges,
        label=label,
        p_a=p_a,
        answered=answered,
        n_partial=int((has_label & ~given.all(axis=0)).sum()),
        n_undecided=int((answered & ~has_label).sum()),
    )


def _score(labels: IntArray, weight: FloatArray) -> FloatArray:
    """Summed weights for A less those for B, shape (n_pairs,)."""
    signs = (labels == A).astype(np.float64) - (labels == B)
    return np.asarray(weight @ signs)


def _scale(margin: FloatArray) -> float:
    """The one number by which the summed log odds are to be multiplied: a fitted temperature.

    Judges that err together make the sum too sure of itself. A weak pull towards 1/2 keeps a small
    sample without errors from answering "certain".

    Args:
        margin: The score in favour of what people chose, shape (n_decided,).
    """
    if not margin.any():
        return _MAX_SCALE

    def loss(scale: float) -> float:
        return float(np.logaddexp(0.0, -scale * margin).sum() + 2.0 * (scale - 0.5) ** 2)

    found = optimize.minimize_scalar(loss, bounds=(_MIN_SCALE, _MAX_SCALE), method="bounded")
    return float(found.x)


def _only(annotations: Annotations, judges: Sequence[str]) -> Annotations:
    """The verdicts of some judges alone."""
    place = np.full(len(annotations.judges), -1)
    for number, judge in enumerate(judges):
        place[annotations.judges.index(judge)] = number
    kept = place[annotations.verdict_judge] >= 0
    return replace(
        annotations,
        judges=tuple(judges),
        verdict_pair=annotations.verdict_pair[kept],
        verdict_judge=place[annotations.verdict_judge[kept]],
        verdict_order=annotations.verdict_order[kept],
        verdict_label=annotations.verdict_label[kept],
        verdict_p_a=annotations.verdict_p_a[kept],
        verdict_failure=annotations.verdict_failure[kept],
    )
