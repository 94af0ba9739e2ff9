"""Simulated active rounds: the judge's confidence predicts its errors with a stated AUROC."""

from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, ndtri

from pipelines.agreement.active import (
    chance_of_agreement,
    ridge_platt,
    share_of_ties,
    stage_sizes,
    stage_weights,
)
from pipelines.agreement.active_bets import StageDraws, Wealth
from pipelines.agreement.annotations import FloatArray, IntArray
from pipelines.agreement.decision import Gate
from pipelines.agreement.eprocess import log_threshold
from pipelines.agreement.simulation import NEVER, Simulated, decisions
from pipelines.errors import BadInput

BATCH = 20  # rounds worked on at once: bounds the memory
N_GROUPS = 100


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
        far = 40.0 + 5.0 * slope
        return float(brentq(lambda a: expit(a + slope * score).mean() - theta, -far, far))

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
    n_groups: int = N_GROUPS,
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
        chance = chance_of_agreement(beta[:, :1] + beta[:, 1:] * score)
        rest = left.sum(axis=1)
        weight = stage_weights(chance, rest)
        group, kind = _draw(left, weight, n_stage, rng)
        np.add.at(seen, (np.arange(n_rounds)[:, None], kind, group), 1)
        stage = StageDraws(
            rest=rest,
            weight=weight,
            chance=chance,
            tie_share=share_of_ties(ties_seen[:, done], done),
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
