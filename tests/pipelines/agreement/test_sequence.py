from math import comb

import numpy as np
import pytest

from pipelines.agreement.sequence import decisive_interval, ppr_interval


def test_worked_example():
    low, high = ppr_interval(170, 200, 20_000, 0.05)
    assert (float(low), float(high)) == (0.7523, 0.92145)


def test_the_bisection_is_the_definition():
    n_population, alpha = 37, 0.05
    for labels in range(n_population + 1):
        for agree in range(labels + 1):
            kept = [
                k
                for k in range(agree, n_population - (labels - agree) + 1)
                if (labels + 1) * comb(k, agree) * comb(n_population - k, labels - agree)
                > alpha * comb(n_population, labels)
            ]
            low, high = ppr_interval(agree, labels, n_population, alpha)
            assert (low, high) == (min(kept) / n_population, max(kept) / n_population)


def test_no_label_says_nothing_and_a_census_everything():
    assert [float(x) for x in ppr_interval(0, 0, 50, 0.05)] == [0.0, 1.0]
    assert [float(x) for x in ppr_interval(31, 50, 50, 0.05)] == [0.62, 0.62]
    assert [float(x) for x in decisive_interval(6, 8, 2, 10, 0.05)] == [0.75, 0.75]
    assert [float(x) for x in decisive_interval(0, 0, 10, 10, 0.05)] == [0.0, 1.0]


def test_the_decisive_interval_holds_the_union_over_all_numbers_of_decisive_pairs():
    for n_population, ties, alpha in ((24, 0, 0.05), (30, 7, 0.2), (61, 3, 0.05)):
        for decisive in range(1, n_population - ties + 1, 3):
            for agree in range(decisive + 1):
                sizes = np.arange(decisive, n_population - ties + 1)
                lows, highs = ppr_interval(agree, decisive, sizes, alpha)
                low, high = decisive_interval(agree, decisive, ties, n_population, alpha)
                assert low <= lows.min() + 1e-12
                assert high >= highs.max() - 1e-12


@pytest.mark.parametrize("tie_share", [0.0, 0.3])
def test_the_interval_covers_at_all_labels_at_once(tie_share):
    rng = np.random.default_rng(11)
    n_population, n_rounds = 400, 600
    n_tie = round(tie_share * n_population)
    n_agree = round(0.8 * (n_population - n_tie))
    truth = n_agree / (n_population - n_tie)
    codes = np.repeat([1, 2, 0], [n_agree, n_tie, n_population - n_tie - n_agree])
    missed = 0
    for _ in range(n_rounds):
        drawn = rng.permutation(codes)
        agree, decisive = np.cumsum(drawn == 1), np.cumsum(drawn != 2)
        ties = np.cumsum(drawn == 2)
        low, high = decisive_interval(agree, decisive, ties, n_population, 0.05)
        missed += bool(np.any((low > truth + 1e-12) | (high < truth - 1e-12)))
    # 5% of 600 is 30; three standard errors more is 46
    assert missed <= 46
