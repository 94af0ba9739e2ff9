"""False certification under watching every label, and what a decision costs.

A count of rare events in n rounds may exceed n·α by three standard errors before a test fails.
"""

import numpy as np
import pytest

from pipelines.agreement.active_simulation import logistic_truth, simulate_active
from pipelines.agreement.decision import DECISIONS, Gate
from pipelines.agreement.gate import AGREE, DISAGREE, HUMAN_TIE, read_gate
from pipelines.agreement.simulation import NEVER, decisions, simulate_uniform

STRICT, DECISIVE = Gate(0.80, 0.80, ties="strict"), Gate(0.80, 0.80, ties="decisive")


def within_alpha(share, n_rounds, alpha=0.05):
    return share <= alpha + 3 * (alpha * (1 - alpha) / n_rounds) ** 0.5


@pytest.mark.parametrize("n_population", [150, 3_000])
@pytest.mark.parametrize(("gate", "tie_share"), [(STRICT, 0.0), (DECISIVE, 0.0), (DECISIVE, 0.3)])
def test_false_certification_watching_every_label_of_a_uniform_round(gate, tie_share, n_population):
    n_rounds = 1_500
    rng = np.random.default_rng(21)
    ended = simulate_uniform(gate, n_population, 0.80, 800, n_rounds, rng, tie_share=tie_share)
    assert within_alpha(ended.share("TRUST"), n_rounds)
    assert within_alpha(ended.share("WARN"), n_rounds)


@pytest.mark.parametrize("auroc", [0.85, 0.5, 0.25])
def test_false_certification_of_an_active_round_even_with_reversed_confidence(auroc):
    n_rounds = 500
    rng = np.random.default_rng(22)
    ended = simulate_active(STRICT, 4_000, 0.80, 600, n_rounds, rng, auroc=auroc)
    assert within_alpha(ended.share("TRUST"), n_rounds)
    assert within_alpha(ended.share("WARN"), n_rounds)


def test_false_certification_of_an_active_round_with_ties():
    n_rounds = 400
    rng = np.random.default_rng(23)
    ended = simulate_active(DECISIVE, 4_000, 0.80, 600, n_rounds, rng, auroc=0.85, tie_share=0.25)
    assert within_alpha(ended.share("TRUST"), n_rounds)
    assert within_alpha(ended.share("WARN"), n_rounds)


@pytest.mark.parametrize(("theta", "outer"), [(0.75, "WARN"), (0.80, "TRUST")])
def test_each_line_of_the_default_gate_holds_its_error(theta, outer):
    n_rounds = 600
    rng = np.random.default_rng(24)
    ended = simulate_uniform(Gate(), 3_000, theta, 500, n_rounds, rng, tie_share=0.2)
    assert within_alpha(ended.share(outer), n_rounds)
    assert within_alpha(ended.share("BETWEEN"), n_rounds)


# STATISTICS: mean labels to a decision at N = 20,000, one line at .80, cap 4,000.
PUBLISHED = {0.70: 133, 0.74: 340, 0.78: 2172, 0.82: 2164, 0.85: 413, 0.90: 105}


@pytest.mark.parametrize(("theta", "labels"), PUBLISHED.items())
def test_strict_labels_are_within_a_tenth_of_the_published_table(theta, labels):
    ended = simulate_uniform(STRICT, 20_000, theta, 4_000, 2_000, np.random.default_rng(25))
    assert ended.n_labels.mean() == pytest.approx(labels, rel=0.10)


@pytest.mark.parametrize("theta", [0.74, 0.85, 0.90])
def test_ties_cost_at_most_a_tenth_more_decisive_labels(theta):
    rng = np.random.default_rng(26)
    ended = simulate_uniform(DECISIVE, 20_000, theta, 4_000, 1_000, rng, tie_share=0.2)
    assert ended.n_decisive.mean() <= 1.10 * PUBLISHED[theta]
    # Every label is paid for, ties too: a fifth of them
    assert ended.n_labels.mean() * 0.8 == pytest.approx(ended.n_decisive.mean(), rel=0.02)


@pytest.mark.parametrize(("theta", "labels"), [(0.74, 235), (0.85, 284), (0.90, 91)])
def test_active_labels_are_within_a_tenth_of_the_published_table(theta, labels):
    rng = np.random.default_rng(27)
    ended = simulate_active(STRICT, 20_000, theta, 4_000, 400, rng, auroc=0.85)
    assert ended.n_labels.mean() <= 1.10 * labels


def test_a_simulated_round_is_read_as_a_real_one_is():
    # Replaying the generator's draws through read_gate gives the same decision at the same label.
    gate, n_population, n_tie, n_agree = Gate(0.8, 0.6), 300, 60, 180
    for seed in range(12):
        ended = simulate_uniform(
            gate, n_population, 0.75, 240, 1, np.random.default_rng(seed), tie_share=0.2
        )
        rng, rest, codes = np.random.default_rng(seed), [n_agree, n_tie, 60], []
        for t in range(int(ended.n_labels[0])):
            u = rng.random(1)[0] * (n_population - t)
            kind = 0 if u < rest[0] else 1 if u < rest[0] + rest[1] else 2
            rest[kind] -= 1
            codes.append((AGREE, HUMAN_TIE, DISAGREE)[kind])
        reading = read_gate(gate, codes, n_population)
        assert reading.decision == DECISIONS[ended.decision[0]]
        assert reading.n_labels in (None, len(codes))


def test_of_two_decisions_at_one_label_the_cautious_one_stands():
    crossed = {
        "trust": np.array([5, 5, 9, NEVER]),
        "warn": np.array([5, NEVER, NEVER, NEVER]),
        "above_low": np.array([NEVER, 2, 2, 3]),
        "below_high": np.array([NEVER, 5, 7, NEVER]),
    }
    decision, label = decisions(crossed)
    assert [DECISIONS[code] for code in decision] == ["WARN", "BETWEEN", "BETWEEN", "UNDECIDED"]
    assert label[:3].tolist() == [5, 5, 7]


@pytest.mark.parametrize("auroc", [0.2, 0.5, 0.7, 0.85])
def test_the_assumed_truth_has_the_assumed_mean_and_auroc(auroc):
    intercept, slope = logistic_truth(0.8, auroc)
    rng = np.random.default_rng(28)
    score = rng.standard_normal(200_000)
    agree = rng.random(200_000) < 1 / (1 + np.exp(-(intercept + slope * score)))
    assert agree.mean() == pytest.approx(0.8, abs=0.005)
    order = np.empty(len(score))
    order[np.argsort(score)] = np.arange(1, len(score) + 1)
    n_right = agree.sum()
    area = (order[agree].sum() - n_right * (n_right + 1) / 2) / (n_right * (~agree).sum())
    assert area == pytest.approx(auroc, abs=0.01)
