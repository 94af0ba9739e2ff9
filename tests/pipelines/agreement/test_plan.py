import json
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import hypergeom

from pipelines.agreement.decision import DECISIONS, Gate
from pipelines.agreement.decision_curve import decision_curve
from pipelines.agreement.eprocess import null_count
from pipelines.agreement.fixed_sample import fixed_power, fixed_sample_size, right_decision
from pipelines.agreement.gate import read_gate
from pipelines.agreement.plan import Planner, plan
from pipelines.agreement.simulation import simulate_uniform
from pipelines.errors import BadInput

STRICT = Gate(ties="strict")
LINE = Gate(0.80, 0.80, ties="strict")


@pytest.mark.parametrize("gate", [Gate(0.6, 0.5, 0.3, "strict"), Gate(0.5, 0.5, 0.3, "strict")])
@pytest.mark.parametrize("n_agree", [0, 4, 6, 7, 9, 12])
def test_the_curve_is_the_count_over_all_orders(gate, n_agree):
    n_population = 12
    orders = list(combinations(range(n_population), n_agree))
    ended = {name: np.zeros(n_population + 1) for name in DECISIONS}
    for order in orders:
        codes = np.zeros(n_population, dtype=int)
        codes[list(order)] = 1
        reading = read_gate(gate, codes, n_population)
        ended[reading.decision][reading.n_labels] += 1 / len(orders)
    curve = decision_curve(gate, n_population, n_agree / n_population, n_population)
    for name in ("TRUST", "WARN", "BETWEEN"):
        np.testing.assert_allclose(curve.by_label[name], np.cumsum(ended[name]), atol=1e-12)
    mean = sum(t * sum(ended[name][t] for name in ended) for t in range(n_population + 1))
    assert curve.mean_labels() == pytest.approx(mean)


@pytest.mark.parametrize("theta", [0.70, 0.775, 0.85])
def test_the_curve_is_what_simulation_finds(theta):
    n_rounds = 4_000
    ended = simulate_uniform(STRICT, 3_000, theta, 900, n_rounds, np.random.default_rng(31))
    curve = decision_curve(STRICT, 3_000, theta, 900)
    for name in DECISIONS:
        share = curve.chance(name)
        error = 4 * (max(share * (1 - share), 1e-3) / n_rounds) ** 0.5
        assert ended.share(name) == pytest.approx(share, abs=error)
    assert ended.n_labels.mean() == pytest.approx(curve.mean_labels(), rel=0.05)


def test_false_certification_is_at_most_alpha_exactly():
    for n_population in (60, 400, 20_000):
        curve = decision_curve(LINE, n_population, 0.80, min(n_population, 4_000))
        assert curve.chance("TRUST") <= 0.05
        assert curve.chance("WARN") <= 0.05
    # The study's simulation: 4.0% and 4.3%
    assert curve.chance("TRUST") == pytest.approx(0.040, abs=0.005)
    assert curve.chance("WARN") == pytest.approx(0.043, abs=0.006)


@pytest.mark.parametrize(
    ("theta", "labels"),
    [(0.70, 133), (0.74, 340), (0.78, 2172), (0.82, 2164), (0.85, 413), (0.90, 105)],
)
def test_exact_expected_labels_are_those_of_the_published_simulation(theta, labels):
    # 2,000 rounds leave about 3% of noise in the published means
    curve = decision_curve(LINE, 20_000, theta, 4_000)
    assert curve.mean_labels() == pytest.approx(labels, rel=0.04)


@pytest.mark.parametrize("theta", [0.70, 0.85])
def test_ties_only_stretch_the_decisive_labels(theta):
    gate = Gate()
    row = Planner(gate, 5_000, 1_500, tie_share=0.25).row(theta)
    ended = simulate_uniform(
        gate, 5_000, theta, 1_125, 800, np.random.default_rng(32), tie_share=0.25
    )
    assert ended.n_labels.mean() == pytest.approx(row.mean_labels, rel=0.08)
    assert ended.share("TRUST") == pytest.approx(row.trust, abs=0.05)
    assert ended.share("WARN") == pytest.approx(row.warn, abs=0.05)


@pytest.mark.parametrize(("tau", "theta"), [(0.8, 0.85), (0.8, 0.74), (0.75, 0.85)])
def test_the_fixed_sample_is_the_smallest_with_that_power(tau, theta):
    gate, n_population, power = Gate(tau, tau, ties="strict"), 3_000, 0.80

    def exact_power(n):
        k = round(theta * n_population)
        if theta > tau:
            null = hypergeom(n_population, null_count(n_population, tau, "up"), n)
            least = next(c for c in range(n + 2) if null.sf(c - 1) <= 0.05)
            return hypergeom(n_population, k, n).sf(least - 1)
        null = hypergeom(n_population, null_count(n_population, tau, "down"), n)
        most = next(c for c in range(n, -2, -1) if null.cdf(c) <= 0.05)
        return hypergeom(n_population, k, n).cdf(most)

    n = fixed_sample_size(gate, n_population, theta, power)
    assert exact_power(n) >= power
    assert all(exact_power(m) < power for m in range(max(1, n - 40), n))
    right = right_decision(gate, theta)
    assert fixed_power(gate, n_population, theta, n, right) == pytest.approx(exact_power(n))


def test_right_decisions():
    assert [right_decision(STRICT, t) for t in (0.9, 0.80, 0.78, 0.75, 0.6)] == [
        "TRUST",
        "UNDECIDED",
        "BETWEEN",
        "UNDECIDED",
        "WARN",
    ]
    assert fixed_sample_size(STRICT, 500, 0.80, 0.8) is None
    # A BETWEEN is within reach of everybody's answers even if of no sample's
    assert fixed_sample_size(STRICT, 100, 0.78, 0.99) <= 100


def test_a_tenth_of_a_thousand_pairs_rarely_decides_and_the_plan_says_so():
    small = plan(STRICT, 1_000, [0.85], n_drawn=100)
    (row,) = small.rows
    assert 0.10 < row.trust < 0.16
    assert "will rarely decide" in small.warning
    assert "TRUST with probability 13%" in small.warning
    enough = row.sample_for_power
    assert decision_curve(STRICT, 1_000, 0.85, enough).chance("TRUST") >= 0.80
    assert decision_curve(STRICT, 1_000, 0.85, enough - 1).chance("TRUST") < 0.80
    larger = plan(STRICT, 1_000, [0.85], n_drawn=500)
    assert larger.warning is None
    json.dumps(small.as_dict(), allow_nan=False)


def test_a_row_adds_up():
    for theta in (0.6, 0.75, 0.78, 0.95):
        row = Planner(Gate(), 800, 200, tie_share=0.1, seconds_per_pair=36.0).row(theta)
        assert row.trust + row.warn + row.between + row.undecided == pytest.approx(1.0)
        assert row.median_labels <= row.p90_labels <= 200
        assert row.mean_labels <= 200 + 1e-9
        assert row.mean_hours == pytest.approx(row.mean_labels / 100)


def test_drawing_everybody_always_decides():
    for gate in (STRICT, Gate()):
        for theta in (0.5, 0.75, 0.78, 0.8, 0.99):
            row = Planner(gate, 60, 60, tie_share=0.2).row(theta)
            assert row.undecided == pytest.approx(0.0, abs=1e-9)


def test_active_plans_are_simulated_and_replayed_from_the_seed():
    planner = Planner(LINE, 5_000, 600, "active", auroc=0.85, n_rounds=60, seed=4)
    row = planner.row(0.90)
    assert row == planner.row(0.90)
    assert row.mean_labels < Planner(LINE, 5_000, 600).row(0.90).mean_labels
    made = planner.assemble([row])
    assert (made.method, made.auroc) == ("60 simulated rounds", 0.85)


def test_what_cannot_be_planned_is_refused_in_a_sentence():
    for bad in (
        {"n_drawn": 0},
        {"n_drawn": 101},
        {"tie_share": 1.0},
        {"power": 1.0},
        {"seconds_per_pair": 0.0},
        {"mode": "active", "auroc": 0.3},
    ):
        with pytest.raises(BadInput):
            Planner(**{"gate": STRICT, "n_population": 100, "n_drawn": 10, **bad})
    with pytest.raises(BadInput, match="between 0 and 1"):
        Planner(STRICT, 100, 10).row(1.2)
