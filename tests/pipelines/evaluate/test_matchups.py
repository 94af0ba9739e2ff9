"""Win rates of a whole evaluation, from verdicts in both orders and people's labels of a part."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipelines.agreement.annotations import Annotations, FloatArray, IntArray
from pipelines.evaluate.audited import AUDITED, audited_judgments, audited_scores
from pipelines.evaluate.comparisons import Comparisons, hard_scores, soft_scores
from pipelines.evaluate.matchups import judged_matchups
from pipelines.preferences.combine import combine

N = 300


def annotations_of(labels: IntArray, p_a: FloatArray | None = None) -> Annotations:
    """Labels of a judge "j" in both orders, shape (2, n_pairs); -1 for a failure."""
    n = labels.shape[1]
    flat = labels.reshape(-1).astype(np.int8)
    return Annotations(
        n_pairs=n,
        prompt=np.arange(n),
        judges=("j",),
        verdict_pair=np.tile(np.arange(n), 2),
        verdict_judge=np.zeros(2 * n, dtype=np.int64),
        verdict_order=np.repeat(np.array([0, 1], dtype=np.int8), n),
        verdict_label=flat,
        verdict_p_a=np.full(2 * n, np.nan) if p_a is None else p_a.reshape(-1),
        verdict_failure=np.where(flat < 0, 0, -1).astype(np.int8),
        annotators=(),
        label_pair=np.zeros(0, dtype=np.int64),
        label_annotator=np.zeros(0, dtype=np.int64),
        label_value=np.zeros(0, dtype=np.int8),
    )


def comparisons_of(turned: np.ndarray, policies: tuple[str, ...] = ("before", "after")) -> Any:
    """The later policy of two against the first, a pair a prompt."""
    n = len(turned)
    return Comparisons(
        policies=policies,
        n_prompts=n,
        failed={name: {} for name in policies},
        row=np.arange(n),
        first=np.ones(n, dtype=np.int64),
        second=np.zeros(n, dtype=np.int64),
        turned=turned,
        chars_first=np.arange(n) % 7 + 50,
        chars_second=np.arange(n) % 5 + 50,
        prompt=np.arange(n),
    )


def world(
    rng: np.random.Generator, favours: float, places: float, accuracy: float = 0.85
) -> tuple[FloatArray, Annotations, Any]:
    """What people say of every pair, and a judge that errs, has a favourite, and prefers a place.

    Args:
        rng: Source of chance.
        favours: Share of pairs in which it gives the win to the policy "after", whatever was said.
        places: Share of verdicts that go to the response shown first.
        accuracy: Of the other verdicts.
    """
    truth = np.where(rng.random(N) < 0.1, 0.5, (rng.random(N) < 0.55).astype(float))
    turned = rng.random(N) < 0.5
    favoured = rng.random(N) < favours
    labels = []
    for order in (0, 1):
        coin = (rng.random(N) < 0.5).astype(float)
        right = np.where(truth == 0.5, coin, truth)
        said = np.where(rng.random(N) < accuracy, right, 1.0 - right)
        said = np.where(favoured, 1.0, said)
        said = np.where(turned, 1.0 - said, said)  # of response_a
        first = rng.random(N) < places
        labels.append(np.where(first, order, np.where(said == 1.0, 0, 1)))
    return (
        np.where(turned, 1.0 - truth, truth),
        annotations_of(np.array(labels)),
        comparisons_of(turned),
    )


MEAN = 0.9 * 0.55 + 0.05  # what people would say of all of them


@pytest.mark.parametrize(
    ("favours", "places"),
    [(0.0, 0.4), (0.35, 0.0), (0.3, 0.3)],
    ids=["by place", "by policy", "both"],
)
def test_the_whole_path_covers_what_people_say_whatever_the_judge_favours(
    favours: float, places: float
) -> None:
    covered, raw_covered, worlds = 0, 0, 250
    for seed in range(worlds):
        rng = np.random.default_rng(seed)
        people, annotations, comparisons = world(rng, favours, places)
        drawn = rng.permutation(np.flatnonzero(~np.isnan(audited_scores(annotations, ["j"]))))[:70]
        human = np.full(N, np.nan)
        human[drawn] = people[drawn]
        (match,) = judged_matchups(comparisons, annotations, "j", human).matchups
        assert match.corrected is not None
        covered += match.corrected.corrected.low <= MEAN <= match.corrected.corrected.high
        raw_covered += match.win.tie_aware.low <= MEAN <= match.win.tie_aware.high
    assert covered / worlds >= 0.925  # two standard errors under 95%
    if favours:
        assert raw_covered / worlds < 0.5  # the judge's own interval is nowhere near


def test_labels_drawn_where_the_judge_agrees_with_itself_only_would_be_wrong() -> None:
    # Why AUDITED exists: the judge's own label leaves out the pairs it contradicts itself on.
    off = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        people, annotations, comparisons = world(rng, 0.0, 0.5, 0.95)
        sure = np.flatnonzero(combine(annotations, "j").label != -1)
        human = np.full(N, np.nan)
        human[sure] = people[sure]
        (match,) = judged_matchups(comparisons, annotations, "j", human).matchups
        assert match.corrected is not None
        off.append(match.corrected.corrected.estimate - MEAN)
    assert abs(np.mean(off)) > 2.0 * np.std(off) / np.sqrt(len(off))


def test_every_pair_that_a_judge_answered_has_a_label_for_the_audit() -> None:
    labels = np.array([[0, 0, 1, -1, 2], [0, 1, -1, -1, 0]])
    annotations = annotations_of(labels)
    made = dict(audited_judgments(annotations, ["j"]))
    assert {row: one.label for row, one in made.items()} == {0: "A", 1: "tie", 2: "B", 4: "A"}
    assert {one.judge for one in made.values()} == {AUDITED}
    assert np.isnan(audited_scores(annotations, ["nobody"])).all()


def test_two_judges_are_averaged_where_both_answered() -> None:
    one = annotations_of(np.array([[0, 1, -1], [0, 1, -1]]))
    both = replace(
        one,
        judges=("j", "k"),
        verdict_pair=np.concatenate([one.verdict_pair, [0, 2]]),
        verdict_judge=np.concatenate([one.verdict_judge, [1, 1]]),
        verdict_order=np.concatenate([one.verdict_order, [0, 0]]).astype(np.int8),
        verdict_label=np.concatenate([one.verdict_label, [1, 1]]).astype(np.int8),
        verdict_p_a=np.concatenate([one.verdict_p_a, [0.2, 0.2]]),
        verdict_failure=np.concatenate([one.verdict_failure, [-1, -1]]).astype(np.int8),
    )
    assert audited_scores(both, ["j", "k"]).tolist() == [0.6, 0.0, 0.2]


def test_verdicts_that_contradict_each_other_are_a_tie_and_failures_are_left_out() -> None:
    labels = np.array([[0, 0, -1, -1], [0, 1, 1, -1]])
    soft = soft_scores(annotations_of(labels), "j")
    assert soft[:3].tolist() == [1.0, 0.5, 0.0]
    assert np.isnan(soft[3])
    assert hard_scores(np.array([0.51, 0.5, 0.49])).tolist() == [1.0, 0.5, 0.0]
    assert np.isnan(soft_scores(annotations_of(labels), "nobody")).all()


def test_failures_are_counted_and_scores_speak_of_the_first_policy() -> None:
    labels = np.array([[0, 0, 0, -1], [0, 0, 0, -1]])  # response_a wins
    turned = np.array([False, False, True, False])
    human = np.full(4, np.nan)
    (match,) = judged_matchups(comparisons_of(turned), annotations_of(labels), "j", human).matchups
    assert (match.first, match.second) == ("after", "before")
    assert (match.win.wins, match.win.losses, match.win.n) == (2, 1, 3)
    assert match.n_unjudged == 1


@pytest.mark.parametrize("n_labels", [0, 1])
def test_without_labels_of_two_prompts_nothing_is_corrected(n_labels: int) -> None:
    people, annotations, comparisons = world(np.random.default_rng(0), 0.2, 0.1)
    human = np.full(N, np.nan)
    human[:n_labels] = people[:n_labels]
    (match,) = judged_matchups(comparisons, annotations, "j", human).matchups
    assert match.corrected is None
    assert match.corrected_detectable is None
    assert match.rogan_gladen is None


def test_few_labels_widen_the_interval_and_do_not_break_it() -> None:
    people, annotations, comparisons = world(np.random.default_rng(0), 0.2, 0.1)
    widths = []
    for n_labels in (3, 30, 300):
        human = np.full(N, np.nan)
        human[:n_labels] = people[:n_labels]
        (match,) = judged_matchups(comparisons, annotations, "j", human).matchups
        assert match.corrected is not None
        widths.append(match.corrected.corrected.high - match.corrected.corrected.low)
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 0.8


def test_a_policy_against_itself_is_one_tie_after_another() -> None:
    comparisons = replace(comparisons_of(np.zeros(50, dtype=np.bool_)), row=np.full(50, -1))
    empty = annotations_of(np.zeros((2, 0), dtype=np.int64))
    (match,) = judged_matchups(
        comparisons, replace(empty, judges=()), "j", np.zeros(0, dtype=np.float64)
    ).matchups
    assert (match.win.ties, match.n_same, match.win.p_value) == (50, 50, 1.0)
    assert match.win.tie_aware.estimate == 0.5
    assert match.win.detectable is None
    assert match.corrected is None
    assert match.length is None
    assert match.flips is None


def test_a_judge_that_always_fails_says_nothing() -> None:
    failed = annotations_of(np.full((2, 20), -1))
    found = judged_matchups(
        comparisons_of(np.zeros(20, dtype=np.bool_)), failed, "j", np.full(20, 1.0)
    )
    assert found.matchups == ()
    assert found.ranking is None


def test_the_length_controlled_rate_differs_from_the_one_beside_it_by_length_alone() -> None:
    # A judge with unsure probabilities and no taste for length: both rates are of its verdicts.
    rng = np.random.default_rng(1)
    p_a = rng.choice([0.4, 0.6, 0.62], size=N)
    labels = np.tile(np.where(p_a > 0.5, 0, 1), (2, 1))
    annotations = annotations_of(labels, np.tile(p_a, (2, 1)))
    comparisons = comparisons_of(np.zeros(N, dtype=np.bool_))
    (match,) = judged_matchups(comparisons, annotations, "j", np.full(N, np.nan)).matchups
    assert match.length is not None
    assert match.length.win_rate.estimate == pytest.approx(match.win.tie_aware.estimate, abs=0.01)


def test_self_preference_is_measured_where_one_of_two_is_suspected() -> None:
    people, annotations, comparisons = world(np.random.default_rng(0), 0.4, 0.0)
    plain = judged_matchups(comparisons, annotations, "j", people)
    assert plain.matchups[0].self_preference is None
    both = judged_matchups(comparisons, annotations, "j", people, frozenset({"before", "after"}))
    assert both.matchups[0].self_preference is None
    (match,) = judged_matchups(comparisons, annotations, "j", people, frozenset({"after"})).matchups
    assert match.self_preference is not None
    assert match.self_preference.excess.low > 0.2  # 40% were planted
    assert match.corrected is not None
    assert match.corrected.excess.low > 0.1


def test_three_policies_are_ranked_and_p_values_are_adjusted_together() -> None:
    rng = np.random.default_rng(2)
    n = 100
    prompt = np.tile(np.arange(n), 3)
    skill = np.array([0.0, 0.8, 1.6])
    first, second = np.repeat([1, 2, 2], n), np.repeat([0, 0, 1], n)
    wins = rng.random(3 * n) < 1.0 / (1.0 + np.exp(skill[second] - skill[first]))
    comparisons = Comparisons(
        policies=("a", "b", "c"),
        n_prompts=n,
        failed={"a": {}, "b": {}, "c": {}},
        row=np.arange(3 * n),
        first=first,
        second=second,
        turned=np.zeros(3 * n, dtype=np.bool_),
        chars_first=np.full(3 * n, 10),
        chars_second=np.full(3 * n, 10),
        prompt=prompt,
    )
    labels = np.tile(np.where(wins, 0, 1), (2, 1))
    annotations = replace(annotations_of(labels), prompt=prompt)
    human = np.where(rng.random(3 * n) < 0.3, wins.astype(float), np.nan)
    found = judged_matchups(comparisons, annotations, "j", human)
    assert [(one.first, one.second) for one in found.matchups] == [
        ("b", "a"),
        ("c", "a"),
        ("c", "b"),
    ]
    assert all(one.p_adjusted >= one.win.p_value for one in found.matchups)
    assert found.ranking is not None
    assert found.ranking.raw is not None
    assert found.ranking.corrected is not None
    raw = [one.estimate for one in found.ranking.raw.log_odds]
    assert raw == sorted(raw)
    for told, raw_told in zip(
        found.ranking.corrected.log_odds, found.ranking.raw.log_odds, strict=True
    ):
        assert told.high - told.low > raw_told.high - raw_told.low
    # Without labels of one matchup there is no corrected ranking.
    human[first == 1] = np.nan
    again = judged_matchups(comparisons, annotations, "j", human).ranking
    assert again is not None
    assert again.corrected is None
