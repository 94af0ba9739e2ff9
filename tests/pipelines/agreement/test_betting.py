from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.agreement.betting import log_e_path
from pipelines.agreement.eprocess import log_e
from pipelines.errors import BadInput

AGREE, TIE, DISAGREE = 1, 2, 0


def e_path(codes, n_population, tau, side):
    codes = np.asarray(codes)
    path = log_e_path(
        (codes == AGREE).astype(int), (codes == TIE).astype(int), n_population, tau, side
    )
    return np.exp(np.minimum(path, 700.0))


@pytest.mark.parametrize("side", ["up", "down"])
@pytest.mark.parametrize("tau", [0.5, 0.8])
@pytest.mark.parametrize("n_population", [5, 6])
def test_under_every_population_of_the_null_wealth_falls_on_average(n_population, tau, side):
    values = {
        path: e_path(path, n_population, tau, side)[-1]
        for length in range(1, n_population + 1)
        for path in product((DISAGREE, AGREE, TIE), repeat=length)
    }
    values[()] = 1.0
    for agree in range(n_population + 1):
        for tie in range(n_population - agree + 1):
            disagree = n_population - agree - tie
            decisive = agree + disagree
            if (agree > tau * decisive) if side == "up" else (agree < tau * decisive):
                continue
            for path, wealth in values.items():
                rest = {
                    AGREE: agree - path.count(AGREE),
                    TIE: tie - path.count(TIE),
                    DISAGREE: disagree - path.count(DISAGREE),
                }
                left = n_population - len(path)
                if min(rest.values()) < 0 or left == 0:
                    continue
                mean = sum(
                    count / left * values[(*path, code)] for code, count in rest.items() if count
                )
                assert mean <= wealth * (1 + 1e-9) + 1e-12


@given(st.integers(1, 300), st.data())
def test_without_ties_it_is_the_hypergeometric_mixture(n_population, data):
    tau = data.draw(st.sampled_from([0.5, 0.75, 0.8, 0.9]))
    side = data.draw(st.sampled_from(["up", "down"]))
    agree = np.array(data.draw(st.lists(st.integers(0, 1), min_size=1, max_size=n_population)))
    path = log_e_path(agree, 0 * agree, n_population, tau, side, ties_score=False)
    direct = log_e(np.cumsum(agree), np.arange(1, len(agree) + 1), n_population, tau, side)
    both = np.isfinite(path) & np.isfinite(direct)
    np.testing.assert_allclose(path[both], direct[both], atol=1e-8)
    np.testing.assert_array_equal(path == np.inf, direct == np.inf)


def test_a_tie_costs_next_to_nothing():
    rng = np.random.default_rng(5)
    decisive = (rng.random(300) < 0.9).astype(int)
    with_ties = np.full(400, TIE)
    with_ties[np.sort(rng.permutation(400)[:300])] = decisive
    plain = np.log(e_path(decisive, 20_000, 0.80, "up")[-1])
    mixed = np.log(e_path(with_ties, 20_000, 0.80, "up")[-1])
    assert mixed == pytest.approx(plain, rel=0.05)
    assert e_path([TIE] * 50, 1_000, 0.80, "up")[-1] == pytest.approx(1.0, abs=1e-9)


def test_certainty_is_exact_though_the_line_is_no_binary_number():
    # 8 of 10 agree at the line .8: neither "above" nor "below" is ever proven
    codes = [AGREE] * 8 + [DISAGREE] * 2
    assert e_path(codes, 10, 0.80, "up")[-1] < 1e6
    assert e_path(codes, 10, 0.80, "down")[-1] < 1e6
    # With a tie among the rest, 8 of 9 decisive pairs are above the line
    codes = [AGREE] * 8 + [TIE, DISAGREE]
    assert e_path(codes, 10, 0.80, "up")[-1] > 1e300


def test_the_down_test_is_the_up_test_of_disagreement():
    rng = np.random.default_rng(6)
    codes = rng.choice([AGREE, DISAGREE, TIE], size=150, p=[0.3, 0.5, 0.2])
    swapped = np.where(codes == TIE, TIE, 1 - codes)
    up = e_path(codes, 900, 0.5, "up")
    down = e_path(swapped, 900, 0.5, "down")
    np.testing.assert_allclose(up, down, rtol=1e-9)


def test_more_labels_than_pairs_are_refused():
    with pytest.raises(BadInput, match="each pair counts once"):
        log_e_path(np.ones(3, dtype=int), np.zeros(3, dtype=int), 2, 0.8, "up")
