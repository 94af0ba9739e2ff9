"""Schemes, filters, weights, splits: by hand, and as properties."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.agreement.annotations import TIE, A, B
from pipelines.errors import BadInput
from pipelines.preferences.annotations import AnnotationsBuilder
from pipelines.preferences.filters import badly_sized, disputed, repeated
from pipelines.preferences.near_duplicates import near_duplicates, shingles
from pipelines.preferences.reweight import WEIGHTINGS, weights
from pipelines.preferences.schemes import SCHEMES, choose_pairs, in_scheme, scored_in_scheme
from pipelines.preferences.sieve import Sieve
from pipelines.preferences.splits import SPLITS, check_shares, place_of, split_of
from pipelines.records import Judgment, PreferencePair
from workbench.export.rows import in_test

SCORES = st.lists(st.integers(0, 10) | st.just(float("nan")), min_size=0, max_size=6)


def test_schemes_by_hand():
    rng = np.random.default_rng(0)
    scores = [3.0, 9.0, 1.0]
    assert [(c.better, c.worse, c.margin) for c in choose_pairs(scores, "best-worst", rng)] == [
        (1, 2, 8.0)
    ]
    every = choose_pairs(scores, "all-pairs", rng)
    assert sorted((c.better, c.worse) for c in every) == [(0, 2), (1, 0), (1, 2)]
    assert len(choose_pairs(scores, "all-pairs", rng, min_margin=5)) == 2
    others = Counter(choose_pairs(scores, "best-of-n", rng)[0].worse for _ in range(400))
    assert set(others) == {0, 2}
    assert min(others.values()) > 150
    drawn = {choose_pairs(scores, "worst-of-n", rng)[0].better for _ in range(50)}
    assert drawn == {0, 1}


@given(SCORES, st.sampled_from(SCHEMES), st.integers(0, 99))
def test_a_scheme_never_prefers_the_lower_or_an_equal_or_an_unscored_one(scores, scheme, seed):
    for chosen in choose_pairs(scores, scheme, np.random.default_rng(seed)):
        assert scores[chosen.better] > scores[chosen.worse]
        assert chosen.margin > 0.0


def test_equal_best_candidates_take_turns():
    rng = np.random.default_rng(1)
    best = Counter(choose_pairs([5, 5, 0], "best-of-n", rng)[0].better for _ in range(300))
    assert set(best) == {0, 1}
    assert min(best.values()) > 100


def test_an_unknown_scheme_names_the_choices():
    with pytest.raises(BadInput, match="best-of-n"):
        choose_pairs([1, 2], "best", np.random.default_rng(0))  # type: ignore[arg-type]  # wrong


def test_judged_pairs_of_a_prompt_by_scheme():
    # responses 0..2 of one prompt: 0 beats 1 and 2, 1 beats 2; another prompt has one pair
    prompt = np.array([0, 0, 0, 7])
    a, b = np.array([0, 0, 1, 5]), np.array([1, 2, 2, 6])
    p_a = np.array([0.9, 0.9, 0.9, 0.2])
    alive = np.ones(4, dtype=bool)

    def kept(scheme):
        return in_scheme(prompt, a, b, p_a, alive, scheme).tolist()

    assert kept("all-pairs") == [True] * 4
    assert kept("best-of-n") == [True, True, False, True]
    assert kept("worst-of-n") == [False, True, True, True]
    assert kept("best-worst") == [False, True, False, True]


def test_lengths():
    found = badly_sized(np.array([5, 100, 30, 0]), np.array([50, 90, 400, 0]), 1, 300, 8.0)
    assert {why: at.tolist() for why, at in found.items()} == {
        "a response is too short": [False, False, False, True],
        "a response is too long": [False, False, True, False],
        "lengths too unequal": [True, False, True, False],
    }
    with pytest.raises(BadInput, match="leave nothing"):
        badly_sized(np.array([1]), np.array([1]), 10, 5, 0.0)


def test_repeats_are_found_whichever_way_round_and_the_first_stays():
    prompt = np.array([1, 1, 1, 2, 1], dtype=np.uint64)
    a = np.array([5, 6, 5, 5, 5], dtype=np.uint64)
    b = np.array([6, 5, 7, 6, 6], dtype=np.uint64)
    (again,) = repeated(prompt, a, b, np.ones(5, dtype=bool)).values()
    assert again.tolist() == [False, True, False, False, True]
    (again,) = repeated(prompt, a, b, np.array([False, True, True, True, True])).values()
    assert again.tolist() == [False, False, False, False, True]


def test_disputed_pairs_are_those_where_judges_differ_and_no_person_spoke():
    builder = AnnotationsBuilder()
    for labels in (("A", "A", "A"), ("A", "B", "A"), ("A", "B", None), ("A", "B", "B")):
        ai = tuple(
            Judgment(judge=f"j{k}", label=label)
            if label
            else Judgment(judge=f"j{k}", failure="error")
            for k, label in enumerate(labels)
        )
        builder.add(PreferencePair(prompt="q", response_a="a", response_b="b", ai=ai))
    annotations = builder.build()
    label, source = np.array([A, A, A, B]), np.array([0, 0, 0, 1])
    (found,) = disputed(annotations, annotations.judges, label, source, 0.66).values()
    assert found.tolist() == [False, False, True, False]


TEXT = "the quick brown fox jumps over the lazy dog while the cat sleeps in the warm sun all day"


def test_near_duplicates_stay_once_and_swapping_hides_nothing():
    first = PreferencePair(prompt="tell a story", response_a=TEXT, response_b=TEXT[::-1])
    close = first.model_copy(update={"response_a": TEXT + "!"}).swap()
    other = PreferencePair(prompt="what is a plan", response_a="one " * 20, response_b="two, six")
    found = near_duplicates(enumerate([first, other, close, first]), 5, 0.9)
    assert found.tolist() == [-1, -1, 0, 0, -1]
    assert shingles("A") == [b"a"]
    with pytest.raises(BadInput, match=r"0\.8 is usual"):
        near_duplicates([], 0, 1.5)


def test_weights_have_mean_one_and_balance_what_they_say():
    p_a = np.array([0.9, 0.6, 0.5, 0.1])
    prompt, subset = np.array([0, 0, 0, 1]), np.array([3, 3, 4, 4])
    for weighting in WEIGHTINGS:
        assert weights(weighting, p_a, prompt, subset).mean() == pytest.approx(1.0)
    by_prompt = weights("prompt", p_a, prompt, subset)
    assert by_prompt[:3].sum() == pytest.approx(by_prompt[3])
    assert weights("confidence", p_a, prompt, subset)[2] == 0.0
    assert weights("none", p_a, prompt, subset, np.array([0.0, 1, 1, 2])).tolist() == [0, 1, 1, 2]
    with pytest.raises(BadInput, match="count nothing"):
        weights("confidence", np.full(2, 0.5), np.array([0, 1]), np.array([0, 0]))


@given(st.text(), st.integers(0, 5), st.floats(0.0, 0.9))
def test_the_test_split_is_that_of_an_export(prompt, seed, share):
    json_text = json.dumps(prompt, ensure_ascii=False)
    assert (place_of(json_text, seed) < share) == in_test(prompt, share, seed)


def test_splits_have_about_their_shares():
    prompts = [json.dumps(f"prompt {k}") for k in range(4000)]
    counted = Counter(split_of(place_of(prompt, 0), 0.1, 0.2) for prompt in prompts)
    assert set(counted) == set(SPLITS)
    # three standard errors: sqrt(.1 * .9 * 4000) = 19, sqrt(.2 * .8 * 4000) = 25
    assert abs(counted["test"] - 400) < 57
    assert abs(counted["validation"] - 800) < 76
    with pytest.raises(BadInput, match="something to train on"):
        check_shares(0.5, 0.5)


def test_a_sieve_counts_a_pair_once_under_the_first_reason():
    sieve = Sieve(4)
    sieve.drop("one", "x", {"a": np.array([1, 1, 0, 0], bool), "b": np.array([0, 1, 1, 0], bool)})
    sieve.drop("two", "x", {"c": np.array([1, 1, 1, 0], bool)})
    assert sieve.reasons() == ["a", "a", "b", ""]
    counts = sieve.counts(np.zeros(4, np.int8), np.array([A, B, TIE, A]))
    assert [(step.n_in, step.n_out) for step in counts.steps] == [(4, 1), (1, 1)]
    assert (counts.n_pairs, counts.n_kept) == (4, 1)
    assert counts.kept_by_label == {"A": 1}


def rated(scheme, *, min_margin=0.0, seed=0, alive=None):
    """One prompt's responses 0, 1, 2, rated 3, 9 and 1, all paired; another prompt's 7 and 8."""
    couples = [(0, 1), (2, 0), (1, 2), (7, 8)]
    worth = {0: 3.0, 1: 9.0, 2: 1.0, 7: 5.0, 8: 5.0}
    a, b = (np.array(side, dtype=np.uint64) for side in zip(*couples, strict=True))
    kept = scored_in_scheme(
        np.array([0, 0, 0, 1]),
        a,
        b,
        np.array([[worth[int(x)], worth[int(y)]] for x, y in couples]),
        np.ones(4, dtype=bool) if alive is None else np.array(alive),
        scheme,
        np.random.default_rng(seed),
        min_margin=min_margin,
    )
    return kept.tolist()


def test_rated_pairs_are_those_that_the_scheme_chooses_by_hand():
    assert rated("all-pairs") == [True, True, True, False]  # equal ratings prefer nothing
    assert rated("all-pairs", min_margin=5.0) == [True, False, True, False]
    assert rated("best-worst") == [False, False, True, False]
    # The best against one of the others, drawn; and one of the others against the worst.
    assert {tuple(rated("best-of-n", seed=seed)) for seed in range(30)} == {
        (True, False, False, False),
        (False, False, True, False),
    }
    assert {tuple(rated("worst-of-n", seed=seed)) for seed in range(30)} == {
        (False, True, False, False),
        (False, False, True, False),
    }
    # Only what was paired, and is still here, can be chosen.
    assert rated("best-of-n", alive=[True, True, False, True]) == [True, False, False, False]
