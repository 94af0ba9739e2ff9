"""Verdicts to one label per pair."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.agreement.annotations import LABEL_NAMES, NONE, Annotations, Doubt
from pipelines.errors import BadInput
from pipelines.formats.reading import read_pairs
from pipelines.preferences.annotations import AnnotationsBuilder
from pipelines.preferences.combine import combine, combine_judge, combine_rule
from pipelines.records import Judgment, PreferencePair

N_SEEN = 3


def annotations_of(pairs: list[PreferencePair]) -> Annotations:
    builder = AnnotationsBuilder()
    for pair in pairs:
        builder.add(pair)
    return builder.build()


def pair_of(*judgments: Judgment) -> PreferencePair:
    return PreferencePair(id="x", prompt="p", response_a="a", response_b="b", ai=judgments)


def judged(*verdicts: str | float | None, judge: str = "j") -> PreferencePair:
    """A pair with one judge's verdicts: a label, a p_a, or None for a failure."""
    judgments = []
    for verdict in verdicts:
        given = {"failure": "unparsed"} if verdict is None else {"label": verdict}
        if isinstance(verdict, float):
            given = {"p_a": verdict}
        judgments.append(Judgment.model_validate({"judge": judge, **given}))
    return pair_of(*judgments)


def label_of(*verdicts: str | float | None) -> str:
    combined = combine_judge(annotations_of([judged(*verdicts)]), "j")
    code = int(combined.label[0])
    return "none" if code == NONE else LABEL_NAMES[code]


@pytest.mark.parametrize(
    ("verdicts", "label"),
    [
        (["A"], "A"),
        (["A", "A"], "A"),
        (["A", "B"], "none"),  # without p_a, orders that disagree abstain
        (["A", "tie"], "none"),
        (["tie", "tie"], "tie"),
        ([None], "none"),
        ([None, "B"], "B"),  # a failure is left out, never scored
        ([0.9, 0.2], "A"),  # mean .55
        ([0.7, 0.1], "B"),
        ([0.7, 0.3], "tie"),
        ([0.7, 1 - 0.7], "tie"),  # .30000000000000004
        ([0.4, "A"], "B"),  # where some verdict has p_a, the others' labels do not count
    ],
)
def test_one_judge_by_hand(verdicts, label):
    assert label_of(*verdicts) == label


def test_failures_and_abstentions_are_counted_apart():
    annotations = annotations_of([judged("A", "B"), judged(None), judged("A"), pair_of()])
    combined = combine_judge(annotations, "j")
    assert (combined.n_failed, combined.n_abstained) == (1, 1)
    assert combined.label.tolist() == [NONE, NONE, 0, NONE]
    assert np.isnan(combined.p_a).all()


def doubted(doubt: Doubt, *verdicts: str | float | None) -> tuple[str, int, int]:
    annotations = replace(annotations_of([judged(*verdicts)]), doubt={"j": doubt})
    combined = combine_judge(annotations, "j")
    code = int(combined.label[0])
    label = "none" if code == NONE else LABEL_NAMES[code]
    return label, combined.n_abstained, combined.n_unsure


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([0.9, 0.5], ("A", 0, 0)),  # mean .7 is not below .7
        ([0.9, 0.45], ("none", 1, 1)),
        ([0.25, 0.25], ("B", 0, 0)),
        ([0.95, 0.05], ("none", 1, 1)),  # it changed its mind with the order
        (["A", "A"], ("A", 0, 0)),  # a bare label states no doubt
        (["A", "B"], ("none", 1, 0)),
        ([None], ("none", 0, 0)),  # a failure is no abstention
        ([0.5, 0.5], ("none", 1, 1)),
    ],
)
def test_confidence_under_the_judges_threshold_is_an_abstention_and_counted(verdicts, expected):
    assert doubted(Doubt(0.7), *verdicts) == expected


def test_a_tie_in_words_stands_and_an_unsure_label_keeps_its_soft_label():
    assert doubted(Doubt(0.85, ties_stand=True), 0.5, 0.5) == ("tie", 0, 0)
    assert doubted(Doubt(0.85, ties_stand=True), 0.9, 0.1) == ("none", 1, 1)  # A, then B
    annotations = replace(annotations_of([judged(0.6)]), doubt={"j": Doubt(0.7)})
    assert combine_judge(annotations, "j").p_a[0] == 0.6


def test_a_rule_over_judges_does_not_count_one_that_abstains_for_doubt():
    pair = pair_of(
        Judgment(judge="j", p_a=0.4), Judgment(judge="k", p_a=0.8), Judgment(judge="l", p_a=0.8)
    )
    annotations = annotations_of([pair])
    doubted = replace(annotations, doubt={"j": Doubt(0.7)})
    assert combine_rule(annotations, "mean").p_a[0] == pytest.approx(2.0 / 3.0)
    assert combine_rule(doubted, "mean").p_a[0] == pytest.approx(0.8)
    silent = replace(annotations, doubt={judge: Doubt(0.9) for judge in "jkl"})
    for rule in ("majority", "mean"):
        combined = combine_rule(silent, rule)
        assert (combined.label[0], combined.n_abstained, combined.n_failed) == (NONE, 1, 0)


def test_rules_over_judges_by_hand():
    def pair(*labels: str | float | None) -> PreferencePair:
        pairs = [judged(label, judge=f"j{place}") for place, label in enumerate(labels)]
        return pair_of(*(judgment for pair in pairs for judgment in pair.ai))

    annotations = annotations_of(
        [
            pair("A", "A", "B"),
            pair("A", "B", None),
            pair("A", "B", "tie"),
            pair(None, None, None),
            pair(0.4, 0.4, 0.9),  # majority B, mean .567
            pair(0.8, "B", None),  # mean of .8 and 0
        ]
    )
    majority = combine_rule(annotations, "majority")
    mean = combine_rule(annotations, "mean")
    assert majority.label.tolist() == [0, 2, 2, NONE, 1, 2]
    assert mean.label.tolist() == [0, 2, 2, NONE, 0, 1]
    assert mean.p_a[[0, 4, 5]] == pytest.approx([2 / 3, 1.7 / 3, 0.4])
    assert (majority.n_failed, majority.n_abstained) == (1, 0)


def test_an_unknown_label_names_the_choices():
    annotations = annotations_of([judged("A")])
    with pytest.raises(BadInput, match="j, majority, mean"):
        combine(annotations, "gpt")
    with pytest.raises(BadInput, match="nothing to combine"):
        combine(annotations_of([pair_of()]), "mean")
    assert combine(annotations, "j").label.tolist() == combine(annotations, "mean").label.tolist()


verdicts = st.builds(
    lambda judge, order, kind: Judgment.model_validate({"judge": judge, "order": order, **kind}),
    st.sampled_from(["j0", "j1", "j2"]),
    st.sampled_from(["ab", "ba", None]),
    st.sampled_from(
        [{"failure": "unparsed"}, *({"label": name} for name in LABEL_NAMES)]
        + [{"p_a": p_a} for p_a in (0.0, 0.1, 0.3, 0.5, 0.7, 1.0)]
    ),
)
pair_lists = st.lists(
    st.lists(verdicts, max_size=6).map(lambda ai: pair_of(*ai)), min_size=1, max_size=6
)
rules = st.sampled_from(["j0", "majority", "mean"])
ALL_JUDGES = pair_of(*(Judgment(judge=f"j{place}", failure="error") for place in range(N_SEEN)))


@given(pair_lists, rules, st.randoms(use_true_random=False))
def test_the_order_of_verdicts_does_not_matter(pairs, rule, random):
    shuffled = [
        pair.model_copy(update={"ai": tuple(random.sample(pair.ai, len(pair.ai)))})
        for pair in pairs
    ]
    one = combine(annotations_of([ALL_JUDGES, *pairs]), rule)
    other = combine(annotations_of([ALL_JUDGES, *shuffled]), rule)
    np.testing.assert_array_equal(one.label, other.label)
    np.testing.assert_allclose(one.p_a, other.p_a)


@given(pair_lists, rules)
def test_swapping_the_responses_swaps_every_label(pairs, rule):
    one = combine(annotations_of([ALL_JUDGES, *pairs]), rule)
    other = combine(annotations_of([ALL_JUDGES, *(pair.swap() for pair in pairs)]), rule)
    swapped = np.array([1, 0, 2, NONE])
    np.testing.assert_array_equal(swapped[one.label], other.label)
    np.testing.assert_allclose(1 - one.p_a, other.p_a, atol=1e-12)
    assert (one.n_failed, one.n_abstained) == (other.n_failed, other.n_abstained)


def _from_file(path: Path) -> Annotations:
    return annotations_of([row for row in read_pairs(path) if isinstance(row, PreferencePair)])


def test_pandalms_published_accuracies_come_out(shared_data):
    expected = json.loads((shared_data / "expected.json").read_text())["pandalm"]
    annotations = _from_file(shared_data / "pandalm.jsonl")
    votes = np.zeros((annotations.n_pairs, 3), dtype=int)
    np.add.at(votes, (annotations.label_pair, annotations.label_value), 1)
    top = votes.max(axis=1)
    reference = np.where((votes == top[:, None]).sum(axis=1) == 1, votes.argmax(axis=1), 2)
    assert np.bincount(reference).tolist() == [422, 472, 105]

    llama = combine_judge(annotations, "pandalm-7b")
    assert (
        round(100 * (llama.label == reference).mean(), 2)
        == (expected["judge_vs_majority"]["pandalm-7b"]["published"]["accuracy"])
    )
    gpt = combine_judge(annotations, "gpt-3.5-turbo")
    figures = expected["judge_vs_majority"]["gpt-3.5-turbo"]
    assert gpt.n_failed == figures["unparsed"]
    answered = gpt.label != NONE
    assert (
        round(100 * (gpt.label == reference)[answered].mean(), 2)
        == (figures["unparsed_dropped"]["accuracy"])
    )
    assert (
        round(100 * (gpt.label == reference).mean(), 2) == figures["unparsed_as_wrong"]["accuracy"]
    )


def test_llmbars_flips_are_the_abstentions(shared_data):
    expected = json.loads((shared_data / "expected.json").read_text())["llmbar-natural-small"]
    annotations = _from_file(shared_data / "llmbar-natural-small.jsonl")
    assert set(annotations.judges) == set(expected["judges"])
    for judge, figures in expected["judges"].items():
        assert combine_judge(annotations, judge).n_abstained == figures["flips"], judge
