"""What imperfect labels say of a truth that nobody has seen."""

import math
from dataclasses import dataclass

from scipy import stats

from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import check_confidence
from pipelines.errors import BadInput, Undefined


@dataclass(frozen=True)
class LatentAccuracy:
    """How often each side is right about a two-way choice, if its errors are independent."""

    ai: float
    human: float


def latent_split(ai_human: float, human_human: float) -> LatentAccuracy:
    """Accuracy of AI and human behind their agreements on decisive pairs.

    Two humans agree when both are right or both wrong: a_HH = h^2 + (1-h)^2, so
    h = (1 + sqrt(2 a_HH - 1)) / 2; likewise a_AH = gh + (1-g)(1-h) gives
    g = (a_AH - 1 + h) / (2h - 1).

    Args:
        ai_human: Agreement of the AI with one person; with a majority of several, their joint
            accuracy would be taken for the AI's.
        human_human: Agreement of two people.

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
