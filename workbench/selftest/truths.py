"""What an endless audit of a world would find: each estimand, summed over the world's atoms.

Written from the definitions, not with the functions that are under test.
"""

import numpy as np

from pipelines.agreement.annotations import TIE, A, FloatArray, IntArray
from workbench.selftest.law import Law

N_BINS = 10


def agreement(law: Law) -> float:
    """P(AI label = human label), ties included."""
    return float(np.trace(law.table))


def decisive_agreement(law: Law) -> float:
    """The same where neither says tie."""
    table = law.table[:2, :2]
    return float(np.trace(table) / table.sum())


def kappa(table: FloatArray) -> float:
    """Cohen's kappa of a table of probabilities."""
    by_chance = float(table.sum(axis=1) @ table.sum(axis=0))
    return (float(np.trace(table)) - by_chance) / (1.0 - by_chance)


def ac1(table: FloatArray) -> float:
    """Gwet's AC1 of a table of probabilities in which every category is used."""
    share = (table.sum(axis=0) + table.sum(axis=1)) / 2.0
    by_chance = float((share * (1.0 - share)).sum()) / (len(table) - 1)
    return (float(np.trace(table)) - by_chance) / (1.0 - by_chance)


def macro(law: Law, of_ai: float, of_human: float) -> float:
    """Mean over A, B, tie of hits / (of_ai P(AI says it) + of_human P(human says it))."""
    table = law.table
    size = of_ai * table.sum(axis=1) + of_human * table.sum(axis=0)
    return float((np.diag(table) / size).mean())


def first_rate(law: Law) -> float:
    """Share of verdicts for the response shown first, a tie half; over both orders."""
    worth = np.array([1.0, 0.0, 0.5])
    return law.mean((worth[law.label_ab] + 1.0 - worth[law.label_ba]) / 2.0)


def flip_rate(law: Law) -> float:
    """Share of pairs whose label depends on the order."""
    return law.mean((law.label_ab != law.label_ba).astype(np.float64))


def length_slope(law: Law, *, ai: bool) -> float:
    """Slope of the best logit of "prefers a" on the log length ratio."""
    worth = np.array([1.0, 0.0, 0.5])
    y = worth[law.label] if ai else law.anyone @ worth
    x = np.log1p(law.chars_a) - np.log1p(law.chars_b)
    beta = np.zeros(2)
    design = np.column_stack([np.ones_like(x), x])
    for _ in range(60):
        p = 1.0 / (1.0 + np.exp(-design @ beta))
        hessian = (design * (law.chance * p * (1.0 - p))[:, None]).T @ design
        beta = beta + np.linalg.solve(hessian, design.T @ (law.chance * (y - p)))
    return float(beta[1])


def upheld(law: Law, *, own: bool) -> float:
    """P(AI agrees | people prefer the judge's own model's response, or the other's)."""
    known = law.own >= 0
    wanted = np.where(known, law.own if own else 1 - law.own, 0)
    prefers = np.take_along_axis(law.anyone, wanted[:, None], axis=1)[:, 0]
    return law.mean((law.label == wanted).astype(np.float64), prefers * known)


def slice_agreement(law: Law, principle: int) -> float:
    """Agreement on the pairs that one principle decides, or on the others."""
    hit = law.anyone[np.arange(len(law.label)), law.label]
    return law.mean(hit, (law.principle == principle).astype(np.float64))


def annotator_agreement(law: Law, person: int) -> float:
    """P(AI label = label of one annotator)."""
    return law.mean(law.human[person][np.arange(len(law.label)), law.label])


def couple(law: Law, first: int, second: int) -> FloatArray:
    """P(label of one annotator, label of another), shape (3, 3)."""
    return np.asarray(np.einsum("k,ka,kb->ab", law.chance, law.human[first], law.human[second]))


def brier(law: Law) -> float:
    """Mean squared error of p_a against decisive people."""
    return law.mean(
        (1.0 - law.p_a) ** 2 * law.anyone[:, A] + law.p_a**2 * law.anyone[:, 1]
    ) / law.mean(1.0 - law.anyone[:, TIE])


def ece(law: Law) -> float:
    """Expected calibration error with the audit's bins."""
    return sum(abs(gap) for _, gap in _bins(law).values())


def fullest_bin(law: Law) -> int:
    """The bin of p_a above 1/2 that holds the most pairs."""
    weights = np.bincount(_place(law.p_a), law.chance, N_BINS)
    return N_BINS // 2 + int(np.argmax(weights[N_BINS // 2 :]))


def observed_in_fullest_bin(law: Law) -> float:
    """Share of people's choices for a where p_a falls into that bin."""
    inside = (_place(law.p_a) == fullest_bin(law)).astype(np.float64)
    return law.mean(law.anyone[:, A], inside) / law.mean(1.0 - law.anyone[:, TIE], inside)


def combining_gain(law: Law) -> float:
    """Points of both orders together less those of the first alone, where people decide."""
    decides = 1.0 - law.anyone[:, TIE]
    gained = points(law.label, A) - points(law.label_ab, A)
    lost = points(law.label, 1) - points(law.label_ab, 1)
    return law.mean(gained * law.anyone[:, A] + lost * law.anyone[:, 1]) / law.mean(decides)


def points(label: IntArray, human: IntArray | int) -> FloatArray:
    """1 where a label is people's, 0 where not, 1/2 where it is a tie."""
    return np.where(label == TIE, 0.5, np.where(label == human, 1.0, 0.0))


def _place(p_a: FloatArray) -> IntArray:
    return np.minimum((p_a * N_BINS).astype(np.int64), N_BINS - 1)


def _bins(law: Law) -> dict[int, tuple[float, float]]:
    """By bin: its weight, and weight times gap between people's share and p_a."""
    decides = 1.0 - law.anyone[:, TIE]
    total = float(law.chance @ decides)
    found = {}
    place = _place(law.p_a)
    for number in np.unique(place):
        at = place == number
        weight = law.chance[at]
        said = float(weight @ (decides[at] * law.p_a[at]))
        seen = float(weight @ law.anyone[at, A])
        found[int(number)] = (float(weight @ decides[at]) / total, (seen - said) / total)
    return found
