"""Several judges as one: every method by hand, symmetric, and honest on what it learned from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.agreement.annotations import NONE, TIE, A, Annotations, B
from pipelines.agreement.reference import human_reference
from pipelines.errors import BadInput, Undefined
from pipelines.formats.reading import read_pairs
from pipelines.judge.ensemble import METHODS, Ensemble, judgments, learn_weights, make_ensemble
from pipelines.judge.ensemble_check import check_ensemble, cross_fitted
from pipelines.judge.scoring import judge_points
from pipelines.preferences.annotations import AnnotationsBuilder
from pipelines.preferences.combine import combine_judge, combine_rule
from pipelines.records import HumanLabel, Judgment, PreferencePair

NAMES = {A: "A", B: "B", TIE: "tie"}


def annotate(
    labels: list[list[int]], people: list[int] | None = None, p_a: list[list[float]] | None = None
) -> Annotations:
    """Judges j0, j1, ... with these labels, one row a judge; -1 is a failed verdict."""
    builder = AnnotationsBuilder()
    for place in range(len(labels[0])):
        verdicts = []
        for judge, row in enumerate(labels):
            given_p = None if p_a is None else p_a[judge][place]
            if row[place] == NONE:
                verdicts.append(Judgment(judge=f"j{judge}", failure="refused"))
            else:
                verdicts.append(
                    Judgment.model_validate(
                        {"judge": f"j{judge}", "label": NAMES[row[place]], "p_a": given_p}
                    )
                )
        human = ()
        if people is not None and people[place] != NONE:
            human = (
                HumanLabel.model_validate({"annotator": "ana", "label": NAMES[people[place]]}),
            )
        builder.add(
            PreferencePair(
                id=f"p{place}",
                prompt=f"question {place}",
                response_a="one",
                response_b="two",
                ai=tuple(verdicts),
                human=human,
            )
        )
    return builder.build()


def panel(n: int, accuracy: list[float], seed: int = 0) -> tuple[Annotations, np.ndarray]:
    """Independent judges of such accuracies, and people who are always right."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    labels = [np.where(rng.random(n) < one, truth, 1 - truth).tolist() for one in accuracy]
    return annotate(labels, truth.tolist()), truth


def made_by(annotations: Annotations, method: str, reference: np.ndarray) -> Ensemble:
    return make_ensemble(annotations, method, reference=reference)  # type: ignore[arg-type]


def test_a_majority_is_more_than_half_of_those_who_answered() -> None:
    found = make_ensemble(
        annotate(
            [
                [A, A, A, NONE, NONE, TIE],
                [A, B, B, B, NONE, TIE],
                [B, TIE, NONE, B, NONE, A],
            ]
        ),
        "majority",
    )
    assert found.label.tolist() == [A, NONE, NONE, B, NONE, TIE]
    assert (found.n_labels, found.n_undecided, found.n_silent, found.n_partial) == (3, 2, 1, 1)
    assert found.p_a[:4] == pytest.approx([2 / 3, 0.5, 0.5, 0.0])


def test_weights_are_log_odds_of_smoothed_accuracies() -> None:
    people = [A] * 8
    annotations = annotate([[A] * 8, [A] * 4 + [B] * 4, [B] * 8], people)
    weights = learn_weights(annotations, ("j0", "j1", "j2"), np.array(people))
    assert weights.accuracy == pytest.approx([9 / 10, 5 / 10, 1 / 10])
    # a coin, and a judge that is always wrong, are not listened to
    assert weights.weight == pytest.approx([np.log(9), 0.0, 0.0])


def test_one_good_judge_outweighs_two_poor_ones() -> None:
    people = np.array([A, B] * 20)
    good = people.tolist()
    poor = [label if k % 9 < 5 else 1 - label for k, label in enumerate(good)]
    annotations = annotate([good, poor, poor], good)
    found = make_ensemble(annotations, "weighted", reference=people)
    assert found.label.tolist() == good
    majority = make_ensemble(annotations, "majority")
    assert majority.label.tolist() == poor


def test_dawid_skene_finds_the_good_judges_without_people() -> None:
    annotations, truth = panel(600, [0.9, 0.9, 0.55, 0.55, 0.55])
    found = make_ensemble(annotations, "dawid-skene")
    majority = make_ensemble(annotations, "majority")
    assert (found.label == truth).mean() > (majority.label == truth).mean() + 0.02


def test_the_mean_is_the_rule_of_combine() -> None:
    annotations = annotate([[A, A, B], [B, A, B]], p_a=[[0.9, 0.6, 0.4], [0.2, 0.7, 0.1]])
    found, rule = make_ensemble(annotations, "mean"), combine_rule(annotations, "mean")
    assert found.label.tolist() == rule.label.tolist()
    assert found.p_a == pytest.approx(rule.p_a)


@pytest.mark.parametrize("method", METHODS)
@given(data=st.data())
def test_judges_may_come_in_any_order_and_responses_be_swapped(
    method: str, data: st.DataObject
) -> None:
    n = data.draw(st.integers(4, 12))
    labels = data.draw(
        st.lists(
            st.lists(st.sampled_from([A, B, TIE, NONE]), min_size=n, max_size=n),
            min_size=3,
            max_size=4,
        )
    )
    people = np.array(data.draw(st.lists(st.sampled_from([A, B]), min_size=n, max_size=n)))
    swap = {A: B, B: A, TIE: TIE, NONE: NONE}
    annotations = annotate(labels)
    try:
        found = made_by(annotations, method, people)
    except Undefined:
        return
    names = list(annotations.judges)
    turned = make_ensemble(annotations, method, names[::-1], reference=people)  # type: ignore[arg-type]
    assert turned.label.tolist() == found.label.tolist()
    assert turned.p_a == pytest.approx(found.p_a, nan_ok=True, abs=1e-6)
    mirror = made_by(annotate([[swap[one] for one in row] for row in labels]), method, 1 - people)
    assert mirror.label.tolist() == [swap[one] for one in found.label.tolist()]
    assert mirror.p_a == pytest.approx(1.0 - found.p_a, nan_ok=True, abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_stored_combines_to_the_same_label(method: str) -> None:
    annotations, truth = panel(80, [0.9, 0.7, 0.6])
    found = made_by(annotations, method, truth)
    builder = AnnotationsBuilder()
    stored = dict(judgments(found, found.name))
    for row in range(80):
        mine = (stored[row],) if row in stored else ()
        builder.add(
            PreferencePair(id=f"p{row}", prompt="", response_a="x", response_b="y", ai=mine)
        )
    again = combine_judge(builder.build(), found.name)
    assert again.label.tolist() == found.label.tolist()


def test_a_threshold_drops_the_unsure_and_counts_them() -> None:
    annotations = annotate([[A, A, A], [A, A, TIE], [A, B, TIE]])
    found = make_ensemble(annotations, "majority", threshold=0.9)
    assert found.label.tolist() == [A, NONE, TIE]  # a tie is an answer
    assert (found.n_unsure, found.n_undecided) == (1, 0)
    assert found.combined().n_abstained == 1


def test_an_ensemble_is_no_member_of_the_next_and_no_rule_counts_it() -> None:
    annotations = annotate([[A, B], [A, B]])
    twice = replace(annotations, judges=("j0", "ensemble:mean"))
    with pytest.raises(BadInput, match="needs two judges"):
        make_ensemble(twice, "majority")
    with pytest.raises(BadInput, match="made of other judges"):
        make_ensemble(twice, "majority", ["j0", "ensemble:mean"])
    third = replace(annotate([[A], [B], [B]]), judges=("j0", "ensemble:x", "cascade:y"))
    assert combine_rule(third, "majority").label.tolist() == [A]


def test_what_cannot_be_combined_says_so() -> None:
    annotations = annotate([[A, B], [A, B]], [A, B])
    with pytest.raises(BadInput, match="three judges"):
        make_ensemble(annotations, "dawid-skene")
    with pytest.raises(BadInput, match="human labels"):
        make_ensemble(annotations, "weighted")
    with pytest.raises(BadInput, match='no judge is called "nobody"'):
        make_ensemble(annotations, "mean", ["j0", "nobody"])
    with pytest.raises(BadInput, match=r"between 0\.5 and 1"):
        make_ensemble(annotations, "mean", threshold=0.2)
    with pytest.raises(Undefined, match="than a coin"):
        make_ensemble(annotations, "weighted", reference=np.array([B, A]))
    with pytest.raises(Undefined, match="label some first"):
        make_ensemble(annotations, "weighted", reference=np.array([NONE, TIE]))


def test_cross_fitting_removes_the_flattery_of_weights_learned_from_noise() -> None:
    # judges that are coins: in-sample weights look better than a coin, cross-fitted ones do not
    flattered, honest = [], []
    for seed in range(30):
        annotations, truth = panel(60, [0.5] * 9, seed)
        try:
            found = make_ensemble(annotations, "weighted", reference=truth)
        except Undefined:
            continue
        fair = cross_fitted(annotations, found, truth, np.random.default_rng(seed))
        flattered.append((found.label == truth).mean())
        honest.append((fair.label == truth)[fair.label != NONE].mean())
    assert np.mean(flattered) > 0.57
    assert np.mean(honest) == pytest.approx(0.5, abs=0.04)


def test_an_ensemble_of_independent_judges_beats_its_best_member() -> None:
    annotations, truth = panel(500, [0.8] * 5)
    found = make_ensemble(annotations, "weighted", reference=truth)
    check = check_ensemble(annotations, found, truth, np.random.default_rng(0))
    assert check.cross_fitted
    # three or more of five judges of 4 in 5: .9421
    assert check.accuracy.low < 0.9421 < check.accuracy.high
    assert check.against_best.difference.low > 0.05
    rows = check.thresholds
    assert all(row.n_kept + row.n_dropped == found.n_labels for row in rows)
    assert [row.n_kept for row in rows] == sorted((row.n_kept for row in rows), reverse=True)


def test_soft_labels_of_copies_are_scaled_down() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 2, 400)
    one = np.where(rng.random(400) < 0.8, truth, 1 - truth).tolist()
    copies = annotate([one] * 5, truth.tolist())
    found = make_ensemble(copies, "weighted", reference=truth)
    sure = np.maximum(found.p_a, 1 - found.p_a)
    # five copies of a judge that is right 4 times in 5 are as sure as that one
    assert sure.mean() == pytest.approx(0.8, abs=0.03)


def test_on_llmbar_twenty_judges_do_not_beat_their_best(shared_data: Path) -> None:
    builder = AnnotationsBuilder()
    for pair in read_pairs(shared_data / "llmbar-natural-small.jsonl"):
        assert isinstance(pair, PreferencePair)
        builder.add(pair)
    annotations = builder.build()
    reference = human_reference(annotations)
    best = judge_points(annotations, "GPT-4/Metrics_Reference", reference)
    assert best.mean() == pytest.approx(0.96)  # expected.json
    found = make_ensemble(annotations, "majority")
    check = check_ensemble(annotations, found, reference, np.random.default_rng(0))
    assert check.best_member == "GPT-4/Metrics_Reference"
    assert check.against_best.difference.estimate < 0.0
