"""Whether a judge's labels agree with people, on a few hundred pairs that people labelled.

A quick check before or beside an audit: it reads whatever human labels there are, at once. The
certificate of `workbench audit`, whose draw and stopping are guarded, is what a data set rests on.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from pipelines.agreement.annotations import NONE, TIE, FloatArray, IntArray
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import Clusters, check_confidence, from_influence, mean_of
from pipelines.errors import BadInput, Undefined
from pipelines.preferences.combine import Combined

Verdict = Literal["TRUST", "WARN", "UNDECIDED"]
Ties = Literal["decisive", "strict"]

N_PAIRS = 500


@dataclass(frozen=True)
class HumanSide:
    """What people say of the pairs, and how the pairs came to be asked about."""

    reference: IntArray  # (n_pairs,) majority of each pair's people, -1 where nobody was asked
    weight: FloatArray  # (n_pairs,) 1 / the chance of having been drawn; all 1 for imported labels
    n_audited: int  # pairs whose label comes from an audit round
    n_imported: int  # pairs whose label came with the file
    n_simulated: int  # audited pairs on which a simulated vote stands
    n_available: int  # labelled pairs before `n` of them were chosen

    @property
    def n(self) -> int:
        """Pairs with a human label."""
        return int((self.reference != NONE).sum())


@dataclass(frozen=True)
class ValidateOptions:
    """The lines: as those of the audit's gate."""

    warn_below: float = 0.75
    trust_above: float = 0.80
    alpha: float = 0.05  # chance of trusting a judge that stands at the line
    ties: Ties = "decisive"  # a human tie says nothing; strict: labels must be equal
    confidence: float = 0.95  # of the intervals that are shown

    def __post_init__(self) -> None:
        check_confidence(self.confidence)
        if not 0.0 < self.warn_below <= self.trust_above < 1.0:
            raise BadInput(
                f"warn_below {self.warn_below} and trust_above {self.trust_above} must lie "
                "between 0 and 1, the first not above the second"
            )
        if not 0.0 < self.alpha < 0.5:
            raise BadInput(f"alpha is {self.alpha}, it must lie between 0 and 0.5, usually 0.05")


@dataclass(frozen=True)
class SliceAccuracy:
    """Accuracy on the pairs of one value of a slice; exploratory."""

    slice: str
    value: str
    accuracy: Estimate


@dataclass(frozen=True)
class Validation:
    """One judge against people."""

    judge: str
    verdict: Verdict
    accuracy: Estimate | None  # None where no pair can be compared
    lower_bound: float | None  # one-sided, at alpha: what the verdict reads
    upper_bound: float | None
    n_labelled: int  # pairs with a human label
    n_human_tie: int  # of them left out as human ties (decisive)
    n_failed: int  # of them: every verdict of the judge failed
    n_abstained: int  # of them: the judge answered and has no label
    n_missing: int  # of them: the judge was not asked
    n_learned: int  # of them: the judge has learned from this very label
    n_to_decide: int | None  # labels that would settle it if the estimate stands
    slices: tuple[SliceAccuracy, ...]

    @property
    def trusted(self) -> bool:
        """Whether the judge may be trusted."""
        return self.verdict == "TRUST"

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "judge": self.judge,
            "decision": self.verdict,
            "accuracy": None if self.accuracy is None else self.accuracy.as_dict(),
            "lower_bound": self.lower_bound,
            "upper_bound": self.upper_bound,
            "n_labelled": self.n_labelled,
            "n_human_tie": self.n_human_tie,
            "n_failed": self.n_failed,
            "n_abstained": self.n_abstained,
            "n_missing": self.n_missing,
            "n_learned": self.n_learned,
            "n_to_decide": self.n_to_decide,
            "slices": [
                {"slice": one.slice, "value": one.value, "accuracy": one.accuracy.as_dict()}
                for one in self.slices
            ],
        }


def validate(
    judge: str,
    combined: Combined,
    asked: npt.NDArray[np.bool_],
    human: HumanSide,
    prompt: IntArray,
    groups: Mapping[str, npt.NDArray[np.object_]],
    options: ValidateOptions = ValidateOptions(),
    failed: npt.NDArray[np.bool_] | None = None,
    learned: npt.NDArray[np.bool_] | None = None,
) -> Validation:
    """Hold one judge's labels against people's.

    TRUST needs proof: the one-sided lower bound of the accuracy lies above `trust_above`. A warning
    needs none: the estimate lies under `warn_below`. Anything else is UNDECIDED.

    Args:
        judge: The judge's name.
        combined: Its labels, one per pair.
        asked: Whether the judge was asked about a pair, shape (n_pairs,).
        human: People's labels.
        prompt: Prompt codes, shape (n_pairs,); equal codes are one cluster.
        groups: Values of each slice, "" where a pair has none, shape (n_pairs,).
        options: The lines.
        failed: Whether every verdict on a pair failed, shape (n_pairs,); nowhere when None.
        learned: Whether the judge was made with the human label of a pair, as a weighted ensemble
            is, same shape; such pairs are left out. Nowhere when None.
    """
    nowhere = np.zeros(len(asked), dtype=bool)
    all_failed = nowhere if failed is None else failed
    known = nowhere if learned is None else learned
    labelled = human.reference != NONE
    human_tie = labelled & (human.reference == TIE) & (options.ties == "decisive")
    countable = labelled & ~human_tie & ~known
    used = np.flatnonzero(countable & (combined.label != NONE))
    silent = countable & (combined.label == NONE)
    right = (combined.label[used] == human.reference[used]).astype(np.float64)
    weight = human.weight[used]
    accuracy = low = high = n_to_decide = None
    verdict: Verdict = "UNDECIDED"
    slices: tuple[SliceAccuracy, ...] = ()
    if len(used):
        accuracy = weighted_share(right, weight, prompt[used], options.confidence)
        bounds = weighted_share(right, weight, prompt[used], 1.0 - 2.0 * options.alpha)
        low, high = bounds.low, bounds.high
        if low > options.trust_above:
            verdict = "TRUST"
        elif accuracy.estimate < options.warn_below:
            verdict = "WARN"
        n_to_decide = _n_to_decide(accuracy.estimate, bounds, options)
        slices = _slices(right, weight, prompt[used], groups, used, options.confidence)
    return Validation(
        judge=judge,
        verdict=verdict,
        accuracy=accuracy,
        lower_bound=low,
        upper_bound=high,
        n_labelled=int(labelled.sum()),
        n_human_tie=int(human_tie.sum()),
        n_failed=int((silent & asked & all_failed).sum()),
        n_abstained=int((silent & asked & ~all_failed).sum()),
        n_missing=int((silent & ~asked).sum()),
        n_learned=int((labelled & ~human_tie & known).sum()),
        n_to_decide=None if verdict == "TRUST" else n_to_decide,
        slices=slices,
    )


def weighted_share(
    right: FloatArray, weight: FloatArray, prompt: IntArray, confidence: float
) -> Estimate:
    """A share of pairs drawn with unequal chances: Hajek's estimate, linearised, by prompt.

    With equal weights this is the plain share with Wilson's interval.

    Args:
        right: 1 or 0, shape (n_units,).
        weight: 1 / the chance of having been drawn, same shape.
        prompt: Prompt codes, same shape.
        confidence: Level of the interval.

    Raises:
        Undefined: No units.
    """
    if len(right) == 0:
        raise Undefined("a share of no pairs is undefined")
    clusters = Clusters.of(prompt)
    if np.ptp(weight) <= 1e-12 * float(weight.max()):
        return mean_of(right, clusters, confidence=confidence)
    total = float(weight.sum())
    share = float(weight @ right) / total
    influence = weight * (right - share) * (len(right) / total)
    effective = max(1, int(total**2 / float(weight @ weight)))  # Kish
    return from_influence(
        share,
        influence,
        clusters,
        confidence=confidence,
        n_when_constant=effective,
        method="weighted",
    )


def choose_pairs(
    audited: IntArray,
    imported: IntArray,
    inclusion_prob: FloatArray,
    simulated: npt.NDArray[np.bool_],
    n: int,
    rng: np.random.Generator,
) -> HumanSide:
    """At most n labelled pairs: those of audit rounds first, then imported ones, at random.

    Args:
        audited: Labels from audit rounds, codes of shape (n_pairs,), -1 where there is none.
        imported: Labels that came with the pairs, same shape.
        inclusion_prob: The chance with which a pair was drawn, same shape; read where audited.
        simulated: Whether a simulated vote stands on an audited pair, same shape.
        n: How many pairs to use.
        rng: Of the choice, where there are more.
    """
    if n < 1:
        raise BadInput(f"{n} pairs cannot validate anything; use at least 1, by default {N_PAIRS}")
    first = np.flatnonzero(audited != NONE)
    second = np.flatnonzero((audited == NONE) & (imported != NONE))
    n_first = min(n, len(first))
    n_second = min(n - n_first, len(second))
    taken = np.sort(rng.permutation(first)[:n_first]) if n_first < len(first) else first
    more = np.sort(rng.permutation(second)[:n_second]) if n_second < len(second) else second
    reference = np.full(len(audited), NONE, dtype=np.int8)
    reference[taken] = audited[taken]
    reference[more] = imported[more]
    weight = np.ones(len(audited))
    if n_second == 0:
        # Beside imported labels, whose choice nobody knows, weights would claim too much.
        weight[taken] = 1.0 / inclusion_prob[taken]
    return HumanSide(
        reference=reference,
        weight=weight,
        n_audited=n_first,
        n_imported=n_second,
        n_simulated=int(simulated[taken].sum()),
        n_available=len(first) + len(second),
    )


def _slices(
    right: FloatArray,
    weight: FloatArray,
    prompt: IntArray,
    groups: Mapping[str, npt.NDArray[np.object_]],
    used: IntArray,
    confidence: float,
) -> tuple[SliceAccuracy, ...]:
    found = []
    for name, values in groups.items():
        here = values[used]
        for value in _in_order(sorted({one for one in here.tolist() if one})):
            at = here == value
            share = weighted_share(right[at], weight[at], prompt[at], confidence)
            found.append(SliceAccuracy(name, value, share))
    return tuple(found)


def _in_order(values: Sequence[str]) -> Sequence[str]:
    """Complexity reads from simple to complex, anything else by the alphabet."""
    natural = ("simple", "medium", "complex")
    return natural if set(values) == set(natural) else values


def _n_to_decide(share: float, bounds: Estimate, options: ValidateOptions) -> int | None:
    """Labels at which the lower bound would pass the line, if the estimate and design stay."""
    gap = share - options.trust_above
    if gap <= 0.0:
        return None
    critical = float(stats.norm.ppf(1.0 - options.alpha))
    half = (bounds.high - bounds.low) / 2.0
    # What clusters and weights cost, as the ratio of this interval's width to an independent one.
    plain = critical * math.sqrt(max(share * (1.0 - share), 1e-9) / bounds.n)
    design = max(1.0, (half / plain) ** 2)
    line = options.trust_above
    return math.ceil(design * critical**2 * line * (1.0 - line) / gap**2)
