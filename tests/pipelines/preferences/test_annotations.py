"""From records to arrays."""

import json

import numpy as np
import pytest

from pipelines.agreement.annotations import NONE, Annotations
from pipelines.formats.reading import read_pairs
from pipelines.preferences.annotations import AnnotationsBuilder
from pipelines.records import HumanLabel, Judgment, PreferencePair


def built(*pairs: PreferencePair) -> Annotations:
    builder = AnnotationsBuilder()
    for pair in pairs:
        builder.add(pair)
    return builder.build()


def test_arrays_by_hand():
    one = PreferencePair(
        id="1",
        prompt="p",
        response_a="a",
        response_b="b",
        ai=(
            Judgment(judge="j", order="ba", p_a=0.25),
            Judgment(judge="k", failure="refused"),
        ),
        human=(HumanLabel(annotator="ana", label="tie"),),
    )
    two = PreferencePair(
        id="2",
        prompt="p",
        response_a="same",
        response_b="same",
        ai=(Judgment(judge="k", order="ab", label="A"),),
        human=(HumanLabel(annotator="bo", label="A"), HumanLabel(annotator="ana", label="B")),
    )
    three = PreferencePair(id="3", prompt="q", response_a=" \n", response_b="b")
    found = built(one, two, three, three)
    assert found.n_pairs == 4
    assert found.prompt[0] == found.prompt[1] != found.prompt[2]
    assert (found.judges, found.annotators) == (("j", "k"), ("ana", "bo"))
    assert found.verdict_pair.tolist() == [0, 0, 1]
    assert found.verdict_judge.tolist() == [0, 1, 1]
    assert found.verdict_order.tolist() == [1, NONE, 0]
    assert found.verdict_label.tolist() == [1, NONE, 0]
    np.testing.assert_array_equal(found.verdict_p_a, [0.25, np.nan, np.nan])
    assert found.verdict_failure.tolist() == [NONE, 1, NONE]
    assert found.label_pair.tolist() == [0, 1, 1]
    assert found.label_annotator.tolist() == [0, 1, 0]
    assert found.label_value.tolist() == [2, 0, 1]
    assert (found.n_identical, found.n_duplicate, found.n_empty) == (1, 1, 2)


def test_pairs_without_texts_are_empty_but_neither_identical_nor_repeated():
    bare = PreferencePair(id="1", prompt="", response_a="", response_b="", model_a="x", model_b="y")
    found = built(bare, bare)
    assert (found.n_identical, found.n_duplicate, found.n_empty) == (0, 0, 2)


def test_nothing_at_all_gives_empty_arrays():
    found = built()
    assert (found.n_pairs, len(found.verdict_pair), found.judges) == (0, 0, ())


@pytest.mark.parametrize(
    ("name", "identical", "duplicate", "empty"),
    [("pandalm", 0, 99, 54), ("tulu-human-eval", 35, 15, 0), ("llmbar-natural-small", 0, 0, 0)],
)
def test_flags_of_real_files(shared_data, name, identical, duplicate, empty):
    rows = read_pairs(shared_data / f"{name}.jsonl")
    found = built(*(row for row in rows if isinstance(row, PreferencePair)))
    assert (found.n_identical, found.n_duplicate, found.n_empty) == (identical, duplicate, empty)
    expected = json.loads((shared_data / "expected.json").read_text())
    if name == "pandalm":
        assert duplicate == expected["pandalm"]["duplicate_rows"]
        assert empty == expected["pandalm"]["empty_responses"]
    if name == "tulu-human-eval":
        assert identical == expected[name]["identical_pairs"]
        assert len(found.label_pair) == expected[name]["labels"]
