"""The line of a cascade keeps what it must, and says what it saves."""

import math
from pathlib import Path

import numpy as np
import pytest

from pipelines.agreement.annotations import NONE, A, B
from pipelines.agreement.reference import human_reference
from pipelines.errors import BadInput, Undefined
from pipelines.formats.reading import read_pairs
from pipelines.judge.cascade import (
    CascadeOptions,
    Price,
    calibrate,
    cascade,
    cascade_judgments,
    choose_line,
    savings,
    to_send,
)
from pipelines.judge.scoring import judge_points
from pipelines.preferences.annotations import AnnotationsBuilder
from pipelines.preferences.combine import Combined, combine_judge
from pipelines.records import PreferencePair


def labels_of(p_a: np.ndarray) -> Combined:
    label = np.where(np.isnan(p_a), NONE, np.where(p_a > 0.5, A, B)).astype(np.int8)
    return Combined(label, p_a, 0, 0)


def world(
    n: int, seed: int, dear_right: float = 0.92
) -> tuple[Combined, np.ndarray, np.ndarray, np.ndarray]:
    """A calibrated cheap judge and a dear one. Cheap labels, dear points, people, prompts."""
    rng = np.random.default_rng(seed)
    p_a = rng.beta(0.6, 0.6, n).clip(0.001, 0.999)
    people = np.where(rng.random(n) < p_a, A, B)
    dear = (rng.random(n) < dear_right).astype(float)
    return labels_of(p_a), dear, people, np.arange(n)


@pytest.fixture(scope="module")
def sureness() -> np.ndarray:
    """How sure the cheap judge is over the whole population; it is right just as often."""
    p_a = np.random.default_rng(99).beta(0.6, 0.6, 100_000).clip(0.001, 0.999)
    return np.maximum(p_a, 1 - p_a)


def test_the_line_keeps_the_dear_judges_accuracy_as_often_as_it_says(
    sureness: np.ndarray,
) -> None:
    options = CascadeOptions(max_loss=0.02, alpha=0.05)
    losses = []
    for seed in range(200):
        line = choose_line(*world(500, seed), options)
        losses.append(np.where(sureness >= line.threshold, 0.92 - sureness, 0.0).mean())
    assert np.mean(np.array(losses) > 0.02) <= 0.08  # alpha .05, standard error .015


def test_the_line_keeps_the_floor_while_the_dear_judge_is_unknown(
    sureness: np.ndarray,
) -> None:
    options = CascadeOptions(min_accuracy=0.85)
    broken = []
    for seed in range(200):
        cheap, _, people, prompt = world(500, seed)
        line = choose_line(cheap, None, people, prompt, options)
        kept = sureness[sureness >= line.threshold]
        broken.append(len(kept) > 0 and kept.mean() < 0.85)
    assert np.mean(broken) <= 0.08


def test_a_cascade_saves_most_where_the_cheap_judge_knows_what_it_knows() -> None:
    cheap, dear, people, prompt = world(2000, 1)
    line = choose_line(cheap, dear, people, prompt)
    assert 0.3 < line.share_kept < 1.0
    assert line.kept_right is not None
    assert line.kept_right.estimate > 0.9
    assert line.difference is not None
    assert line.difference.low > -0.02
    assert line.calibrated == pytest.approx(line.threshold, abs=0.08)
    useless = Combined(cheap.label, np.random.default_rng(0).permutation(cheap.p_a), 0, 0)
    useless = labels_of(useless.p_a)
    nothing = choose_line(useless, dear, people, prompt)
    assert nothing.share_kept < 0.1


def test_savings_by_hand() -> None:
    cheap = labels_of(np.array([0.99, 0.4, 0.05, np.nan]))
    assert to_send(cheap, 0.9).tolist() == [False, True, False, True]
    saved = savings(cheap, 0.9, Price(2, 0.001), Price(2, 0.01))
    assert (saved.n_kept, saved.n_sent, saved.dear_requests_saved) == (2, 2, 4)
    assert (saved.requests, saved.requests_dear_alone) == (12, 8)
    assert saved.usd == pytest.approx(0.024)
    assert saved.usd_saved == pytest.approx(0.016)
    assert savings(cheap, 0.9, Price(2), Price(2, 0.01)).usd_saved is None
    # nothing kept: the cheap judge was paid for nothing
    assert savings(cheap, math.inf, Price(2, 0.001), Price(2, 0.01)).usd_saved == pytest.approx(
        -0.004
    )


def test_a_pair_that_was_sent_never_gets_the_cheap_judges_label() -> None:
    cheap = labels_of(np.array([0.99, 0.6, 0.6, np.nan]))
    dear = labels_of(np.array([0.1, 0.1, np.nan, 0.8]))
    made = cascade(cheap, dear, 0.9)
    assert made.label.tolist() == [A, B, NONE, A]
    assert (made.n_cheap, made.n_dear, made.n_waiting) == (1, 2, 1)
    stored = dict(cascade_judgments(made, "cascade:c>d"))
    assert sorted(stored) == [0, 1, 3]
    assert stored[1].label == "B"
    assert stored[1].p_a == pytest.approx(0.1)


def test_swapping_all_responses_changes_no_line() -> None:
    cheap, dear, people, prompt = world(400, 3)
    swapped = labels_of(1.0 - cheap.p_a)
    one, two = (
        choose_line(cheap, dear, people, prompt),
        choose_line(swapped, dear, 1 - people, prompt),
    )
    assert two.threshold == pytest.approx(one.threshold)
    assert two.share_kept == one.share_kept


def test_calibration_finds_an_overconfident_judge() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.5, 0.9, 20_000)
    right = (rng.random(20_000) < truth).astype(float)
    said = 1 / (1 + np.exp(-2.0 * np.log(truth / (1 - truth))))  # twice the log odds
    found = calibrate(said, right)
    assert found.slope == pytest.approx(0.5, abs=0.05)
    assert found.at(said) == pytest.approx(truth, abs=0.02)


def test_too_few_labels_say_so() -> None:
    cheap, dear, people, prompt = world(30, 0)
    with pytest.raises(Undefined, match="needs 50"):
        choose_line(cheap, dear, people, prompt)
    with pytest.raises(BadInput, match="max_loss"):
        CascadeOptions(max_loss=0.0)


def test_bare_labels_are_sure_where_both_orders_agree(shared_data: Path) -> None:
    builder = AnnotationsBuilder()
    for pair in read_pairs(shared_data / "llmbar-natural-small.jsonl"):
        assert isinstance(pair, PreferencePair)
        builder.add(pair)
    annotations = builder.build()
    reference = human_reference(annotations)
    cheap = combine_judge(annotations, "ChatGPT/Vanilla")
    dear = judge_points(annotations, "GPT-4/Vanilla", reference)
    line = choose_line(cheap, dear, reference, annotations.prompt, CascadeOptions(max_loss=0.08))
    # ChatGPT flips on 29 of 100 pairs (expected.json): GPT-4 is asked about those alone
    assert line.threshold == 1.0
    assert line.share_kept == pytest.approx(0.71)
    assert line.dear_right is not None
    assert line.dear_right.estimate == pytest.approx(0.955)  # expected.json
    assert line.cascade_right is not None
    assert line.cascade_right.estimate == pytest.approx(0.935)
