"""Curation: precedence of labels, each policy by hand, properties that hold for any evidence."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.agreement.annotations import NONE, TIE, A, Annotations, B
from pipelines.agreement.reference import human_reference
from pipelines.errors import BadInput
from pipelines.preferences.curate import (
    ADJUDICATED,
    AI,
    DISAGREEMENT,
    FATES,
    HUMAN,
    IDENTICAL,
    JUDGE_ABSTAINED,
    JUDGE_FAILED,
    KEPT,
    LOW_CONFIDENCE,
    NO_CONFIDENCE,
    NO_HUMAN_LABEL,
    NO_VERDICT,
    TIED,
    Curated,
    Evidence,
    Policy,
    absence,
    curate,
    majority,
    vote_counts,
)

NAN = float("nan")
EMPTY = np.array([], dtype=np.int64)
NOTHING = Annotations(
    n_pairs=0,
    prompt=EMPTY,
    judges=(),
    verdict_pair=EMPTY,
    verdict_judge=EMPTY,
    verdict_order=EMPTY,
    verdict_label=EMPTY,
    verdict_p_a=EMPTY.astype(float),
    verdict_failure=EMPTY,
    annotators=(),
    label_pair=EMPTY,
    label_annotator=EMPTY,
    label_value=EMPTY,
)


def evidence(
    ai: list[int],
    *,
    p: list[float] | None = None,
    why: list[int] | None = None,
    imported: list[tuple[int, int, int]] | None = None,
    votes: list[tuple[int, int, int]] | None = None,
    adjudicated: list[int] | None = None,
    identical: list[bool] | None = None,
    inclusion: list[float] | None = None,
) -> Evidence:
    n = len(ai)
    return Evidence(
        ai_label=np.array(ai, dtype=np.int8),
        ai_p_a=np.array(p if p is not None else [NAN] * n),
        ai_absence=np.array(why if why is not None else [JUDGE_FAILED] * n, dtype=np.int8),
        imported_votes=np.array(imported or [(0, 0, 0)] * n),
        round_votes=np.array(votes or [(0, 0, 0)] * n),
        adjudicated=np.array(adjudicated or [NONE] * n, dtype=np.int8),
        identical=np.array(identical or [False] * n),
        inclusion_prob=np.array(inclusion or [NAN] * n),
    )


def test_majority_is_the_label_of_more_than_half_and_otherwise_a_tie() -> None:
    votes = np.array([(2, 1, 0), (1, 1, 0), (1, 1, 1), (0, 0, 1), (0, 0, 0), (0, 3, 2), (2, 1, 1)])
    assert majority(votes).tolist() == [A, TIE, TIE, TIE, NONE, B, TIE]


def test_majority_is_the_human_reference_of_the_agreement_report() -> None:
    rng = np.random.default_rng(3)
    n, k = 300, 5
    pair, annotator = np.divmod(np.flatnonzero(rng.random(n * k) < 0.5), k)
    label = rng.integers(0, 3, len(pair))
    annotations = replace(
        NOTHING,
        n_pairs=n,
        annotators=tuple("abcde"),
        label_pair=pair,
        label_annotator=annotator,
        label_value=label,
    )
    ours = majority(vote_counts(n, pair, label))
    assert ours.tolist() == human_reference(annotations).tolist()


def test_votes_in_long_form_are_counted_by_pair_and_label() -> None:
    counted = vote_counts(3, np.array([0, 0, 2, 0]), np.array([A, TIE, B, A]))
    assert counted.tolist() == [[2, 0, 1], [0, 0, 0], [0, 1, 0]]


def test_adjudication_beats_round_votes_beat_imported_labels_beat_the_ai() -> None:
    curated = curate(
        evidence(
            [A, A, A, A],
            imported=[(0, 3, 0), (3, 0, 0), (0, 1, 0), (0, 0, 0)],
            votes=[(0, 1, 0), (0, 1, 0), (0, 0, 0), (0, 0, 0)],
            adjudicated=[A, NONE, NONE, NONE],
        ),
        Policy(),
    )
    assert curated.label.tolist() == [A, B, B, A]
    assert curated.source.tolist() == [ADJUDICATED, HUMAN, HUMAN, AI]
    assert curated.p_a.tolist() == [1.0, 0.0, 0.0, 1.0]
    assert curated.counts.kept_by_source == {"ai": 1, "human": 2, "adjudicated": 1}


def test_a_soft_human_label_is_the_share_of_the_votes_with_ties_as_one_half() -> None:
    curated = curate(evidence([NONE] * 2, votes=[(2, 1, 0), (2, 0, 2)]), Policy(ties="half"))
    # 2 of 3 votes for A; two against two is no majority, a tie, so one half and not 3/4
    assert curated.p_a.tolist() == [pytest.approx(2 / 3), 0.5]


def test_disagreement_policies_by_hand() -> None:
    # pair 0: one vote for A against an AI that gives A 0.2; pair 1: they agree;
    # pair 2: three votes, 2:1 for A, against a hard B; pair 3: a human tie against AI A 0.9
    given_ = evidence(
        [B, A, B, A],
        p=[0.2, 0.8, NAN, 0.9],
        votes=[(1, 0, 0), (1, 0, 0), (2, 1, 0), (0, 0, 1)],
    )
    override = curate(given_, Policy(ties="half"))
    assert override.label.tolist() == [A, A, A, TIE]
    assert override.p_a.tolist() == [1.0, 1.0, pytest.approx(2 / 3), 0.5]
    dropped = curate(given_, Policy(disagreement="drop"))
    assert dropped.fate.tolist() == [DISAGREEMENT, KEPT, DISAGREEMENT, DISAGREEMENT]
    soft = curate(given_, Policy(disagreement="soft"))
    # (1 + 0.2)/2; untouched; (2 + 0)/4, the people's side stays; (0.5 + 0.9)/2
    assert soft.p_a.tolist() == [0.6, 1.0, 0.5, 0.7]
    assert soft.label.tolist() == [A, A, A, A]
    notes = soft.counts.steps[1].notes
    assert notes["in agreement"] == 1
    assert notes["in disagreement"] == 3


def test_an_adjudicated_pair_is_settled_so_drop_and_soft_leave_it() -> None:
    given_ = evidence([A], p=[0.9], votes=[(1, 0, 0)], adjudicated=[B])
    for disagreement in ("override", "drop", "soft"):
        curated = curate(given_, Policy(disagreement=disagreement))
        assert (curated.fate[0], curated.label[0], curated.p_a[0]) == (KEPT, B, 0.0)


def test_pairs_without_an_ai_label_are_dropped_by_reason_unless_a_person_labelled() -> None:
    why = [JUDGE_FAILED, JUDGE_ABSTAINED, NO_VERDICT, JUDGE_FAILED]
    curated = curate(evidence([NONE] * 4, why=why, votes=[(0, 0, 0)] * 3 + [(0, 1, 0)]), Policy())
    assert curated.fate.tolist() == [*why[:3], KEPT]
    assert curated.counts.steps[0].dropped == {
        "judge failed": 1,
        "judge abstained": 1,
        "no AI verdict": 1,
    }


def test_the_reason_for_a_missing_ai_label_is_read_from_the_judges_own_verdicts() -> None:
    annotations = replace(
        NOTHING,
        n_pairs=4,
        judges=("x", "y"),
        verdict_pair=np.array([0, 0, 1, 2]),
        verdict_judge=np.array([0, 0, 0, 1]),
        verdict_order=np.array([0, 1, 0, 0]),
        verdict_label=np.array([A, B, NONE, A]),
        verdict_p_a=np.full(4, NAN),
        verdict_failure=np.array([-1, -1, 0, -1]),
    )
    assert absence(annotations, "x").tolist() == [
        JUDGE_ABSTAINED,
        JUDGE_FAILED,
        NO_VERDICT,
        NO_VERDICT,
    ]
    assert absence(annotations)[2] == JUDGE_ABSTAINED


def test_the_soft_label_of_an_ai_label_never_leans_to_the_other_side() -> None:
    # the rule "majority": two of three judges say A, their mean p_a leans to B; a tie; a clear A
    curated = curate(evidence([A, TIE, A], p=[0.4, 0.6, 0.8]), Policy(ties="half"))
    assert curated.p_a.tolist() == [0.5, 0.5, 0.8]


def test_the_least_confidence_is_asked_of_ai_labels_only() -> None:
    curated = curate(
        evidence([A, B, A, B], p=[0.6, 0.1, NAN, 0.4], votes=[(0, 0, 0)] * 3 + [(0, 1, 0)]),
        Policy(min_confidence=0.8),
    )
    assert curated.fate.tolist() == [LOW_CONFIDENCE, KEPT, NO_CONFIDENCE, KEPT]


def test_a_least_confidence_without_any_probability_is_refused() -> None:
    with pytest.raises(BadInput, match="no probability"):
        curate(evidence([A, B]), Policy(min_confidence=0.8))


def test_ties_and_identical_responses_by_policy() -> None:
    given_ = evidence([TIE, TIE, A], identical=[False, True, True])
    assert curate(given_, Policy()).fate.tolist() == [TIED, IDENTICAL, IDENTICAL]
    kept = curate(given_, Policy(ties="keep", identical="keep"))
    assert kept.fate.tolist() == [KEPT] * 3
    assert kept.p_a.tolist() == [0.5, 0.5, 1.0]
    assert kept.counts.steps[3].notes == {"identical, kept": 2}


def test_weights_are_one_in_a_set_of_all_pairs_and_inverse_probabilities_in_an_audited_sample() -> (
    None
):
    given_ = evidence(
        [A, A, A, A],
        votes=[(1, 0, 0), (1, 0, 0), (0, 0, 0), (0, 0, 0)],
        imported=[(0, 0, 0)] * 2 + [(1, 0, 0), (0, 0, 0)],
        inclusion=[0.1, 0.3, NAN, NAN],
    )
    assert curate(given_, Policy()).weight.tolist() == [1.0] * 4
    sample = curate(given_, Policy(human_only=True))
    # 10 and 10/3, scaled to mean 1: 1.5 and 0.5; an imported label has no known probability
    assert sample.weight[:3].tolist() == [pytest.approx(1.5), pytest.approx(0.5), 1.0]
    assert sample.fate.tolist() == [KEPT, KEPT, KEPT, NO_HUMAN_LABEL]


@pytest.mark.parametrize(
    "wrong", [{"ties": "skip"}, {"disagreement": "x"}, {"identical": "?"}, {"min_confidence": 0.3}]
)
def test_an_unknown_policy_is_one_clear_sentence(wrong: dict[str, object]) -> None:
    with pytest.raises(BadInput, match=r"is not"):
        Policy(**wrong)


LABEL = st.sampled_from([A, B, TIE, NONE])
VOTES = st.tuples(*[st.integers(0, 3)] * 3) | st.just((0, 0, 0))
POLICY = st.builds(
    Policy,
    disagreement=st.sampled_from(["override", "drop", "soft"]),
    ties=st.sampled_from(["drop", "keep", "half"]),
    identical=st.sampled_from(["drop", "keep"]),
    min_confidence=st.none() | st.just(0.8),
    human_only=st.booleans(),
)


@st.composite
def any_evidence(draw: st.DrawFn) -> Evidence:
    n = draw(st.integers(1, 12))

    def column(values: st.SearchStrategy[object]) -> list[object]:
        return draw(st.lists(values, min_size=n, max_size=n))

    ai = column(LABEL)
    sides = {A: (0.51, 1.0), B: (0.0, 0.49), TIE: (0.5, 0.5)}
    p = [
        draw(st.floats(*sides[x]) | st.floats(0, 1) | st.just(NAN)) if x != NONE else NAN
        for x in ai
    ]
    p[0], ai[0] = 0.75, A  # so that a least confidence is never refused
    return evidence(
        ai,
        p=p,
        why=column(st.sampled_from([NO_VERDICT, JUDGE_FAILED, JUDGE_ABSTAINED])),
        imported=[*column(VOTES)[:-1], (0, 0, 0)],
        votes=column(VOTES),
        adjudicated=column(LABEL | st.just(NONE)),
        identical=column(st.booleans()),
        inclusion=column(st.sampled_from([0.1, 0.5, NAN])),
    )


def run(given_: Evidence, policy: Policy) -> Curated | None:
    try:
        return curate(given_, policy)
    except BadInput:  # a least confidence, and every AI label left has no probability
        return None


@settings(deadline=None, max_examples=200)
@given(any_evidence(), POLICY)
def test_every_pair_ends_under_exactly_one_fate_and_the_steps_add_up(
    given_: Evidence, policy: Policy
) -> None:
    curated = run(given_, policy)
    if curated is None:
        return
    counts = curated.counts
    dropped = [item for step in counts.steps for item in step.dropped.items()]
    assert len({reason for reason, _ in dropped}) == len(dropped)  # a reason has one step
    assert counts.n_kept + sum(n for _, n in dropped) == counts.n_pairs == len(given_.ai_label)
    for reason, n in dropped:
        assert n == int((curated.fate == FATES.index(reason)).sum())
    before = counts.n_pairs
    for step in counts.steps:
        assert step.n_in == before
        assert step.n_in - step.n_out == sum(step.dropped.values())
        before = step.n_out
    assert sum(counts.kept_by_source.values()) == sum(counts.kept_by_label.values()) == before


@settings(deadline=None, max_examples=200)
@given(any_evidence(), POLICY)
def test_what_is_kept_has_a_label_a_source_and_a_soft_label_on_its_side(
    given_: Evidence, policy: Policy
) -> None:
    curated = run(given_, policy)
    if curated is None:
        return
    kept = curated.fate == KEPT
    p_chosen = np.where(curated.label == B, 1 - curated.p_a, curated.p_a)[kept]
    assert (curated.label[kept] != NONE).all()
    assert (curated.source[kept] >= 0).all()
    assert (p_chosen >= 0.5).all()
    assert (curated.p_a[kept & (curated.label == TIE)] == 0.5).all()
    if policy.ties == "drop":
        assert (curated.label[kept] != TIE).all()


@settings(deadline=None, max_examples=200)
@given(any_evidence(), POLICY)
def test_swapping_the_responses_of_every_pair_swaps_the_labels_and_nothing_else(
    given_: Evidence, policy: Policy
) -> None:
    swap = np.array([B, A, TIE, NONE])
    swapped = replace(
        given_,
        ai_label=swap[given_.ai_label],
        ai_p_a=1 - given_.ai_p_a,
        imported_votes=given_.imported_votes[:, [B, A, TIE]],
        round_votes=given_.round_votes[:, [B, A, TIE]],
        adjudicated=swap[given_.adjudicated],
    )
    one, other = (
        run(given_, replace(policy, min_confidence=None)),
        run(swapped, replace(policy, min_confidence=None)),
    )
    assert one is not None
    assert other is not None
    assert other.fate.tolist() == one.fate.tolist()
    assert other.label.tolist() == swap[one.label].tolist()
    np.testing.assert_allclose(other.p_a, 1 - one.p_a, atol=1e-12)
    np.testing.assert_array_equal(other.weight, one.weight)


@settings(deadline=None, max_examples=200)
@given(any_evidence(), POLICY)
def test_override_always_follows_the_human_label(given_: Evidence, policy: Policy) -> None:
    curated = run(given_, replace(policy, disagreement="override"))
    if curated is None:
        return
    labelled = (curated.human_label != NONE) & (curated.fate == KEPT)
    assert (curated.label == curated.human_label)[labelled].all()
    assert (curated.source[labelled] != AI).all()
    assert not (curated.fate == DISAGREEMENT).any()
