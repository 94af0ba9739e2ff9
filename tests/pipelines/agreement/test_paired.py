"""Paired comparisons: published tables, slow definitions, coverage."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.agreement.paired import (
    compare_paired,
    holm,
    newcombe_paired,
    sign_flip_p,
)
from pipelines.errors import BadInput, Undefined

points = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 5)
    ),
    min_size=1,
    max_size=30,
)


def mcnemar(only_first: int, only_second: int) -> float:
    return sign_flip_p(np.repeat([1, -1], [only_first, only_second]))


# Fagerland, Lydersen and Laake (2014), doi:10.1002/sim.6148: airway hyper-responsiveness (Bentur
# et al. 2009) and complete response (Cavo et al. 2012); the conditional exact test.
@pytest.mark.parametrize(("discordant", "p"), [((1, 7), 0.070), ((6, 16), 0.052)])
def test_mcnemar_exact_as_published(discordant: tuple[int, int], p: float) -> None:
    assert mcnemar(*discordant) == pytest.approx(p, abs=0.0005)


def test_mcnemar_by_hand() -> None:
    # 8 discordant pairs, 1 on one side: 2 (C(8,0) + C(8,1)) / 2^8 = 18/256
    assert mcnemar(1, 7) == pytest.approx(18 / 256)
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(3, 3) == 1.0


def test_newcombe_as_published() -> None:
    # Same source, Newcombe square-and-add: -0.286 (-0.507 to -0.026).
    found = newcombe_paired(1, 1, 7, 12)
    assert found.estimate == pytest.approx(-0.286, abs=0.0005)
    assert (found.low, found.high) == pytest.approx((-0.507, -0.026), abs=0.0005)


def test_newcombe_keeps_a_width_without_a_discordant_pair() -> None:
    found = newcombe_paired(90, 0, 0, 10)
    assert found.estimate == 0.0
    assert found.low < 0.0 < found.high


@given(st.lists(st.integers(-3, 3), max_size=9))
def test_the_sign_flip_test_is_what_all_sign_patterns_say(totals: list[int]) -> None:
    sums = [
        sum(s * t for s, t in zip(signs, totals, strict=True))
        for signs in itertools.product((1, -1), repeat=len(totals))
    ]
    slow = np.mean([abs(one) >= abs(sum(totals)) for one in sums])
    assert sign_flip_p(np.array(totals, dtype=np.int64)) == pytest.approx(slow)


@given(points)
def test_the_order_of_the_judges_only_turns_the_sign(rows: list[tuple[float, float, int]]) -> None:
    one, two, prompt = (np.array(column) for column in zip(*rows, strict=True))
    first, second = compare_paired(one, two, prompt), compare_paired(two, one, prompt)
    assert first.p_value == pytest.approx(second.p_value)
    assert first.difference.estimate == pytest.approx(-second.difference.estimate)
    assert first.difference.low == pytest.approx(-second.difference.high)
    assert first.n_first_better == second.n_second_better
    assert first.difference.low <= first.difference.estimate <= first.difference.high


@given(points, st.randoms(use_true_random=False))
def test_the_order_of_the_pairs_does_not_count(
    rows: list[tuple[float, float, int]], random: object
) -> None:
    before = compare_paired(*(np.array(column) for column in zip(*rows, strict=True)))
    random.shuffle(rows)  # type: ignore[attr-defined]  # hypothesis' Random
    after = compare_paired(*(np.array(column) for column in zip(*rows, strict=True)))
    assert after.difference.low == pytest.approx(before.difference.low)
    assert after.p_value == pytest.approx(before.p_value)


def _simulated(
    rng: np.random.Generator, n_prompts: int, per_prompt: int, shared: float, p: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Judges that are right with chances p; a share of the pairs is as hard as their prompt."""
    shape = (n_prompts, per_prompt)
    hard = np.where(rng.random(shape) < shared, rng.random((n_prompts, 1)), rng.random(shape))
    own = rng.random((*shape, 2))
    both = np.where(rng.random(shape)[..., None] < 0.5, hard[..., None], own)
    right = (both < p).astype(float)
    prompt = np.repeat(np.arange(n_prompts), per_prompt)
    return right[..., 0].ravel(), right[..., 1].ravel(), prompt


@pytest.mark.parametrize(
    ("n_prompts", "per_prompt", "shared", "p"),
    [
        (100, 1, 0.0, (0.85, 0.78)),
        (100, 1, 0.0, (0.95, 0.95)),
        (50, 4, 0.8, (0.85, 0.75)),
        (20, 10, 0.9, (0.8, 0.8)),
    ],
)
def test_the_interval_covers_and_the_test_keeps_its_level(
    n_prompts: int, per_prompt: int, shared: float, p: tuple[float, float]
) -> None:
    rng, n = np.random.default_rng(5), 400
    covered = rejected = 0
    for _ in range(n):
        found = compare_paired(*_simulated(rng, n_prompts, per_prompt, shared, p))
        covered += found.difference.low <= p[0] - p[1] <= found.difference.high
        rejected += found.p_value <= 0.05
    assert covered / n >= 0.93
    if p[0] == p[1]:
        assert rejected / n <= 0.07


def test_ignoring_prompts_would_be_too_sure() -> None:
    rng = np.random.default_rng(1)
    one, two, prompt = _simulated(rng, 20, 20, 1.0, (0.85, 0.75))
    clustered = compare_paired(one, two, prompt)
    alone = compare_paired(one, two, np.arange(len(prompt)))
    assert clustered.difference.high - clustered.difference.low > (
        alone.difference.high - alone.difference.low
    )


def test_holm_by_hand() -> None:
    # sorted .01 .03 .04: 3*.01, max(.03, 2*.03), max(.06, 1*.04)
    assert holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([]) == []


def test_what_cannot_be_compared_says_so() -> None:
    with pytest.raises(Undefined, match="share no labelled pair"):
        compare_paired(np.zeros(0), np.zeros(0), np.zeros(0, dtype=int))
    with pytest.raises(BadInput, match="leave failures out"):
        compare_paired(np.array([np.nan]), np.array([1.0]), np.array([0]))
    with pytest.raises(BadInput, match="equal lengths"):
        compare_paired(np.ones(2), np.ones(1), np.arange(2))
