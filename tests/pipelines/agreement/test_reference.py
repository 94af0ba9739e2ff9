from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.agreement.annotations import NONE, TIE, A, Annotations, B
from pipelines.agreement.reference import human_reference, rater_pairs, votes_of
from pipelines.errors import BadInput

NAMES = ("ana", "ben", "cy", "dee")


def labelled(votes, n_pairs=6):
    """Annotations with only human labels, (pair, annotator, label) each."""
    pair, annotator, label = np.array(votes, dtype=int).reshape(-1, 3).T
    nothing = np.zeros(0, dtype=int)
    return Annotations(
        n_pairs=n_pairs,
        prompt=np.arange(n_pairs),
        judges=(),
        verdict_pair=nothing,
        verdict_judge=nothing,
        verdict_order=nothing,
        verdict_label=nothing,
        verdict_p_a=np.zeros(0),
        verdict_failure=nothing,
        annotators=NAMES,
        label_pair=pair,
        label_annotator=annotator,
        label_value=label,
    )


many_votes = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 2)), max_size=40
)


def test_more_than_half_of_the_votes_is_a_majority_and_nothing_else():
    votes = labelled(
        [
            *[(0, 0, A), (0, 1, A), (0, 2, B)],  # two of three
            *[(1, 0, A), (1, 1, B)],  # one of two: no majority
            *[(2, 0, A), (2, 1, B), (2, 2, TIE)],  # all different
            *[(3, 0, A), (3, 1, A), (3, 2, B), (3, 3, TIE)],  # two of four: a half is no majority
            (4, 2, B),
        ]
    )
    assert human_reference(votes).tolist() == [A, TIE, TIE, TIE, B, NONE]


def test_one_annotator_may_be_the_reference():
    votes = labelled([(0, 0, A), (0, 1, B), (1, 0, TIE), (2, 1, A)])
    assert human_reference(votes, "ben").tolist() == [B, NONE, A, NONE, NONE, NONE]


def test_an_unknown_annotator_is_named_with_the_nearest_one():
    with pytest.raises(BadInput, match='no annotator is called "anna"; did you mean "ana"'):
        human_reference(labelled([(0, 0, A)]), "anna")


def test_a_changed_mind_counts_once_and_last():
    votes = votes_of(labelled([(0, 0, A), (1, 1, B), (0, 0, B), (0, 1, A)]))
    assert votes.pair.tolist() == [0, 0, 1]
    assert votes.annotator.tolist() == [0, 1, 1]
    assert votes.label.tolist() == [B, A, B]


@given(many_votes)
def test_the_reference_equals_its_slow_definition(votes):
    annotations = labelled(votes)
    last = {(pair, who): label for pair, who, label in votes}
    for pair, found in enumerate(human_reference(annotations)):
        labels = Counter(label for (where, _), label in last.items() if where == pair)
        expected = NONE
        if labels:
            label, count = labels.most_common(1)[0]
            expected = label if 2 * count > labels.total() else TIE
        assert found == expected


@given(many_votes)
def test_couples_of_annotators_equal_their_slow_definition(votes):
    annotations = labelled(votes)
    last = {(pair, who): label for pair, who, label in votes}
    slow = {}
    for a in range(4):
        for b in range(a + 1, 4):
            shared = [pair for pair in range(6) if (pair, a) in last and (pair, b) in last]
            if shared:
                slow[a, b] = [(pair, last[pair, a], last[pair, b]) for pair in shared]
    fast = {
        (couple.first, couple.second): list(
            zip(
                couple.pair.tolist(),
                couple.first_label.tolist(),
                couple.second_label.tolist(),
                strict=True,
            )
        )
        for couple in rater_pairs(votes_of(annotations))
    }
    assert fast == slow
    assert list(fast) == sorted(fast)
