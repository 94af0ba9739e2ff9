"""What a judge prefers beyond what people prefer: length, and its own model's responses."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from pipelines.agreement.annotations import TIE, A, FloatArray, IntArray
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import Clusters, check_confidence, mean_of
from pipelines.agreement.logit import fit_logit
from pipelines.agreement.slices import log_length_ratio
from pipelines.errors import BadInput, Undefined


@dataclass(frozen=True)
class LengthBias:
    """Slopes of a logit of "prefers a" on the (natural) log of the length ratio of a to b.

    `excess` is the AI's slope less people's on the same pairs: above 0, the judge likes length
    more than people do. People may like longer answers rightly, so the AI's slope alone is no
    bias.
    """

    ai: Estimate
    human: Estimate
    excess: Estimate
    p_value: float  # two-sided, of no excess


@dataclass(frozen=True)
class SelfPreference:
    """How much oftener a judge upholds its own model's win than the other's.

    The difference of two recalls, where people decided: P(AI prefers its own | people prefer its
    own) - P(AI prefers the other | people prefer the other). A judge that errs without regard to
    the author has 0.
    """

    upholds_own: Estimate
    upholds_other: Estimate
    excess: Estimate


def length_bias(
    ai_label: IntArray,
    human_label: IntArray,
    chars_a: IntArray,
    chars_b: IntArray,
    prompt: IntArray,
    *,
    confidence: float = 0.95,
) -> LengthBias:
    """The judge's taste for length beyond people's, with standard errors clustered by prompt.

    Both preferences on a pair enter one logit with an interaction (a tie counts as half a
    preference); since the interaction leaves nothing shared, its two halves are fitted apart and
    their scores are added within each prompt.

    Args:
        ai_label: AI labels, codes of shape (n_pairs,); -1 leaves the pair out.
        human_label: Human labels, same shape; -1 leaves the pair out.
        chars_a: Characters of response_a, same shape.
        chars_b: Characters of response_b, same shape.
        prompt: Prompt codes, same shape.
        confidence: Level of the intervals.

    Raises:
        Undefined: No pair has both labels, all lengths are equal, or length settles every label.
    """
    check_confidence(confidence)
    both = (ai_label >= 0) & (human_label >= 0)
    n = int(both.sum())
    if n == 0:
        raise Undefined("no pair has an AI label and a human label")
    ratio = log_length_ratio(chars_a[both], chars_b[both])
    if float(np.ptp(ratio)) == 0.0:
        raise Undefined("all pairs have the same length ratio: length bias cannot be told")
    clusters = Clusters.of(prompt[both])
    if clusters.n_clusters < 3:
        raise Undefined("length bias needs pairs of at least three prompts")
    design = np.column_stack([np.ones_like(ratio), ratio])
    (ai_slope, ai_influence), (human_slope, human_influence) = (
        (float(beta[1]), influence[:, 1])
        for beta, influence in (
            fit_logit(_preference(label[both]), design) for label in (ai_label, human_label)
        )
    )
    excess = ai_slope - human_slope
    error = _clustered_error(ai_influence - human_influence, clusters)
    degrees = clusters.n_clusters - 1
    critical = float(stats.t.ppf(0.5 + confidence / 2.0, degrees))

    def around(slope: float, spread: float) -> Estimate:
        return Estimate(slope, slope - critical * spread, slope + critical * spread, "cluster", n)

    return LengthBias(
        ai=around(ai_slope, _clustered_error(ai_influence, clusters)),
        human=around(human_slope, _clustered_error(human_influence, clusters)),
        excess=around(excess, error),
        p_value=float(2.0 * stats.t.sf(abs(excess) / error, degrees)) if error > 0 else 1.0,
    )


def self_preference(
    ai_label: IntArray,
    human_label: IntArray,
    own: IntArray,
    prompt: IntArray,
    *,
    confidence: float = 0.95,
) -> SelfPreference:
    """Whether a judge favours its own model beyond what people say of the same responses.

    Args:
        ai_label: AI labels, codes of shape (n_pairs,); -1 leaves the pair out, a tie upholds
            neither side.
        human_label: Human labels, same shape; only A and B are used.
        own: Which response is the judge's own model's: 0 (a), 1 (b), -1 (neither or both).
        prompt: Prompt codes, same shape.
        confidence: Level of the intervals.

    Raises:
        Undefined: People never prefer one of the two sides.
    Source: Wataoka, Takahashi and Ri (2024), arXiv:2410.21819, after Hardt et al. (2016).
    """
    usable = (own >= 0) & (ai_label >= 0) & ((human_label == A) | (human_label == 1))
    upheld = (ai_label == human_label).astype(np.float64)
    for_own, for_other = usable & (human_label == own), usable & (human_label != own)
    if not for_own.any() or not for_other.any():
        raise Undefined("people must prefer the judge's own model sometimes, and sometimes not")
    recalls = [
        mean_of(upheld[at], Clusters.of(prompt[at]), confidence=confidence)
        for at in (for_own, for_other)
    ]
    own_recall, other_recall = recalls
    # Newcombe's hybrid: each side's distance to its own limits, squared and added. A prompt that
    # stands on both sides makes the two dependent, positively: the interval is then too wide.
    value = own_recall.estimate - other_recall.estimate
    below = math.hypot(
        own_recall.estimate - own_recall.low, other_recall.high - other_recall.estimate
    )
    above = math.hypot(
        own_recall.high - own_recall.estimate, other_recall.estimate - other_recall.low
    )
    excess = Estimate(value, value - below, value + above, "newcombe", int(usable.sum()))
    return SelfPreference(own_recall, other_recall, excess)


def _preference(label: IntArray) -> FloatArray:
    """1 for a, 0 for b, 1/2 for a tie, shape (n_pairs,)."""
    if int(label.max()) > TIE:
        raise BadInput("only A, B and tie can be regressed on length; leave failures out first")
    return np.where(label == TIE, 0.5, np.where(label == A, 1.0, 0.0))


def _clustered_error(influence: FloatArray, clusters: Clusters) -> float:
    totals = np.bincount(clusters.code, weights=influence, minlength=clusters.n_clusters)
    inflation = clusters.n_clusters / (clusters.n_clusters - 1)
    return float(np.sqrt(inflation * np.square(totals).sum()))
