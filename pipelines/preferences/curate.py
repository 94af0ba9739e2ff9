"""Which label each pair leaves the workbench with, and what became of every pair that does not.

A human label overrides the AI's: adjudication, else the majority of the rounds' votes, else the
majority of the human labels that came with the pair, else the AI label. Pure: arrays in, arrays
and counts out; every pair ends under exactly one fate.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipelines.agreement.annotations import (
    LABEL_NAMES,
    NONE,
    TIE,
    A,
    Annotations,
    B,
    BoolArray,
    FloatArray,
    IntArray,
)
from pipelines.agreement.multirater import count_matrix
from pipelines.errors import BadInput

DISAGREEMENT_POLICIES = ("override", "drop", "soft")
TIE_POLICIES = ("drop", "keep", "half")
IDENTICAL_POLICIES = ("drop", "keep")

SOURCES = ("ai", "human", "adjudicated")
AI, HUMAN, ADJUDICATED = range(3)

FATES = (
    "kept",
    "no AI verdict",
    "judge failed",
    "judge abstained",
    "no human label",
    "human and AI disagree",
    "AI gave no probability",
    "AI not confident enough",
    "identical responses",
    "tie",
)
(
    KEPT,
    NO_VERDICT,
    JUDGE_FAILED,
    JUDGE_ABSTAINED,
    NO_HUMAN_LABEL,
    DISAGREEMENT,
    NO_CONFIDENCE,
    LOW_CONFIDENCE,
    IDENTICAL,
    TIED,
) = range(len(FATES))

_P_OF_LABEL = np.array([1.0, 0.0, 0.5, np.nan])  # indexed by label code; NONE = -1 is the last


@dataclass(frozen=True)
class Policy:
    """What to do where people and the AI disagree, with ties, with doubtful and identical pairs.

    `disagreement`: "override" (the human label wins), "drop" (the pair goes), "soft" (the AI
    counts as one more voter in the soft label). `ties`: "drop", "keep" (as label "tie"), "half"
    (a preference row whose soft label is one half). `min_confidence` is the least
    max(p_a, 1 - p_a), in [0.5, 1], of a pair that leaves with the AI's label. `human_only` keeps
    the pairs that a person labelled.
    """

    disagreement: str = "override"
    ties: str = "drop"
    identical: str = "drop"
    min_confidence: float | None = None
    human_only: bool = False

    def __post_init__(self) -> None:
        for option, value, choices in (
            ("disagreement", self.disagreement, DISAGREEMENT_POLICIES),
            ("ties", self.ties, TIE_POLICIES),
            ("identical", self.identical, IDENTICAL_POLICIES),
        ):
            if value not in choices:
                raise BadInput(f'{option} "{value}" is not one of {", ".join(choices)}')
        if self.min_confidence is not None and not 0.5 <= self.min_confidence <= 1.0:
            raise BadInput(
                f"min-confidence {self.min_confidence} is not between 0.5 and 1: it is the AI's "
                "probability of the response that it prefers"
            )


@dataclass(frozen=True)
class Evidence:
    """All that is known about the pairs' labels; every array has n_pairs rows."""

    ai_label: IntArray  # codes A, B, TIE, NONE
    ai_p_a: FloatArray  # NaN where the AI gave no probability
    ai_absence: IntArray  # why ai_label is NONE, as a fate; KEPT elsewhere
    imported_votes: IntArray  # (n_pairs, 3) human labels A, B, tie that came with the pair
    round_votes: IntArray  # (n_pairs, 3) live votes of the audit rounds
    adjudicated: IntArray  # codes; the newest decision
    identical: BoolArray  # both responses are the same text
    inclusion_prob: FloatArray  # NaN where no draw of an audit took the pair


@dataclass(frozen=True)
class Step:
    """One policy step: how many pairs came in, how many went on, and why the others did not."""

    name: str
    policy: str
    n_in: int
    n_out: int
    dropped: dict[str, int]
    notes: dict[str, int]


@dataclass(frozen=True)
class Counts:
    """The whole way of the pairs through the policies. n_pairs = n_kept + all that was dropped."""

    n_pairs: int
    n_kept: int
    steps: tuple[Step, ...]
    kept_by_source: dict[str, int]
    kept_by_label: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


@dataclass(frozen=True)
class Curated:
    """The outcome, one row per pair; `label`, `p_a` and `weight` mean something where kept."""

    fate: IntArray  # index into FATES
    label: IntArray  # codes; TIE under ties "keep" and "half"
    p_a: FloatArray  # soft label: probability that response_a is the better one
    source: IntArray  # index into SOURCES, -1 without a label
    human_label: IntArray  # codes, NONE where no person labelled the pair
    n_votes: IntArray  # human labels behind human_label
    agrees: IntArray  # 1 human label equals AI label, 0 not, -1 one of them is missing
    weight: FloatArray
    counts: Counts


def vote_counts(n_pairs: int, pair: IntArray, label: IntArray) -> IntArray:
    """Votes per pair and label, shape (n_pairs, 3), from votes in long form."""
    counts = count_matrix(pair, label, n_pairs, len(LABEL_NAMES))
    return counts.astype(np.int32)  # half the memory of a million pairs


def majority(votes: IntArray) -> IntArray:
    """The label of more than half of a pair's votes, (n_pairs,), as in the agreement report.

    No majority is a tie, no votes is NONE.
    """
    n_votes = votes.sum(axis=1)
    label = np.where(2 * votes.max(axis=1, initial=0) > n_votes, votes.argmax(axis=1), TIE)
    return np.where(n_votes == 0, NONE, label).astype(np.int8)


def absence(annotations: Annotations, judge: str | None = None) -> IntArray:
    """Why a pair may have no AI label, as a fate: no verdict, only failures, or an abstention.

    Args:
        annotations: All verdicts.
        judge: One judge's name; None looks at all judges (a rule over judges).
    """
    rows = np.ones(len(annotations.verdict_pair), dtype=bool)
    if judge is not None:
        rows = annotations.verdict_judge == annotations.judges.index(judge)
    fate = np.full(annotations.n_pairs, NO_VERDICT, dtype=np.int8)
    fate[annotations.verdict_pair[rows]] = JUDGE_FAILED
    fate[annotations.verdict_pair[rows & (annotations.verdict_label != NONE)]] = JUDGE_ABSTAINED
    return fate


def curate(evidence: Evidence, policy: Policy) -> Curated:
    """Give every pair its label and its fate under a policy.

    An adjudication settles its pair: "drop" and "soft" do not apply to it. Under "soft" the label
    is that of the people; a human tie takes the side that the soft label leans to.

    Raises:
        BadInput: A minimum confidence, and the AI gave no probability on any pair.
    """
    ai = evidence.ai_label
    human, p_human, n_votes, source = _human(evidence)
    has_human = human != NONE
    both = has_human & (ai != NONE)
    agrees = np.where(both, human == ai, -1).astype(np.int8)
    ai_p = ai_soft_label(ai, evidence.ai_p_a)
    label = np.where(has_human, human, ai)
    p_a = np.where(has_human, p_human, ai_p)
    fate = np.full(len(ai), KEPT, dtype=np.int8)
    steps = []

    # 1. a pair needs a label
    fate[~has_human & (ai == NONE)] = evidence.ai_absence[~has_human & (ai == NONE)]
    if policy.human_only:
        fate[~has_human & (ai != NONE)] = NO_HUMAN_LABEL
    steps.append(
        _step("label", "a person's" if policy.human_only else "a person's, else the AI's", fate, ())
    )

    # 2. people against the AI
    differ = (agrees == 0) & (source != ADJUDICATED)
    if policy.disagreement == "drop":
        fate[differ & (fate == KEPT)] = DISAGREEMENT
    elif policy.disagreement == "soft":
        p_a = np.where(differ, (n_votes * p_human + ai_p) / (n_votes + 1), p_a)
        leaning = np.where(p_a > 0.5, A, np.where(p_a < 0.5, B, TIE))
        label = np.where(differ & (human == TIE), leaning, label)
    notes = {
        "with a human and an AI label": int(both.sum()),
        "in agreement": int((agrees == 1).sum()),
        "in disagreement": int((agrees == 0).sum()),
        "in disagreement, settled by adjudication": int(((agrees == 0) & ~differ).sum()),
    }
    steps.append(_step("disagreement", policy.disagreement, fate, steps, notes))

    # 3. doubtful AI labels
    by_ai = (source == AI) & (fate == KEPT)
    if policy.min_confidence is not None:
        if by_ai.any() and np.isnan(evidence.ai_p_a[by_ai]).all():
            raise BadInput(
                "min-confidence: the AI gave no probability (p_a) on any of these pairs; leave the "
                "option out or import verdicts with p_a"
            )
        unknown = np.isnan(evidence.ai_p_a)
        confidence = np.maximum(ai_p, 1.0 - ai_p)
        fate[by_ai & ~unknown & (confidence < policy.min_confidence)] = LOW_CONFIDENCE
        fate[by_ai & unknown] = NO_CONFIDENCE
    minimum = "no minimum" if policy.min_confidence is None else f"at least {policy.min_confidence}"
    steps.append(_step("AI confidence", minimum, fate, steps))

    # 4. nothing to prefer
    if policy.identical == "drop":
        fate[evidence.identical & (fate == KEPT)] = IDENTICAL
    notes = {"identical, kept": int((evidence.identical & (fate == KEPT)).sum())}
    steps.append(_step("identical responses", policy.identical, fate, steps, notes))

    # 5. ties
    tied = (label == TIE) & (fate == KEPT)
    if policy.ties == "drop":
        fate[tied] = TIED
    notes = {"ties": int(tied.sum())}
    steps.append(_step("ties", policy.ties, fate, steps, notes))

    kept = fate == KEPT
    by_source, by_label = tallies(source[kept], label[kept])
    counts = Counts(len(fate), int(kept.sum()), tuple(steps), by_source, by_label)
    weight = _weights(evidence.inclusion_prob, kept, policy)
    return Curated(fate, label, p_a, source, human, n_votes, agrees, weight, counts)


def tallies(source: IntArray, label: IntArray) -> tuple[dict[str, int], dict[str, int]]:
    """How many pairs have each source and each label; "none" where they have none."""
    return (
        _tally(np.where(source < 0, len(SOURCES), source), (*SOURCES, "none")),
        _tally(np.where(label < 0, len(LABEL_NAMES), label), (*LABEL_NAMES, "none")),
    )


def ai_soft_label(label: IntArray, p_a: FloatArray) -> FloatArray:
    """The AI's p_a, or 1, 0, 1/2 where it gave none; never on the other side from its label.

    (Under the rule "majority" the mean p_a of the judges may lean away from the label of most.)
    """
    low = np.array([0.5, 0.0, 0.5, np.nan])[label]
    high = np.array([1.0, 0.5, 0.5, np.nan])[label]
    return np.where(np.isnan(p_a), _P_OF_LABEL[label], np.clip(p_a, low, high))


def _human(evidence: Evidence) -> tuple[IntArray, FloatArray, IntArray, IntArray]:
    """The human label by precedence, its soft form, the labels behind it, the pair's source."""
    in_round = evidence.round_votes.sum(axis=1) > 0
    votes = np.where(in_round[:, None], evidence.round_votes, evidence.imported_votes)
    label, n_votes = majority(votes), votes.sum(axis=1, dtype=np.int32)
    with np.errstate(invalid="ignore"):  # 0/0 where nobody voted is NaN, as it should be
        share = (votes[:, A] + 0.5 * votes[:, TIE]) / n_votes
    settled = evidence.adjudicated != NONE
    label = np.where(settled, evidence.adjudicated, label)
    # A tie is one half whatever the shares were (one vote for A and one tie is no majority).
    share = np.where(settled | (label == TIE), _P_OF_LABEL[label], share)
    n_votes = np.where(settled, 1, n_votes)
    source = np.where(settled, ADJUDICATED, np.where(label != NONE, HUMAN, AI))
    source[(label == NONE) & (evidence.ai_label == NONE)] = NONE
    return label, share, n_votes, source.astype(np.int8)


def _weights(inclusion_prob: FloatArray, kept: BoolArray, policy: Policy) -> FloatArray:
    """1 for a set of all pairs: each stands for itself. A set of the audited pairs alone is a
    sample, so there 1 / inclusion probability, scaled to mean 1; 1 where none is known.
    """
    weight = np.ones(len(kept))
    known = kept & (inclusion_prob > 0)
    if policy.human_only and known.any():
        inverse = 1.0 / inclusion_prob[known]
        weight[known] = inverse / inverse.mean()
    return weight


def _step(
    name: str,
    policy: str,
    fate: IntArray,
    before: list[Step] | tuple[()],
    notes: dict[str, int] | None = None,
) -> Step:
    n_in = before[-1].n_out if before else len(fate)
    seen = {reason for step in before for reason in step.dropped}
    dropped = {
        reason: n for reason, n in _tally(fate[fate != KEPT], FATES).items() if reason not in seen
    }
    return Step(name, policy, n_in, int((fate == KEPT).sum()), dropped, notes or {})


def _tally(codes: IntArray, names: tuple[str, ...]) -> dict[str, int]:
    counted = np.bincount(codes, minlength=len(names))
    return {name: int(n) for name, n in zip(names, counted, strict=True) if n}
