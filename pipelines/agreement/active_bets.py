"""The bets of active mode: wealth against a line from weighted draws, stage by stage.

At label t the increment

    phi_t = (1/N) [sum over labelled x + sum over the rest f] + (x_t - f_t) / (N q_t)

(augmented inverse-probability weighting) has conditional mean exactly theta, the population's
mean of x, whatever the fit f and the draw chance q, as long as both were fixed before. So wealth
that multiplies by 1 + lambda_t (phi_t - tau), lambda_t >= 0 fixed before the label, is a
supermartingale while theta <= tau. A fit that is useless or reversed costs labels, never validity.

The bets are lambda = effect / Var(phi), the Kelly stake for small effects with the variance that
the fit predicts, for an equally weighted mixture of effects; each is cut so that no label could
cost more than `AT_MOST` of its wealth.

All arrays carry a leading axis R: rounds (simulation), lines (an interval), or just 1.
"""

from dataclasses import dataclass

import numpy as np

from pipelines.agreement.annotations import FloatArray, IntArray
from pipelines.agreement.eprocess import Side

N_BETS = 24
SMALLEST, LARGEST = 0.015, 0.30

# Quantiles of the density d^(-3/2): a little denser at small effects, where labels are spent, than
# the log-uniform law. In simulation it needs fewest labels over theta = .74 to .90 together.
EFFECTS = np.interp(
    (np.arange(N_BETS) + 0.5) / N_BETS, [0.0, 1.0], [SMALLEST**-0.5, LARGEST**-0.5]
) ** (-2.0)

AT_MOST = 0.995  # share of its wealth that a bet may lose at one label


@dataclass(frozen=True)
class StageDraws:
    """One stage: what was known before its labels (the first four), and its labels."""

    rest: IntArray  # (R, n_groups) pairs not drawn before the stage
    weight: FloatArray  # (R, n_groups) sampling weight of one pair of each group
    chance: FloatArray  # (R, n_groups) fitted chance of agreement on a decisive pair
    tie_share: FloatArray  # (R,)
    group: IntArray  # (R, m) group of each drawn pair, in draw order
    agree: IntArray  # (R, m) 0 or 1
    tie: IntArray  # (R, m) 0 or 1


class Wealth:
    """The wealth of one test through the stages of R rounds.

    Args:
        n_population: Pairs in each population.
        tau: The line of each round, shape (R,).
        side: "up" tests theta <= tau, "down" tests theta >= tau.
    """

    def __init__(self, n_population: int, tau: FloatArray, side: Side) -> None:
        self.n_population = n_population
        self.side: Side = side
        # "down" is "up" for disagreement: 1 - x against 1 - tau.
        self.line = np.asarray(tau if side == "up" else 1.0 - tau, dtype=np.float64)
        self.log_wealth = np.zeros((len(tau), len(EFFECTS)))
        self.total = np.zeros(len(tau))  # sum of x over the labels so far
        self.impossible = np.zeros(len(tau), dtype=bool)  # the labels rule the null out

    def advance(self, stage: StageDraws) -> FloatArray:
        """Bet through one stage; log e-value after each of its labels, shape (R, m)."""
        line = self.line[:, None]
        won = stage.agree if self.side == "up" else 1 - stage.agree - stage.tie
        x = won + stage.tie * line
        phi, lowest, variance = self._increments(stage, x)
        stake = (1.0 - stage.tie_share)[:, None] * EFFECTS / np.maximum(variance, 1e-12)[:, None]
        most = AT_MOST / np.maximum(line - lowest, 1e-12)
        stakes = np.minimum(stake[:, :, None], most[:, None, :])  # (R, n_bets, m)
        gains = np.log1p(stakes * (phi - line)[:, None, :])
        path = self.log_wealth[:, :, None] + np.cumsum(gains, axis=2)
        sums = self.total[:, None] + np.cumsum(x, axis=1)
        # x are multiples of a coarse fraction: half a millionth is far below one step of the sum.
        broken = (sums > line * self.n_population + 5e-7) | self.impossible[:, None]
        broken = np.maximum.accumulate(broken, axis=1)
        if path.shape[2]:
            self.log_wealth = path[:, :, -1]
            self.total, self.impossible = sums[:, -1], broken[:, -1]
        log_e = np.logaddexp.reduce(path, axis=1) - np.log(len(EFFECTS))
        return np.where(broken, np.inf, log_e)

    def _increments(
        self, stage: StageDraws, x: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """phi_t and the lowest phi_t that could have come, (R, m); predicted variance, (R,)."""
        n = float(self.n_population)
        line, ties = self.line[:, None], stage.tie_share[:, None]
        chance = stage.chance if self.side == "up" else 1.0 - stage.chance
        fit = (1.0 - ties) * chance + ties * line
        spread = (1.0 - ties) * (chance * (1.0 - chance) + ties * np.square(chance - line))
        total_weight = (stage.rest * stage.weight).sum(axis=1)
        variance = total_weight / n**2 * (stage.rest * spread / stage.weight).sum(axis=1)

        drawn_weight = np.take_along_axis(stage.weight, stage.group, axis=1)
        drawn_fit = np.take_along_axis(fit, stage.group, axis=1)
        weight_left = total_weight[:, None] - _before(drawn_weight)
        fit_left = (stage.rest * fit).sum(axis=1, keepdims=True) - _before(drawn_fit)
        base = (self.total[:, None] + _before(x) + fit_left) / n
        phi = base + (x - drawn_fit) * weight_left / (n * drawn_weight)
        # The worst that any pair left at the stage's start could do bounds the bet beforehand.
        steepest = np.where(stage.rest > 0, fit / stage.weight, 0.0).max(axis=1, keepdims=True)
        return phi, base - steepest * weight_left / n, variance


def _before(values: FloatArray) -> FloatArray:
    """Sums over the labels strictly before each one, along the last axis."""
    return np.asarray(np.cumsum(values, axis=-1) - values)
