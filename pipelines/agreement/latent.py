"""What imperfect labels say of a truth that nobody has seen."""

import math
from dataclasses import dataclass

from scipy import stats

from pipelines.agreement.annotations import TIE, IntArray
from pipelines.agreement.comparison import defined
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import Clusters, check_confidence
from pipelines.agreement.kappa import agreement
from pipelines.agreement.multirater import pairwise_agreement
from pipelines.errors import BadInput, Undefined


@dataclass(frozen=True)
class LatentAccuracy:
    """How often each side is right about a two-way choice, if its errors are independent."""

    ai: float
    human: float


@dataclass(frozen=True)
class Ceiling:
    """AI-human agreement beside human-human agreement, both on decisive labels (no ties)."""

    ai_human: Estimate | None
    human_human: Estimate | None
    latent: LatentAccuracy | None  # None where one of the two is missing or they do not fit


def latent_split(ai_human: float, human_human: float) -> LatentAccuracy:
    """Accuracy of AI and human behind their agreements on decisive pairs.

    Two humans agree when both are right or both wrong: a_HH = h^2 + (1-h)^2, so
    h = (1 + sqrt(2 a_HH - 1)) / 2; likewise a_AH = gh + (1-g)(1-h) gives
    g = (a_AH - 1 + h) / (2h - 1).

    Raises:
        Undefined: Humans agree no more than by chance, or the AI agrees with them more (or less)
            often than any accuracy allows.
    """
    for name, value in (("AI-human", ai_human), ("human-human", human_human)):
        if not 0.0 <= value <= 1.0:
            raise BadInput(f"{name} agreement is {value}; it must lie in 0..1")
    if human_human <= 0.5:
        raise Undefined("people agree no more than by chance: their accuracy cannot be told")
    human = (1.0 + math.sqrt(2.0 * human_human - 1.0)) / 2.0
    ai = (ai_human - 1.0 + human) / (2.0 * human - 1.0)
    if not -1e-9 <= ai <= 1.0 + 1e-9:
        raise Undefined("the AI agrees with people more than independent errors allow")
    return LatentAccuracy(ai=min(1.0, max(0.0, ai)), human=human)


def ceiling(
    ai_label: IntArray,
    reference: IntArray,
    prompt: IntArray,
    overlap_counts: IntArray,
    overlap_prompt: IntArray,
    *,
    confidence: float = 0.95,
) -> Ceiling:
    """AI-human agreement next to its ceiling, and the accuracies that would explain both.

    Args:
        ai_label: AI labels, codes of shape (n_pairs,); -1 is left out.
        reference: One person's label of each pair, same shape; -1 is left out. With a majority
            of several people the split would credit the AI with their joint accuracy.
        prompt: Prompt codes, same shape.
        overlap_counts: How many people gave each label, shape (n_overlap, 3).
        overlap_prompt: Prompt codes, shape (n_overlap,).
        confidence: Level of the intervals.
    """
    both = (ai_label >= 0) & (reference >= 0)
    ai_human = defined(
        agreement,
        ai_label[both],
        reference[both],
        Clusters.of(prompt[both]),
        ties="drop",
        confidence=confidence,
    )
    human_human = defined(
        pairwise_agreement,
        overlap_counts[:, :TIE],
        Clusters.of(overlap_prompt),
        confidence=confidence,
    )
    split = None
    if ai_human is not None and human_human is not None:
        split = defined(latent_split, ai_human.estimate, human_human.estimate)
    return Ceiling(ai_human, human_human, split)


def rogan_gladen(
    apparent: Estimate, sensitivity: Estimate, specificity: Estimate, confidence: float = 0.95
) -> Estimate:
    """True prevalence behind an apparent one, by the judge's sensitivity and specificity.

    A known formula, not a default: with sensitivity and specificity from the same audit it is
    worse than the human labels alone. The interval is the delta method's, from the three n.

    Raises:
        Undefined: The judge is no better than chance.
    Source: Rogan and Gladen (1978), doi:10.1093/oxfordjournals.aje.a112510.
    """
    check_confidence(confidence)
    value = rogan_gladen_point(apparent.estimate, sensitivity.estimate, specificity.estimate)
    youden = sensitivity.estimate + specificity.estimate - 1.0
    variance = (
        _binomial_variance(apparent)
        + value**2 * _binomial_variance(sensitivity)
        + (1.0 - value) ** 2 * _binomial_variance(specificity)
    ) / youden**2
    half = float(stats.norm.ppf(0.5 + confidence / 2.0)) * math.sqrt(variance)
    return Estimate(
        value, max(0.0, value - half), min(1.0, value + half), "rogan-gladen", apparent.n
    )


def rogan_gladen_point(apparent: float, sensitivity: float, specificity: float) -> float:
    """(apparent + specificity - 1) / (sensitivity + specificity - 1), kept within 0..1."""
    youden = sensitivity + specificity - 1.0
    if youden <= 0.0:
        raise Undefined("a judge that is no better than chance says nothing of the prevalence")
    return min(1.0, max(0.0, (apparent + specificity - 1.0) / youden))


def _binomial_variance(share: Estimate) -> float:
    return share.estimate * (1.0 - share.estimate) / share.n
