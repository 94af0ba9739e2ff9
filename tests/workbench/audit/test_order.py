import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.audit.order import draw_order, key, overlap_positions, uniform

ids = st.lists(st.text(min_size=1).filter(lambda s: s.isprintable()), unique=True, max_size=30)


def test_a_key_is_what_sha256sum_prints() -> None:
    # printf '%s' '7|round-1|main|p-17' | sha256sum
    printed = "0f66e43cba385335a51e065e94513eac9be2609b2336ec532f787d4dafd6b498"
    assert key(7, "round-1", "main", "p-17").hex() == printed


@given(ids, st.integers(0, 2**40))
def test_the_order_is_the_sorted_keys(pair_ids: list[str], seed: int) -> None:
    order = draw_order(pair_ids, seed, "r", "main")
    slow = sorted(
        pair_ids, key=lambda one: hashlib.sha256(f"{seed}|r|main|{one}".encode()).digest()
    )
    assert [pair_ids[k] for k in order] == slow


@given(ids)
def test_the_order_does_not_depend_on_the_order_of_the_file(pair_ids: list[str]) -> None:
    forwards = [pair_ids[k] for k in draw_order(pair_ids, 3, "r", "main")]
    backwards = pair_ids[::-1]
    assert [backwards[k] for k in draw_order(backwards, 3, "r", "main")] == forwards


def test_another_round_seed_or_stratum_is_another_order() -> None:
    pair_ids = [f"p-{k}" for k in range(200)]
    base = draw_order(pair_ids, 0, "round-1", "main")
    for other in ((1, "round-1", "main"), (0, "round-2", "main"), (0, "round-1", "safety")):
        assert draw_order(pair_ids, *other) != base


def test_every_pair_is_drawn_first_equally_often() -> None:
    pair_ids = [f"p-{k}" for k in range(10)]
    firsts = [draw_order(pair_ids, seed, "r", "main")[0] for seed in range(4000)]
    counts = np.bincount(firsts, minlength=10)
    assert ((counts - 400) ** 2 / 400).sum() < 27.9  # chi-square with 9 degrees, p = 0.001


def test_uniform_numbers_lie_inside_the_unit_interval() -> None:
    values = [uniform(0, "r", "x", str(k)) for k in range(2000)]
    assert 0.0 < min(values) < max(values) < 1.0
    assert np.mean(values) == pytest.approx(0.5, abs=0.03)


@given(st.integers(0, 300), st.integers(0, 300), st.sampled_from([0.0, 0.1, 0.15, 1 / 3, 0.5, 1.0]))
def test_overlap_is_the_share_at_every_length_and_an_extension_goes_on(
    first: int, more: int, share: float
) -> None:
    whole = overlap_positions(0, first + more, share)
    assert abs(len(whole) - share * (first + more)) <= 0.5 + 1e-6
    assert (
        overlap_positions(0, first, share) + overlap_positions(first, first + more, share) == whole
    )
