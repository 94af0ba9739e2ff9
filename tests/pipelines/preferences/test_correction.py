"""Judge correction: learns an error that is there, and leaves a good judge alone."""

import numpy as np
import pytest

from pipelines.errors import Undefined
from pipelines.preferences.audited import Audited
from pipelines.preferences.correction import learn_correction
from pipelines.preferences.judge_features import JudgeFeatures
from pipelines.preferences.odd_logistic import Block, cross_fit, fit_by_prompt, prompt_folds
from pipelines.preferences.text_features import (
    N_WORD_COLUMNS,
    TEXT_COLUMNS,
    text_columns,
    word_columns,
)
from pipelines.records import Judgment, PreferencePair

WORDS = ("the", "plan", "is", "to", "ask", "for", "help", "and", "then", "explain", "why", "it")


def world(n: int, seed: int, *, blind: bool, certain: float = 2.0):
    """Pairs whose better response is the true one; a leak of private data makes a response bad.

    The judge sees quality with noise. A blind one does not see leaks.
    """
    rng = np.random.default_rng(seed)
    pairs, truth = [], []
    for k in range(n):
        quality = rng.normal(size=2)
        leak = rng.random(2) < 0.4
        value = quality - 3.0 * leak
        seen = quality if blind else value
        p_a = 1 / (1 + np.exp(-certain * (seen[0] - seen[1]) + rng.normal(0, 0.5)))
        truth.append(1.0 if value[0] > value[1] else 0.0)
        texts = [
            " ".join(rng.choice(WORDS, size=12)) + (" secret password" if bad else "")
            for bad in leak
        ]
        pairs.append(
            PreferencePair(
                id=f"p{k}",
                prompt=f"question {k // 2}",
                response_a=texts[0],
                response_b=texts[1],
                ai=(Judgment(judge="sol", order="ab" if k % 2 else "ba", p_a=float(p_a)),),
            )
        )
    return pairs, np.array(truth)


def audited(truth, edge=None):
    n = len(truth)
    edge = np.zeros(n, dtype=bool) if edge is None else edge
    return Audited(np.arange(n), truth, np.ones(n), edge, np.arange(n) // 2)


def soft(pairs):
    return np.array([pair.ai[0].p_a for pair in pairs])


def test_a_blind_judge_is_corrected_and_the_gain_holds_on_fresh_pairs():
    fresh, fresh_truth = world(1000, 99, blind=True)
    before = np.mean((soft(fresh) > 0.5) == fresh_truth)
    said, true = [], []
    for seed in range(3):
        pairs, truth = world(200, seed, blind=True)
        learned = learn_correction(pairs, soft(pairs), audited(truth), np.random.default_rng(0))
        assert learned.applied
        assert learned.over_judge.accuracy_gain.low > 0.05
        said.append(learned.over_judge.accuracy_gain.estimate)
        p_a = learned.model.p_a(fresh, soft(fresh))
        true.append(np.mean((p_a > 0.5) == fresh_truth) - before)
    assert np.mean(said) == pytest.approx(np.mean(true), abs=0.06)  # about two standard errors


def test_the_no_judge_baseline_stands_beside_it():
    pairs, truth = world(160, 3, blind=True)
    learned = learn_correction(pairs, soft(pairs), audited(truth), np.random.default_rng(0))
    # Leaks alone decide many pairs, quality cannot be read from the text: better with the judge.
    assert learned.over_no_judge.accuracy_gain.low > 0.0
    assert learned.no_judge_over_judge.accuracy_before == learned.over_judge.accuracy_before


def test_a_good_judge_is_left_alone():
    applied = 0
    for seed in range(4):
        pairs, truth = world(90, 10 + seed, blind=False)
        applied += learn_correction(
            pairs, soft(pairs), audited(truth), np.random.default_rng(seed)
        ).applied
    assert applied <= 1


def test_swapping_a_pair_turns_the_corrected_label_round():
    pairs, truth = world(60, 4, blind=True)
    learned = learn_correction(pairs, soft(pairs), audited(truth), np.random.default_rng(0))
    swapped = [pair.swap() for pair in pairs]
    p_a = learned.model.p_a(pairs, soft(pairs))
    assert learned.model.p_a(swapped, soft(swapped)) == pytest.approx(1.0 - p_a, abs=1e-9)


def test_labels_of_edge_cases_alone_are_never_enough():
    pairs, truth = world(60, 5, blind=True)
    learned = learn_correction(
        pairs, soft(pairs), audited(truth, np.ones(60, dtype=bool)), np.random.default_rng(0)
    )
    assert not learned.applied
    assert "random draw" in learned.why
    assert any("edge cases" in warning for warning in learned.warnings)


def test_labels_that_are_noise_teach_nothing():
    # Cross-fitting must not see what it is tested on: on coin tosses nobody beats 1/2.
    pairs, _ = world(120, 6, blind=True)
    coin = np.random.default_rng(7).integers(0, 2, size=120).astype(float)
    learned = learn_correction(pairs, soft(pairs), audited(coin), np.random.default_rng(0))
    assert not learned.applied
    assert abs(np.mean((learned.p_a > 0.5) == coin) - 0.5) < 0.14


def test_too_few_prompts_is_a_sentence():
    pairs, truth = world(8, 8, blind=True)
    with pytest.raises(Undefined, match="too few for cross-validation"):
        learn_correction(pairs, soft(pairs), audited(truth), np.random.default_rng(0))


def test_a_prompt_is_in_one_fold_only():
    prompt = np.random.default_rng(0).integers(0, 60, size=500)
    fold = prompt_folds(prompt, 5, np.random.default_rng(1))
    for code in range(60):
        assert len(np.unique(fold[prompt == code])) == 1
    assert np.ptp(np.bincount(fold)) <= 20


def test_text_features_are_odd_and_read_chinese_character_by_character():
    pairs, _ = world(20, 9, blind=True)
    pairs.append(PreferencePair(prompt="写一首诗", response_a="春天来了！", response_b="无法"))
    swapped = [pair.swap() for pair in pairs]
    assert text_columns(pairs).shape == (21, len(TEXT_COLUMNS))
    assert np.array_equal(text_columns(swapped), -text_columns(pairs))
    words = word_columns(pairs)
    assert words.shape == (21, N_WORD_COLUMNS)
    assert abs(word_columns(swapped) + words).max() < 1e-12
    assert words[20:].nnz >= 6


def test_judges_made_from_peoples_labels_are_left_out():
    pair = PreferencePair(
        prompt="q",
        response_a="a",
        response_b="b",
        ai=(Judgment(judge="sol", label="A"), Judgment(judge="sol+corrected", p_a=0.9)),
    )
    assert JudgeFeatures.of([pair], derived=["sol+corrected"]).judges == ("sol",)


def test_the_row_space_gives_the_same_probabilities():
    pairs, truth = world(60, 11, blind=True)
    words = Block("words", word_columns(pairs), by_column=False)
    prompt = np.arange(60)
    # cross_fit works in the row space of the words; the model it hands out works on the words.
    made = cross_fit([words], truth, np.ones(60), prompt, np.random.default_rng(5))
    slow = np.empty(60)
    again = np.random.default_rng(5)
    fold = prompt_folds(prompt, 5, again)
    for number in range(5):
        here, others = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        model = fit_by_prompt(
            [words.take(others)], truth[others], np.ones(len(others)), prompt[others], again
        )
        slow[here] = model.p_a([words.take(here)])
    assert made.p_a == pytest.approx(slow, abs=0.02)
