"""Simulated audits with known truth: what `plan`, the benchmark and the coverage tests run.

Rounds are read with the tests that real rounds are read with, many at once; all randomness comes
from the generator that is passed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import expit, ndtri

from pipelines.agreement.active import ridge_platt, stage_sizes, stage_weights
from pipelines.agreement.active_bets import StageDraws, Wealth
from pipelines.agreement.annotations import FloatArray, IntArray
from pipelines.agreement.betting import bet_factors
from pipelines.agreement.decision import Decision, Gate, TestName
from pipelines.agreement.eprocess import alternative_counts, boundary, exact_line, log_threshold
from pipelines.errors import BadInput

BoolArray = npt.NDArray[np.bool_]

DECISIONS: tuple[Decision, ...] = ("UNDECIDED", "TRUST", "WARN", "BETWEEN")
NEVER = int(np.iinfo(np.int64).max)  # the label at which a test crossed that never did
BATCH = 20  # rounds of active mode that are worked on at once: bounds the memory


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
    tests = [_UniformTest(gate, name, n_population, n_rounds) for name, _, _ in gate.tests()]
    crossed = {name: np.full(n_rounds, NEVER) for name, _, _ in gate.tests()}
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
        for test in tests:
            hit = test.step(alive, agree, tie, t)
            crossed[test.name][alive[hit]] = np.minimum(crossed[test.name][alive[hit]], t)
        decision[alive] = decisions({name: row[alive] for name, row in crossed.items()})[0]
        going = (decision[alive] == 0) & (decisive[alive] < n_draw)
        if not going.all():
            alive = alive[going]
            if len(alive) == 0:
                break
    return Simulated(decision, labels, decisive)


class _UniformTest:
    """One test of a gate stepped through many rounds: the table (`strict`) or the bets."""

    def __init__(self, gate: Gate, name: TestName, n_population: int, n_rounds: int) -> None:
        self.name = name
        (self.tau, self.side), *_ = [(tau, side) for n, tau, side in gate.tests() if n == name]
        self.n_population = n_population
        self.threshold = np.exp(log_threshold(gate.alpha))
        self.table = (
            boundary(n_population, self.tau, self.side, gate.alpha)
            if gate.ties == "strict"
            else None
        )
        self.agreed = np.zeros(n_rounds, dtype=np.int64)
        self.line = self.tau if self.side == "up" else 1.0 - self.tau
        alternatives = alternative_counts(n_population, self.tau, self.side)
        self.gap = np.abs(alternatives - float(exact_line(self.tau) * n_population))
        self.null_sum = np.full(n_rounds, self.line * n_population)
        self.wealth = np.ones((n_rounds, len(alternatives)))

    def step(self, alive: IntArray, agree: BoolArray, tie: BoolArray, t: int) -> BoolArray:
        """Which of the rounds alive reject at label t."""
        if self.table is not None:
            self.agreed[alive] += agree
            return self.table.crossed(self.agreed[alive], np.full(len(alive), t))
        won = agree if self.side == "up" else ~agree & ~tie
        x = won + tie * self.line
        wealth = self.wealth[alive] * bet_factors(
            x[:, None],
            self.null_sum[alive, None],
            np.asarray(self.n_population - t + 1),
            self.gap,
        )
        self.wealth[alive] = wealth
        self.null_sum[alive] -= x
        return np.asarray((wealth.mean(axis=1) >= self.threshold) | (self.null_sum[alive] < -5e-7))


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


@lru_cache(maxsize=64)
def logistic_truth(theta: float, auroc: float) -> tuple[float, float]:
    """Intercept and slope of P(agree | normal score) with this mean and this AUROC.

    The AUROC is that of the judge's confidence as a predictor of agreement; below .5 the
    confidence is reversed.
    """
    if not (0.0 < theta < 1.0 and 0.01 <= auroc <= 0.99):
        raise BadInput(f"theta = {theta} and AUROC = {auroc} must lie within 0 and 1")
    score = ndtri((np.arange(4000) + 0.5) / 4000)

    def intercept(slope: float) -> float:
        return float(brentq(lambda a: expit(a + slope * score).mean() - theta, -40.0, 40.0))

    def excess(slope: float) -> float:
        chance = expit(intercept(slope) + slope * score)
        wrong = 1.0 - chance
        below = np.cumsum(wrong) - wrong / 2.0
        return float((chance * below).sum() / (chance.sum() * wrong.sum())) - max(auroc, 1 - auroc)

    slope = 0.0 if abs(auroc - 0.5) < 1e-9 else float(brentq(excess, 1e-6, 30.0, xtol=1e-4))
    slope = slope if auroc >= 0.5 else -slope
    return intercept(slope), slope


def simulate_active(
    gate: Gate,
    n_population: int,
    theta: float,
    n_draw: int,
    n_rounds: int,
    rng: np.random.Generator,
    *,
    auroc: float,
    tie_share: float = 0.0,
    n_groups: int = 100,
) -> Simulated:
    """Active rounds in which the judge's confidence predicts agreement with the given AUROC.

    Args as `simulate_uniform`, but `n_draw` counts all labels, ties among them.
    """
    parts = [
        _active_batch(
            gate,
            n_population,
            theta,
            min(n_draw, n_population),
            min(BATCH, n_rounds - start),
            rng,
            auroc,
            tie_share if gate.ties == "decisive" else 0.0,
            n_groups,
        )
        for start in range(0, n_rounds, BATCH)
    ]
    return Simulated(
        np.concatenate([part.decision for part in parts]),
        np.concatenate([part.n_labels for part in parts]),
        np.concatenate([part.n_decisive for part in parts]),
    )


def _active_batch(
    gate: Gate,
    n_population: int,
    theta: float,
    n_draw: int,
    n_rounds: int,
    rng: np.random.Generator,
    auroc: float,
    tie_share: float,
    n_groups: int,
) -> Simulated:
    """Rounds side by side, each on a population of its own, stage after stage until decided."""
    n_groups = min(n_groups, n_population)
    size = np.bincount(np.arange(n_population) * n_groups // n_population, minlength=n_groups)
    edges = np.concatenate([[0], np.cumsum(size)])
    score = ndtri((edges[:-1] + edges[1:]) / 2.0 / n_population)
    left = np.stack(
        [_population(size, score, theta, auroc, tie_share, rng) for _ in range(n_rounds)]
    )  # (R, 3, n_groups): pairs left that agree, tie, disagree
    crossed = {name: np.full(n_rounds, NEVER) for name, _, _ in gate.tests()}
    wealth = {
        name: Wealth(n_population, np.full(n_rounds, tau), side) for name, tau, side in gate.tests()
    }
    seen = np.zeros((n_rounds, 3, n_groups), dtype=np.int64)
    ties_seen = np.zeros((n_rounds, n_draw + 1), dtype=np.int64)
    done = 0
    for n_stage in stage_sizes(n_draw):
        fits = [ridge_platt(score, wins, losses) for wins, _, losses in seen]
        beta = np.asarray(fits)
        chance = np.clip(expit(beta[:, :1] + beta[:, 1:] * score), 1e-3, 1.0 - 1e-3)
        rest = left.sum(axis=1)
        weight = stage_weights(chance, rest)
        group, kind = _draw(left, weight, n_stage, rng)
        np.add.at(seen, (np.arange(n_rounds)[:, None], kind, group), 1)
        share = seen[:, 1].sum(axis=1) * 0.0 if done == 0 else _tie_share(ties_seen[:, done], done)
        stage = StageDraws(
            rest=rest,
            weight=weight,
            chance=chance,
            tie_share=share,
            group=group,
            agree=(kind == 0).astype(np.int64),
            tie=(kind == 1).astype(np.int64),
        )
        ties_seen[:, done + 1 : done + n_stage + 1] = ties_seen[:, done, None] + np.cumsum(
            kind == 1, axis=1
        )
        for name, test in wealth.items():
            hit = test.advance(stage) >= log_threshold(gate.alpha)
            first = np.where(hit.any(axis=1), done + 1 + hit.argmax(axis=1), NEVER)
            crossed[name] = np.minimum(crossed[name], first)
        done += n_stage
        if (decisions(crossed)[0] > 0).all():
            break
    decision, label = decisions(crossed)
    labels = np.minimum(label, n_draw)
    return Simulated(decision, labels, labels - ties_seen[np.arange(n_rounds), labels])


def _tie_share(n_tie: IntArray, n_labels: int) -> FloatArray:
    return np.asarray(n_tie / (n_labels + 2.0))


def _population(
    size: IntArray,
    score: FloatArray,
    theta: float,
    auroc: float,
    tie_share: float,
    rng: np.random.Generator,
) -> IntArray:
    """Pairs of each group that agree, tie, disagree, (3, n_groups); the totals are exact."""
    intercept, slope = logistic_truth(theta, auroc)
    ties = _spread(
        np.asarray(size * tie_share, dtype=np.float64), round(tie_share * size.sum()), size, rng
    )
    decisive = size - ties
    wanted = np.asarray(decisive * expit(intercept + slope * score), dtype=np.float64)
    agree = _spread(wanted, round(theta * decisive.sum()), decisive, rng)
    return np.stack([agree, ties, decisive - agree])


def _spread(wanted: FloatArray, total: int, most: IntArray, rng: np.random.Generator) -> IntArray:
    """Whole numbers near `wanted` with this exact total, none above `most`; rounding is random."""
    scaled = wanted * (total / wanted.sum()) if total else np.zeros(len(wanted))
    order = rng.permutation(len(wanted))
    ends = np.floor(np.cumsum(np.minimum(scaled, most)[order]) + rng.random())
    counts = np.empty(len(wanted), dtype=np.int64)
    counts[order] = np.diff(ends, prepend=0.0).astype(np.int64)
    counts = np.minimum(counts, most)
    while (missing := total - int(counts.sum())) != 0:
        room = np.flatnonzero(counts < most if missing > 0 else counts > 0)
        counts[rng.choice(room)] += int(np.sign(missing))
    return counts


def _draw(
    left: IntArray, weight: FloatArray, n_stage: int, rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Draw a stage in each round, without replacement; `left` is lowered in place.

    Returns group and kind (0 agree, 1 tie, 2 disagree) of each draw, (R, n_stage).
    """
    n_rounds = len(left)
    rows = np.arange(n_rounds)
    group = np.empty((n_rounds, n_stage), dtype=np.int64)
    kind = np.empty((n_rounds, n_stage), dtype=np.int64)
    mass = left.sum(axis=1) * weight
    for k in range(n_stage):
        ends = np.cumsum(mass, axis=1)
        u = rng.random((n_rounds, 2))
        chosen = (ends > (u[:, 0] * ends[:, -1])[:, None]).argmax(axis=1)
        inside = np.cumsum(left[rows, :, chosen], axis=1)
        what = (inside > (u[:, 1] * inside[:, -1])[:, None]).argmax(axis=1)
        left[rows, what, chosen] -= 1
        mass[rows, chosen] = np.maximum(inside[:, -1] - 1, 0) * weight[rows, chosen]
        group[:, k], kind[:, k] = chosen, what
    return group, kind
