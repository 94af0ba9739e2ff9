"""Scored completions as pairs."""

from typing import Any

import pytest

from pipelines.formats.options import ReadOptions
from pipelines.formats.rejects import BadRow
from pipelines.formats.ultrafeedback import ultrafeedback_pairs
from pipelines.records import PreferencePair


def row(*scores: Any, **others: Any) -> dict[str, Any]:
    completions = [
        {"model": f"m{place}", "response": f"r{place}", "overall_score": score}
        for place, score in enumerate(scores)
    ]
    return {"instruction": "Why?", "source": "s", "completions": completions, **others}


def pairs(row: dict[str, Any], **options: Any) -> list[PreferencePair]:
    return list(ultrafeedback_pairs(row, ReadOptions(**options)))


def winner(pair: PreferencePair) -> str | None:
    label = pair.ai[0].label
    return {"A": pair.model_a, "B": pair.model_b}.get(label or "", label)


def test_all_pairs_of_four_completions_with_the_critic_as_judge():
    found = pairs(row(7, 5.5, "5.5", 9), scores="all")
    assert len(found) == 6
    assert {frozenset((p.model_a, p.model_b)): winner(p) for p in found} == {
        frozenset(("m0", "m1")): "m0",
        frozenset(("m0", "m2")): "m0",
        frozenset(("m0", "m3")): "m3",
        frozenset(("m1", "m2")): "tie",
        frozenset(("m1", "m3")): "m3",
        frozenset(("m2", "m3")): "m3",
    }
    assert {p.ai[0].judge for p in found} == {"critic"}
    assert {p.source for p in found} == {"s"}


def test_scores_stay_with_their_response():
    (pair,) = pairs(row(7, 5))
    scores = {pair.model_a: pair.meta["score_a"], pair.model_b: pair.meta["score_b"]}
    assert scores == {"m0": 7.0, "m1": 5.0}


def test_best_against_the_rest():
    found = pairs(row(7, 9, 9, 1), scores="best")
    assert len(found) == 3
    assert all("m1" in (pair.model_a, pair.model_b) for pair in found)
    assert sorted(map(str, map(winner, found))) == ["m1", "m1", "tie"]


def test_a_completion_without_a_score_is_a_failure_never_a_loss():
    found = pairs(row(7, "N/A", None))
    assert [pair.ai[0].failure for pair in found] == ["unparsed"] * 3
    assert [pair.ai[0].label for pair in found] == [None] * 3


def test_ratings_of_aspects_stand_in_for_a_missing_overall_score():
    rated = row(None, 4)
    rated["completions"][0]["annotations"] = {
        "helpfulness": {"Rating": "5"},
        "honesty": {"Rating": "4"},
        "truthfulness": {"Rating": "N/A"},
    }
    (pair,) = pairs(rated)
    assert winner(pair) == "m0"
    assert 4.5 in pair.meta.values()


def test_ids_name_both_places_and_other_columns_are_kept():
    found = pairs(row(1, 2, 3, id="u7", correct_answers=["x"]))
    assert [pair.id for pair in found] == ["u7:0-1", "u7:0-2", "u7:1-2"]
    assert found[0].meta["correct_answers"] == ["x"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (row(1), "too few responses"),
        (row(1, 2, instruction=None), "missing key"),
        ({"instruction": "p", "completions": "x"}, "wrong type"),
        ({"instruction": "p", "completions": [1, 2]}, "wrong type"),
        ({"instruction": "p", "completions": [{}, {}]}, "missing key"),
        (row(1, float("inf")), "NaN or infinity"),
    ],
)
def test_rows_that_cannot_be_pairs_are_refused(bad, reason):
    with pytest.raises(BadRow) as refusal:
        pairs(bad)
    assert refusal.value.reason == reason
