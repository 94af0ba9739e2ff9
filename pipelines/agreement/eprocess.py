"""The exact sequential test of agreement on yes-or-no outcomes: a hypergeometric mixture.

A round draws pairs uniformly without replacement from N, of which an unknown K agree. For one
line tau and one side the e-process is

    E_t = sum_j w_j Hyp(S_t; N, K_j, t) / Hyp(S_t; N, K_0, t),

S_t agreements among the first t labels, K_0 the null count nearest to the line, K_j the
alternatives beyond it, w_j equal weights. Each one-step ratio grows with the chance of agreement
on an "up" test (falls on a "down" test), so that E is a supermartingale under every K of the
null, not only under K_0; by Ville's inequality P(E ever reaches 1/alpha) <= alpha, however often
anybody looks. Source: Ville (1939); Waudby-Smith and Ramdas (2020), arXiv:2006.04347.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, logsumexp

from pipelines.agreement.annotations import FloatArray, IntArray
from pipelines.errors import BadInput

Side = Literal["up", "down"]

N_EFFECTS = 80
SMALLEST_EFFECT = 0.01
LARGEST_EFFECT = 0.30
ROOM_USED = 0.98  # share of the room between the line and 0 or 1 that the alternatives span

# E = 1/alpha exactly must count as reached in spite of rounding in the last digits.
LOG_TOLERANCE = 1e-9


def exact_line(tau: float) -> Fraction:
    """The line as the decimal that a person wrote: 0.8 is 4/5, not the nearest binary number.

    Six decimals are kept, so that sums of outcomes over the line stay exact in 64 bits.
    """
    return Fraction(repr(float(tau))).limit_denominator(1_000_000)


@lru_cache(maxsize=256)
def null_count(n_population: int, tau: float, side: Side) -> int:
    """Agreeing pairs at the edge of the null: floor(tau N) for "up", ceil(tau N) for "down"."""
    line = exact_line(tau) * n_population
    return math.floor(line) if side == "up" else math.ceil(line)


def effect_sizes(tau: float, side: Side, n_effects: int = N_EFFECTS) -> FloatArray:
    """Log-uniform distances of the alternatives from the line, shape (n_effects,), ascending."""
    room = 1.0 - tau if side == "up" else tau
    largest = min(ROOM_USED * room, LARGEST_EFFECT)
    # Within two points of 0 or 1 the usual smallest effect would not fit.
    return np.geomspace(min(SMALLEST_EFFECT, largest / 2.0), largest, n_effects)


@lru_cache(maxsize=256)
def alternative_counts(n_population: int, tau: float, side: Side) -> IntArray:
    """The distinct counts K_j of the mixture, shape (n_alternatives,), all beyond the null."""
    sign = 1.0 if side == "up" else -1.0
    counts = np.rint((tau + sign * effect_sizes(tau, side)) * n_population).astype(np.int64)
    edge = null_count(n_population, tau, side)
    if side == "up":
        counts = np.unique(np.clip(counts, edge + 1, n_population))
    else:
        counts = np.unique(np.clip(counts, 0, edge - 1))
    counts.flags.writeable = False
    return counts


def log_e(
    n_agree: npt.ArrayLike, n_labels: npt.ArrayLike, n_population: int, tau: float, side: Side
) -> FloatArray:
    """Natural log of the e-value after given counts.

    Args:
        n_agree: Agreements so far, any shape that broadcasts with `n_labels`.
        n_labels: Labels so far, 0..n_population.
        n_population: Pairs in the audited population.
        tau: The line, in (0, 1).
        side: "up" tests K <= tau N, "down" tests K >= tau N.

    Returns:
        Log e-values; +inf where the labels rule the null out, -inf where they prove it.

    Raises:
        BadInput: More labels than pairs, or more agreements than labels.
    """
    agree, labels = np.broadcast_arrays(np.asarray(n_agree), np.asarray(n_labels))
    if np.any(agree < 0) or np.any(agree > labels) or np.any(labels > n_population):
        raise BadInput(
            f"agreements and labels must satisfy 0 <= agreements <= labels <= {n_population}"
        )
    return log_mixture_ratio(
        agree,
        labels - agree,
        n_population,
        null_count(n_population, tau, side),
        alternative_counts(n_population, tau, side),
        side,
    )


def log_mixture_ratio(
    agree: IntArray,
    disagree: IntArray,
    n_population: int,
    null: int,
    alternatives: IntArray,
    side: Side,
) -> FloatArray:
    """Log of the equally weighted mixture of hypergeometric likelihood ratios (see `log_e`).

    The binomial coefficient of N over t is common to both likelihoods and cancels.
    """
    wins = np.asarray(agree, dtype=np.float64)
    losses = np.asarray(disagree, dtype=np.float64)
    shape = (-1,) + (1,) * wins.ndim
    k = np.asarray(alternatives, dtype=np.float64).reshape(shape)
    possible = (wins <= k) & (losses <= n_population - k)
    log_alternative = np.where(
        possible,
        _log_falling(k, np.minimum(wins, k))
        + _log_falling(n_population - k, np.minimum(losses, n_population - k)),
        -np.inf,
    )
    log_null = _log_falling(float(null), np.minimum(wins, null)) + _log_falling(
        float(n_population - null), np.minimum(losses, n_population - null)
    )
    # With every term impossible logsumexp is -inf, without a warning.
    log_ratio = logsumexp(log_alternative, axis=0) - math.log(len(alternatives)) - log_null
    if side == "up":
        proven_false, proven_true = wins > null, losses > n_population - null
    else:
        proven_false, proven_true = losses > n_population - null, wins > null
    return np.asarray(np.where(proven_false, np.inf, np.where(proven_true, -np.inf, log_ratio)))


def _log_falling(n: FloatArray | float, k: FloatArray) -> FloatArray:
    """Log of n (n - 1) ... (n - k + 1), for 0 <= k <= n."""
    return np.asarray(gammaln(np.add(n, 1.0)) - gammaln(np.subtract(n, k) + 1.0))


def log_threshold(alpha: float) -> float:
    """The log e-value at which a test at level alpha rejects."""
    return -math.log(alpha) - LOG_TOLERANCE


@dataclass(frozen=True)
class Boundary:
    """The integer table of one test: what the count of agreements must reach at each label.

    `count[t]` is, for "up", the fewest agreements among t labels that reject (t + 1 where even
    t do not); for "down", the most agreements that still reject (-1 where even 0 do not).
    """

    side: Side
    count: IntArray  # (t_max + 1,)

    def crossed(self, n_agree: IntArray, n_labels: IntArray) -> npt.NDArray[np.bool_]:
        """Whether the test rejects at these counts; arrays of one shape."""
        if self.side == "up":
            return np.asarray(n_agree >= self.count[n_labels])
        return np.asarray(n_agree <= self.count[n_labels])


def boundary(
    n_population: int, tau: float, side: Side, alpha: float, t_max: int | None = None
) -> Boundary:
    """The decision boundary for t = 0..t_max at least (default: the whole population), cached.

    Args:
        n_population: Pairs in the audited population.
        tau: The line, in (0, 1).
        side: "up" tests K <= tau N, "down" tests K >= tau N.
        alpha: Level of the one-sided test.
        t_max: Labels to prepare for. Tables are kept by powers of two, so that a round that grows
            label by label reuses one table.
    """
    wanted = n_population if t_max is None else min(t_max, n_population)
    rounded = min(n_population, max(256, 1 << max(wanted - 1, 0).bit_length()))
    return _boundary(n_population, tau, side, alpha, rounded)


@lru_cache(maxsize=64)
def _boundary(n_population: int, tau: float, side: Side, alpha: float, t_max: int) -> Boundary:
    """The table by bisection; at given t the e-value is monotone in the count of agreements."""
    # Between t and t + 1 the "up" boundary grows by 0 or 1 (an agreement cannot lower E, a
    # disagreement cannot raise it), so exact values at every 16th label bracket the rest.
    coarse = np.unique(np.append(np.arange(0, t_max + 1, 16), t_max))
    counts = np.empty(t_max + 1, dtype=np.int64)
    knots = _search(coarse, np.zeros_like(coarse), coarse + 1, n_population, tau, side, alpha)
    t = np.arange(t_max + 1)
    segment = np.minimum(np.searchsorted(coarse, t, side="right") - 1, len(coarse) - 2)
    low = np.maximum(knots[segment], 0)
    high = np.minimum(knots[segment + 1], t + 1)
    for start in range(0, t_max + 1, 8192):
        part = slice(start, start + 8192)
        counts[part] = _search(t[part], low[part], high[part], n_population, tau, side, alpha)
    if side == "down":
        counts -= 1
    counts.flags.writeable = False
    return Boundary(side, counts)


def _search(
    t: IntArray,
    low: IntArray,
    high: IntArray,
    n_population: int,
    tau: float,
    side: Side,
    alpha: float,
) -> IntArray:
    """The fewest agreements in [low, high] at which "up" rejects, or "down" no longer does.

    `high` is taken on trust (t + 1 agreements cannot happen and count as beyond the boundary).
    """
    threshold = log_threshold(alpha)
    low, high = low.copy(), high.copy()
    while np.any(low < high):
        middle = (low + high) // 2
        value = log_e(np.minimum(middle, t), t, n_population, tau, side)
        beyond = (value >= threshold) if side == "up" else (value < threshold)
        beyond |= middle > t
        high = np.where(beyond, middle, high)
        low = np.where(beyond, low, np.minimum(middle + 1, high))
    return high
