"""The agreement report of a file or project: the JSON of `workbench agreement`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pipelines.agreement.alt_test import alt_test
from pipelines.agreement.annotations import (
    FAILURE_NAMES,
    LABEL_NAMES,
    NONE,
    TIE,
    Annotations,
    FloatArray,
    IntArray,
)
from pipelines.agreement.comparison import compare, defined
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import Clusters
from pipelines.agreement.kappa import Ties, agreement, cohen_kappa, credit
from pipelines.agreement.multirater import (
    count_matrix,
    fleiss_kappa,
    gwet_ac1,
    krippendorff_alpha,
    pairwise_agreement,
)
from pipelines.agreement.position import labels_by_order, position_bias
from pipelines.agreement.reference import (
    MAJORITY,
    Votes,
    human_reference,
    rater_pairs,
    votes_of,
)

Unparsed = Literal["drop", "wrong", "tie"]

WRONG = 3  # the category of a failure that counts as wrong: no human label equals it


@dataclass(frozen=True)
class ReportOptions:
    """How to count. `unparsed` speaks of every verdict that failed, for whatever reason."""

    unparsed: Unparsed = "drop"
    reference: str = MAJORITY  # or the name of an annotator
    ties: Ties = "strict"
    confidence: float = 0.95
    epsilon: float = 0.2  # of the alternative annotator test


@dataclass(frozen=True)
class Verdicts:
    """One judge's verdicts, in the order of the file."""

    pair: IntArray  # (n_verdicts,)
    order: IntArray
    label: IntArray
    failure: IntArray


def agreement_report(
    annotations: Annotations,
    combined: Mapping[str, IntArray],
    options: ReportOptions | None = None,
) -> dict[str, Any]:
    """Human-human and AI-human agreement with everything beside it, in the form of DESIGN.md.

    Args:
        annotations: All verdicts.
        combined: Each judge's label of each pair after its orders are combined, shape (n_pairs,);
            a judge that is left out here has no `by_label`.
        options: How to count.

    Raises:
        BadInput: The reference is no annotator of these data.
    """
    options = options or ReportOptions()
    votes = votes_of(annotations)
    reference = human_reference(annotations, options.reference, votes)
    judges = {
        name: _judge(annotations, votes, reference, verdicts, combined.get(name), options)
        for name, verdicts in zip(annotations.judges, by_judge(annotations), strict=True)
    }
    return {
        "n_pairs": annotations.n_pairs,
        "n_identical": annotations.n_identical,
        "n_duplicate": annotations.n_duplicate,
        "n_empty": annotations.n_empty,
        "humans": _humans(annotations, votes, reference, options),
        "judges": judges,
    }


def human_agreement(annotations: Annotations, options: ReportOptions) -> Estimate | None:
    """The ceiling: how often two people agree on a pair, over the pairs with two labels or more."""
    counts, clusters, weights = _overlap(annotations, votes_of(annotations), options)
    return defined(
        pairwise_agreement, counts, clusters, weights=weights, confidence=options.confidence
    )


def by_judge(annotations: Annotations) -> list[Verdicts]:
    """The verdicts of each judge, in the order of `annotations.judges`."""
    order = np.argsort(annotations.verdict_judge, kind="stable")
    ends = np.cumsum(np.bincount(annotations.verdict_judge, minlength=len(annotations.judges)))
    return [
        Verdicts(
            annotations.verdict_pair[at],
            annotations.verdict_order[at],
            annotations.verdict_label[at],
            annotations.verdict_failure[at],
        )
        for at in np.split(order, ends[:-1])[: len(annotations.judges)]
    ]


def counted_labels(
    label: IntArray, failed: npt.NDArray[np.bool_], unparsed: Unparsed
) -> npt.NDArray[np.int8]:
    """Labels with failures counted as `unparsed` says; abstentions stay -1. Same shape."""
    counted = label.astype(np.int8)
    if unparsed != "drop":
        counted[failed] = WRONG if unparsed == "wrong" else TIE
    return counted


def _humans(
    annotations: Annotations, votes: Votes, reference: IntArray, options: ReportOptions
) -> dict[str, Any]:
    counts, clusters, weights = _overlap(annotations, votes, options)
    level = options.confidence
    distance = None if weights is None else 1.0 - weights
    n_reference = np.bincount(reference[reference != NONE], minlength=len(LABEL_NAMES))
    pairwise = []
    for couple in rater_pairs(votes):
        labels = couple.first_label, couple.second_label
        groups = Clusters.of(annotations.prompt[couple.pair])
        raw = defined(agreement, *labels, groups, ties=options.ties, confidence=level)
        kappa = defined(cohen_kappa, *labels, groups, ties=options.ties, confidence=level)
        pairwise.append(
            {
                "a": annotations.annotators[couple.first],
                "b": annotations.annotators[couple.second],
                "n": len(couple.pair),
                "agreement": _json(raw),
                "cohen_kappa": _json(kappa),
            }
        )
    fleiss = defined(fleiss_kappa, counts, clusters, weights=weights, confidence=level)
    alpha = defined(krippendorff_alpha, counts, clusters, distance=distance, confidence=level)
    ac1 = defined(gwet_ac1, counts, clusters, weights=weights, confidence=level)
    return {
        "n_annotators": len(np.unique(votes.annotator)),
        "n_labels": len(votes.pair),
        "n_overlap_pairs": int((np.unique(votes.pair, return_counts=True)[1] >= 2).sum()),
        "fleiss_kappa": _json(fleiss),
        "krippendorff_alpha": _json(alpha),
        "gwet_ac1": _json(ac1),
        "reference_counts": dict(zip(LABEL_NAMES, n_reference.tolist(), strict=True)),
        "pairwise": pairwise,
    }


def _judge(
    annotations: Annotations,
    votes: Votes,
    reference: IntArray,
    verdicts: Verdicts,
    combined: IntArray | None,
    options: ReportOptions,
) -> dict[str, Any]:
    n_pairs, prompt, level = annotations.n_pairs, annotations.prompt, options.confidence
    n_failed = np.bincount(verdicts.failure[verdicts.failure != NONE], minlength=len(FAILURE_NAMES))
    # Only pairs with a human reference are compared: the rest need not be touched.
    judged = reference[verdicts.pair] != NONE
    pair = verdicts.pair[judged]
    verdict = counted_labels(
        verdicts.label[judged], verdicts.failure[judged] != NONE, options.unparsed
    )
    label_ab, label_ba = labels_by_order(verdicts.pair, verdicts.order, verdicts.label, n_pairs)
    position = defined(position_bias, label_ab, label_ba, prompt, confidence=level)
    report: dict[str, Any] = {
        "n_verdicts": len(verdicts.pair),
        "n_failed": {
            name: int(count)
            for name, count in zip(FAILURE_NAMES, n_failed, strict=True)
            if count > 0
        },
        "by_verdict": compare(
            reference[pair], verdict, prompt[pair], ties=options.ties, confidence=level
        ).as_dict(),
        "by_label": None,
        "position": None if position is None else position.as_dict(),
        "alt_test": None,
    }
    if combined is not None:
        asked, answered = np.zeros(n_pairs, dtype=np.bool_), np.zeros(n_pairs, dtype=np.bool_)
        asked[verdicts.pair] = True
        answered[verdicts.pair[verdicts.label != NONE]] = True
        label = counted_labels(combined, asked & ~answered, options.unparsed)
        at = np.flatnonzero(reference != NONE)
        report["by_label"] = compare(
            reference[at], label[at], prompt[at], ties=options.ties, confidence=level
        ).as_dict()
        test = defined(alt_test, votes, label, epsilon=options.epsilon)
        report["alt_test"] = None if test is None else test.as_dict()
    return report


def _overlap(
    annotations: Annotations, votes: Votes, options: ReportOptions
) -> tuple[IntArray, Clusters, FloatArray | None]:
    """Counts of the pairs with two votes or more, their clusters, and the credit for ties."""
    pair, label = votes.pair, votes.label
    if options.ties == "drop":
        pair, label = pair[label != TIE], label[label != TIE]
    labelled, unit, n_votes = np.unique(pair, return_inverse=True, return_counts=True)
    counts = count_matrix(unit, label, len(labelled), len(LABEL_NAMES))[n_votes >= 2]
    clusters = Clusters.of(annotations.prompt[labelled[n_votes >= 2]])
    weights = credit(options.ties, len(LABEL_NAMES)) if options.ties == "half" else None
    return counts, clusters, weights


def _json(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else estimate.as_dict()
