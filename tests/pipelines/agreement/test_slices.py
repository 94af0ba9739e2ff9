import numpy as np
import pytest

from pipelines.agreement.slices import agreement_by_slice, by_confidence, by_length_gap
from pipelines.errors import BadInput


def test_agreement_by_slice_by_hand():
    reference = np.array([0, 0, 1, 1, 2, -1, 0])
    verdict = np.array([0, 1, 1, 1, 0, 0, -1])
    group = np.array([0, 0, 1, 1, 1, 1, 1])
    slices = agreement_by_slice(
        reference, verdict, np.arange(7), group, ("simple", "complex", "none")
    )
    assert [(s.name, s.n_pairs) for s in slices] == [("simple", 2), ("complex", 3), ("none", 0)]
    assert [s.agreement and s.agreement.estimate for s in slices] == [0.5, 2 / 3, None]


def test_a_slice_whose_prompts_repeat_is_clustered():
    label = np.zeros(4, dtype=int)
    group = np.array([0, 0, 1, 1])
    one, other = agreement_by_slice(label, label, np.array([0, 0, 1, 2]), group, ("x", "y"))
    assert one.agreement.method == "cluster"
    assert other.agreement.method == "wilson"


def test_every_pair_is_in_the_slice_of_its_group_only():
    rng = np.random.default_rng(0)
    reference, verdict = rng.integers(-1, 3, 500), rng.integers(-1, 3, 500)
    group = rng.integers(-1, 4, 500)
    slices = agreement_by_slice(reference, verdict, np.arange(500), group, tuple("wxyz"))
    usable = (reference >= 0) & (verdict >= 0)
    for number, found in enumerate(slices):
        mine = usable & (group == number)
        assert found.n_pairs == mine.sum()
        assert found.agreement.estimate == np.mean(reference[mine] == verdict[mine])


def test_a_group_without_a_name_is_an_error():
    label = np.zeros(2, dtype=int)
    with pytest.raises(BadInput, match="slice 3"):
        agreement_by_slice(label, label, label, np.array([0, 3]), ("only",))


def test_length_groups_speak_of_the_response_that_the_ai_chose():
    chars_a, chars_b = np.array([999, 999, 99, 100, 100]), np.array([99, 99, 999, 105, 100])
    group, names = by_length_gap(chars_a, chars_b, np.array([0, 1, 1, 0, 2]))
    assert names[group[0]] == names[group[2]] == "twice as long"
    assert names[group[1]] == "half as long"
    assert names[group[3]] == "about as long"
    assert group[4] == -1


def test_confidence_groups_are_the_same_for_p_and_its_complement():
    p_a = np.array([0.97, 0.03, 0.5, 0.75, np.nan])
    group, names = by_confidence(p_a)
    assert [names[g] for g in group[:4]] == ["p .95-1", "p .95-1", "p .50-.60", "p .70-.80"]
    assert group[4] == -1
