"""Simulated audits with known truth: what `plan`, the benchmark and the coverage tests run.

Rounds are read with the tests that real rounds are read with, many at once; all randomness comes
from the generator that is passed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipelines.agreement.annotations import BoolArray, IntArray
from pipelines.agreement.betting import bet_factors
from pipelines.agreement.decision import DECISIONS, Decision, Gate, TestName
from pipelines.agreement.eprocess import (
    Side,
    alternative_counts,
    boundary,
    exact_line,
    log_threshold,
)

NEVER = int(np.iinfo(np.int64).max)  # the label at which a test crossed that never did


@dataclass(frozen=True)
class Simulated:
    """How simulated rounds ended, shape (n_rounds,) each."""

    decision: IntArray  # index into DECISIONS
    n_labels: IntArray  # the deciding label; all that were drawn where undecided
    n_decisive: IntArray  # those among them that were no tie

    def share(self, decision: Decision) -> float:
        """Share of the rounds that ended with this decision."""
        return float(np.mean(self.decision == DECISIONS.index(decision)))


def simulate_uniform(
    gate: Gate,
    n_population: int,
    theta: float,
    n_draw: int,
    n_rounds: int,
    rng: np.random.Generator,
    *,
    tie_share: float = 0.0,
) -> Simulated:
    """Uniform rounds on populations in which exactly round(theta M) of M decisive pairs agree.

    Args:
        gate: The gate; `strict` counts every pair as decisive.
        n_population: Pairs in the population.
        theta: Agreement among decisive pairs.
        n_draw: Decisive labels after which a round is given up.
        n_rounds: Rounds to simulate.
        rng: Source of randomness.
        tie_share: Share of pairs that a human calls a tie (`decisive` only).
    """
    n_tie = round(tie_share * n_population) if gate.ties == "decisive" else 0
    n_agree = round(theta * (n_population - n_tie))
    rest = np.tile([n_agree, n_tie, n_population - n_agree - n_tie], (n_rounds, 1))
    kind_of_test = _TableTest if gate.ties == "strict" else _BettingTest
    tests = {
        name: kind_of_test(n_population, tau, side, gate.alpha, n_rounds)
        for name, tau, side in gate.tests()
    }
    crossed = {name: np.full(n_rounds, NEVER) for name in tests}
    alive = np.arange(n_rounds)
    labels, decisive = np.zeros(n_rounds, dtype=np.int64), np.zeros(n_rounds, dtype=np.int64)
    decision = np.zeros(n_rounds, dtype=np.int64)
    for t in range(1, n_population + 1):
        u = rng.random(len(alive)) * (n_population - t + 1)
        agree = u < rest[alive, 0]
        tie = ~agree & (u < rest[alive, 0] + rest[alive, 1])
        kind = np.where(agree, 0, np.where(tie, 1, 2))
        rest[alive, kind] -= 1
        labels[alive] = t
        decisive[alive] += ~tie
        for name, test in tests.items():
            hit = alive[test.step(alive, agree, tie, t)]
            crossed[name][hit] = np.minimum(crossed[name][hit], t)
        decision[alive] = decisions({name: row[alive] for name, row in crossed.items()})[0]
        going = (decision[alive] == 0) & (decisive[alive] < n_draw)
        if not going.all():
            alive = alive[going]
            if len(alive) == 0:
                break
    return Simulated(decision, labels, decisive)


class _TableTest:
    """One `strict` test stepped through many rounds: the integer table."""

    def __init__(self, n_population: int, tau: float, side: Side, alpha: float, n: int) -> None:
        self.table = boundary(n_population, tau, side, alpha)
        self.agreed = np.zeros(n, dtype=np.int64)

    def step(self, alive: IntArray, agree: BoolArray, _tie: BoolArray, t: int) -> BoolArray:
        """Which of the rounds alive reject at label t."""
        self.agreed[alive] += agree
        return self.table.crossed(self.agreed[alive], np.full(len(alive), t))


class _BettingTest:
    """One `decisive` test stepped through many rounds: the wealth of every bet."""

    def __init__(self, n_population: int, tau: float, side: Side, alpha: float, n: int) -> None:
        alternatives = alternative_counts(n_population, tau, side)
        self.side: Side = side
        self.n_population = n_population
        self.threshold = np.exp(log_threshold(alpha))
        self.line = tau if side == "up" else 1.0 - tau
        self.gap = np.abs(alternatives - float(exact_line(tau) * n_population))
        self.null_sum = np.full(n, self.line * n_population)
        self.wealth = np.ones((n, len(alternatives)))

    def step(self, alive: IntArray, agree: BoolArray, tie: BoolArray, t: int) -> BoolArray:
        """Which of the rounds alive reject at label t."""
        won = agree if self.side == "up" else ~agree & ~tie
        x = won + tie * self.line
        left = np.asarray(self.n_population - t + 1)
        null_sum = self.null_sum[alive]
        wealth = self.wealth[alive] * bet_factors(x[:, None], null_sum[:, None], left, self.gap)
        self.wealth[alive] = wealth
        self.null_sum[alive] = null_sum - x
        return np.asarray((wealth.mean(axis=1) >= self.threshold) | (null_sum - x < -5e-7))


def decisions(crossed: Mapping[TestName, IntArray]) -> tuple[IntArray, IntArray]:
    """Decision (index into DECISIONS) and its label from the labels at which each test crossed."""
    between = np.full_like(crossed["trust"], NEVER)
    if "above_low" in crossed:
        between = np.maximum(crossed["above_low"], crossed["below_high"])
    # WARN, then BETWEEN, then TRUST: of two at the same label the more cautious one stands.
    labels = np.stack([crossed["warn"], between, crossed["trust"]])
    first = np.argmin(labels, axis=0)
    label = labels.min(axis=0)
    codes = np.array([DECISIONS.index(d) for d in ("WARN", "BETWEEN", "TRUST")])
    return np.where(label < NEVER, codes[first], 0), label
