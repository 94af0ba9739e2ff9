"""The exact law of a simulated world: every kind of pair and every answer, with its probability.

All that is planted is discrete, so a world is a list of atoms (a kind of pair and what the judge
says of it in both orders). What an audit estimates is a sum over them: the truth is computed, never
assumed, and never with the code that is tested.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from pipelines.agreement.annotations import TIE, A, B, FloatArray, IntArray
from workbench.selftest.plants import (
    BLIND_SHARE,
    GAP_SHARES,
    GAPS,
    LENGTHS,
    OWN_BETTER,
    OWN_SHARE,
    TRUE_TIES,
    WRONG_TIES,
    Plants,
)


@dataclass(frozen=True)
class Law:
    """Atoms: arrays of shape (n_atoms,), and the people's answers to each.

    `label` and `p_a` are the judge's after both orders are combined, as an audit does: the mean of
    both probabilities, thresholded at 1/2.
    """

    plants: Plants
    chance: FloatArray  # sums to 1
    truth: IntArray
    chars_a: IntArray
    chars_b: IntArray
    own: IntArray  # which response is the judge's own model's: 0, 1, -1 neither
    principle: IntArray  # 1 on the pairs that the blind principle decides
    label_ab: IntArray
    label_ba: IntArray
    p_a: FloatArray
    label: IntArray

    @cached_property
    def cumulative(self) -> FloatArray:
        """For sampling by a uniform number."""
        return np.cumsum(self.chance)

    @cached_property
    def human(self) -> FloatArray:
        """P(label | atom, annotator), shape (3 annotators, n_atoms, 3 labels)."""
        given = np.stack([human_given_truth(accuracy) for accuracy in self.plants.people])
        return np.asarray(given[:, self.truth])

    @cached_property
    def anyone(self) -> FloatArray:
        """P(label | atom) of whoever the first slot falls to, shape (n_atoms, 3)."""
        return np.asarray(self.human.mean(axis=0))

    @cached_property
    def table(self) -> FloatArray:
        """P(AI label, human label), shape (3, 3)."""
        weighted = self.anyone * self.chance[:, None]
        return np.stack([weighted[self.label == code].sum(axis=0) for code in (A, B, TIE)])

    @cached_property
    def two_humans(self) -> FloatArray:
        """P(label of one, label of another person), shape (3, 3), symmetric."""
        couples = [(i, j) for i in range(3) for j in range(3) if i != j]
        tables = [
            np.einsum("k,ka,kb->ab", self.chance, self.human[i], self.human[j]) for i, j in couples
        ]
        return np.asarray(np.mean(tables, axis=0))

    def mean(self, values: FloatArray, where: FloatArray | None = None) -> float:
        """E[values | where], over atoms; `where` may be any weight."""
        weight = self.chance if where is None else self.chance * where
        return float(weight @ values) / float(weight.sum())


def human_given_truth(accuracy: float) -> FloatArray:
    """P(label | truth), rows A, B, tie."""
    wrong = 1.0 - accuracy
    return np.array(
        [
            [accuracy, wrong * (1.0 - WRONG_TIES), wrong * WRONG_TIES],
            [wrong * (1.0 - WRONG_TIES), accuracy, wrong * WRONG_TIES],
            [wrong / 2.0, wrong / 2.0, accuracy],
        ]
    )


def sigmoid(x: FloatArray) -> FloatArray:
    """1 / (1 + exp(-x))."""
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def sharpness(accuracy: float) -> float:
    """The slope per unit of gap at which the judge is right on this share of decisive pairs."""
    gaps, shares = np.array(GAPS), np.array(GAP_SHARES)
    low, high = 0.0, 50.0
    for _ in range(100):
        middle = (low + high) / 2.0
        right = float(shares @ sigmoid(middle * gaps))
        low, high = (middle, high) if right < accuracy else (low, middle)
    return low


def law_of(plants: Plants) -> Law:
    """All atoms of what is planted."""
    chance, truth, gap, first, second, own, principle = _kinds(plants)
    chars = np.array(LENGTHS)
    chars_a, chars_b = chars[first], chars[second]
    sees = gap * np.where(plants.blind & (principle == 1), 0.0, 1.0)
    side = np.select([truth == A, truth == B], [1.0, -1.0], 0.0)
    logit = sharpness(plants.accuracy) * sees * side
    logit = logit + plants.length * (np.log1p(chars_a) - np.log1p(chars_b))
    logit = logit + plants.own * np.select([own == 0, own == 1], [1.0, -1.0], 0.0)
    usual = np.log(plants.accuracy / (1.0 - plants.accuracy))
    stated = sigmoid(plants.confidence_slope * np.abs(logit))
    placed = sigmoid(plants.confidence_slope * np.maximum(np.abs(logit), usual))
    q, no_view = sigmoid(logit), logit == 0.0
    share = plants.position_points / 100.0
    steady, fickle = (1.0 - share) * plants.consistency, (1.0 - share) * (1.0 - plants.consistency)
    # What the judge says in the two orders: (A, A), (B, B), (A, B), (B, A), and by place (A, B).
    odds = (
        steady * q + fickle * q * q,
        steady * (1 - q) + fickle * (1 - q) ** 2,
        fickle * q * (1 - q),
        fickle * q * (1 - q),
        np.full(len(q), share),
    )
    says = ((A, A), (B, B), (A, B), (B, A), (A, B))
    parts: list[tuple[FloatArray, IntArray, IntArray, FloatArray]] = []
    for place, (odd, (ab, ba)) in enumerate(zip(odds, says, strict=True)):
        by_place = place == len(says) - 1
        sure = placed if by_place else stated
        silent = no_view & (not by_place)
        p_ab, p_ba = (np.where(silent, 0.5, sure if one == A else 1.0 - sure) for one in (ab, ba))
        label_ab, label_ba = (np.where(silent, TIE, one) for one in (ab, ba))
        parts.append((chance * odd, label_ab, label_ba, (p_ab + p_ba) / 2.0))
    weight, label_ab, label_ba, p_a = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    kept = weight > 0.0
    repeated = [np.tile(column, len(parts))[kept] for column in (truth, chars_a, chars_b, own)]
    p_a = p_a[kept]
    return Law(
        plants=plants,
        chance=weight[kept] / weight.sum(),
        truth=repeated[0],
        chars_a=repeated[1],
        chars_b=repeated[2],
        own=repeated[3],
        principle=np.tile(principle, len(parts))[kept],
        label_ab=label_ab[kept],
        label_ba=label_ba[kept],
        p_a=p_a,
        label=np.where(np.abs(p_a - 0.5) < 1e-12, TIE, np.where(p_a > 0.5, A, B)),
    )


def _kinds(
    plants: Plants,
) -> tuple[FloatArray, IntArray, FloatArray, IntArray, IntArray, IntArray, IntArray]:
    """Kinds of pairs: chance, truth, gap, lengths of both (codes), own, principle."""
    tilt = plants.length_tells * np.arange(len(LENGTHS))
    longer, shorter = (np.exp(sign * tilt) / np.exp(sign * tilt).sum() for sign in (1.0, -1.0))
    even = np.full(len(LENGTHS), 1.0 / len(LENGTHS))
    codes = range(len(LENGTHS))
    rows = []
    for truth in (A, B, TIE):
        decisive = truth != TIE
        of_truth = (1.0 - TRUE_TIES) / 2.0 if decisive else TRUE_TIES
        of_a, of_b = {A: (longer, shorter), B: (shorter, longer), TIE: (even, even)}[truth]
        a_own = {A: OWN_BETTER, B: 1.0 - OWN_BETTER, TIE: 0.5}[truth]
        gaps = zip(GAPS, GAP_SHARES, strict=True) if decisive else [(0.0, 1.0)]
        owners = ((0, OWN_SHARE * a_own), (1, OWN_SHARE * (1.0 - a_own)), (-1, 1.0 - OWN_SHARE))
        principles = ((0, 1.0 - BLIND_SHARE), (1, BLIND_SHARE))
        for gap, own, principle, first, second in product(gaps, owners, principles, codes, codes):
            chance = of_truth * gap[1] * own[1] * principle[1] * of_a[first] * of_b[second]
            rows.append((chance, truth, gap[0], first, second, own[0], principle[0]))
    table = np.array(rows)
    truths, firsts, seconds, owns, ids = (table[:, k].astype(np.int64) for k in (1, 3, 4, 5, 6))
    return table[:, 0], truths, table[:, 2], firsts, seconds, owns, ids
