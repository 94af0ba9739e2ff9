"""A judge against people: the lines, what is left out, weights, clusters, choice of pairs."""

from typing import Any

import numpy as np
import pytest

from pipelines.agreement.annotations import NONE, TIE, A, B
from pipelines.agreement.intervals import wilson
from pipelines.errors import BadInput
from pipelines.judge.validate import (
    HumanSide,
    ValidateOptions,
    Validation,
    choose_pairs,
    validate,
    weighted_share,
)
from pipelines.preferences.combine import Combined


def human(reference: np.ndarray, weight: np.ndarray | None = None) -> HumanSide:
    n = int((reference != NONE).sum())
    return HumanSide(reference, np.ones(len(reference)) if weight is None else weight, n, 0, 0, n)


def held(
    label: np.ndarray, reference: np.ndarray, options: ValidateOptions | None = None, **given: Any
) -> Validation:
    combined = Combined(label.astype(np.int8), np.full(len(label), np.nan), 0, 0)
    prompt = given.pop("prompt", np.arange(len(label)))
    asked = given.pop("asked", np.ones(len(label), dtype=bool))
    groups = given.pop("groups", {})
    side = given.pop("side", None) or human(reference)
    return validate(
        "j", combined, asked, side, prompt, groups, options or ValidateOptions(), **given
    )


def right(n_right: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    people = np.zeros(n, dtype=np.int8)
    return np.where(np.arange(n) < n_right, A, B), people


@pytest.mark.parametrize(
    ("n_right", "n", "verdict"),
    [
        (420, 500, "TRUST"),  # .84, one-sided 95% Wilson bound .811
        (410, 500, "UNDECIDED"),  # .82, bound .790
        (390, 500, "UNDECIDED"),  # .78 lies between the lines
        (374, 500, "WARN"),  # .748: a warning needs no proof
        (300, 500, "WARN"),
        (9, 10, "UNDECIDED"),
    ],
)
def test_trust_needs_proof_and_a_warning_does_not(n_right: int, n: int, verdict: str) -> None:
    found = held(*right(n_right, n))
    assert found.verdict == verdict
    assert found.accuracy == wilson(n_right, n)
    assert found.lower_bound == pytest.approx(wilson(n_right, n, 0.90).low)


def test_the_lines_can_be_set() -> None:
    assert held(*right(410, 500), ValidateOptions(0.70, 0.75)).trusted
    assert held(*right(420, 500), ValidateOptions(0.90, 0.95)).verdict == "WARN"
    with pytest.raises(BadInput, match="must lie"):
        ValidateOptions(0.9, 0.8)


def test_as_many_labels_as_it_says_would_settle_it() -> None:
    found = held(*right(410, 500))
    assert found.n_to_decide is not None
    n = found.n_to_decide
    assert 950 < n < 1250
    assert held(*right(round(0.82 * n * 1.05), round(n * 1.05))).trusted
    assert held(*right(390, 500)).n_to_decide is None


def test_everything_left_out_is_counted() -> None:
    people = np.array([A, A, TIE, A, A, A, NONE, A])
    label = np.array([A, B, A, NONE, NONE, NONE, A, A])
    asked = np.array([True, True, True, True, True, False, True, True])
    failed = np.array([False, False, False, True, False, False, False, False])
    learned = np.array([False] * 7 + [True])
    found = held(label, people, asked=asked, failed=failed, learned=learned)
    assert found.n_labelled == 7
    counts = (found.n_human_tie, found.n_failed, found.n_abstained, found.n_missing)
    assert counts == (1, 1, 1, 1)
    assert found.n_learned == 1
    assert found.accuracy is not None
    assert (found.accuracy.n, found.accuracy.estimate) == (2, 0.5)
    assert found.n_labelled == found.accuracy.n + sum(counts) + found.n_learned


def test_strict_ties_must_be_equal() -> None:
    people, label = np.array([TIE, TIE, A]), np.array([TIE, A, TIE])
    strict = held(label, people, ValidateOptions(ties="strict")).accuracy
    decisive = held(label, people).accuracy
    assert strict is not None
    assert decisive is not None
    assert (strict.n, strict.estimate) == (3, pytest.approx(1 / 3))
    assert (decisive.n, decisive.estimate) == (1, 0.0)


def test_swapping_all_responses_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    people, label = rng.integers(-1, 3, 300), rng.integers(-1, 3, 300)
    swap = np.array([B, A, TIE, NONE])
    assert held(swap[label], swap[people]) == held(label, people)


def test_pairs_of_a_prompt_are_one_piece_of_evidence() -> None:
    label, people = right(420, 500)
    prompt = np.arange(500) // 10
    alone, clustered = held(label, people), held(label, people, prompt=prompt)
    assert clustered.accuracy is not None
    assert clustered.accuracy.method == "cluster"
    assert clustered.lower_bound is not None
    assert alone.lower_bound is not None
    assert clustered.lower_bound < alone.lower_bound
    assert clustered.verdict == "UNDECIDED"


def test_unequal_draws_are_weighed_back_and_the_interval_covers() -> None:
    rng = np.random.default_rng(4)
    covered = []
    unsure = (
        rng.random(4000) < 0.3
    )  # right 6 times in 10, the others 9 times; drawn 4 times as often
    truth = (rng.random(4000) < np.where(unsure, 0.6, 0.9)).astype(float)
    chance = np.where(unsure, 0.2, 0.05)
    for _ in range(300):
        at = rng.random(4000) < chance
        found = weighted_share(truth[at], 1.0 / chance[at], np.arange(4000)[at], 0.95)
        covered.append(found.low <= truth.mean() <= found.high)
    assert np.mean(covered) >= 0.92


def test_equal_weights_are_the_plain_share() -> None:
    values = np.array([1.0] * 17 + [0.0] * 3)
    assert weighted_share(values, np.full(20, 7.0), np.arange(20), 0.95) == wilson(17, 20)


def test_slices_read_from_simple_to_complex_and_leave_blanks_out() -> None:
    label, people = right(3, 4)
    groups = {
        "complexity": np.array(["complex", "simple", "medium", "simple"], dtype=object),
        "subset": np.array(["x", "", "x", ""], dtype=object),
    }
    found = held(label, people, groups=groups)
    assert [(one.slice, one.value, one.accuracy.n) for one in found.slices] == [
        ("complexity", "simple", 2),
        ("complexity", "medium", 1),
        ("complexity", "complex", 1),
        ("subset", "x", 2),
    ]


def choose(audited: list[int], imported: list[int], n: int, seed: int = 0) -> HumanSide:
    size = len(audited)
    return choose_pairs(
        np.array(audited, dtype=np.int8),
        np.array(imported, dtype=np.int8),
        np.full(size, 0.25),
        np.zeros(size, dtype=bool),
        n,
        np.random.default_rng(seed),
    )


def test_audited_pairs_come_before_imported_ones() -> None:
    found = choose([A, NONE, B, NONE], [B, A, B, NONE], 10)
    assert found.reference.tolist() == [A, A, B, NONE]  # the audit's label, not the import's
    assert (found.n_audited, found.n_imported, found.n_available, found.n) == (2, 1, 3, 3)
    assert found.weight.tolist() == [1.0] * 4  # mixed: nothing is known of the imported pairs
    only = choose([A, NONE, B, NONE], [NONE] * 4, 10)
    assert only.weight.tolist() == [4.0, 1.0, 4.0, 1.0]


def test_more_labels_than_asked_for_are_drawn_at_random_from_a_seed() -> None:
    found, again = choose([A] * 50, [B] * 50, 20), choose([A] * 50, [B] * 50, 20)
    other = choose([A] * 50, [B] * 50, 20, seed=1)
    assert found.n == 20
    assert found.n_imported == 0
    assert found.n_available == 50
    assert found.reference.tolist() == again.reference.tolist() != other.reference.tolist()
