"""What the usual design costs: label a fixed number of pairs, then test once, exactly."""

import math

import numpy as np
from scipy.special import gammaln

from pipelines.agreement.annotations import FloatArray, IntArray
from pipelines.agreement.decision import Decision, Gate
from pipelines.agreement.eprocess import Side, exact_line, null_count

# Power as a function of n is a saw: its first crossing lies this near the smooth one.
LOOK_BACK = 60


def right_decision(gate: Gate, theta: float) -> Decision:
    """What a gate should say of this agreement; UNDECIDED exactly on a line."""
    exact = exact_line(theta)
    if exact > exact_line(gate.trust_above):
        return "TRUST"
    if exact < exact_line(gate.warn_below):
        return "WARN"
    inside = exact_line(gate.warn_below) < exact < exact_line(gate.trust_above)
    return "BETWEEN" if inside else "UNDECIDED"


def fixed_sample_size(gate: Gate, n_population: int, theta: float, power: float) -> int | None:
    """The smallest fixed n whose exact one-sided tests reach the right decision with this power.

    Each test is hypergeometric at the gate's alpha, looked at once: the same error as the
    sequential gate. None where theta lies on a line, so that no sample would do.

    Args:
        gate: The gate; every pair counts as decisive.
        n_population: Pairs N.
        theta: Agreement; round(theta N) pairs agree.
        power: Chance of the right decision that is asked for, in (0, 1).
    """
    decision = right_decision(gate, theta)
    if decision == "UNDECIDED":
        return None
    high = 1
    while fixed_power(gate, n_population, theta, high, decision) < power:
        if high == n_population:
            return None
        high = min(2 * high, n_population)
    low = high // 2
    while low < high:
        middle = (low + high) // 2
        if fixed_power(gate, n_population, theta, middle, decision) >= power:
            high = middle
        else:
            low = middle + 1
    for n in range(max(1, high - LOOK_BACK), high):
        if fixed_power(gate, n_population, theta, n, decision) >= power:
            return n
    return high


def fixed_power(
    gate: Gate, n_population: int, theta: float, n_labels: int, decision: Decision
) -> float:
    """Chance that exact tests on a fixed uniform sample of `n_labels` reach this decision."""
    n_agree = round(theta * n_population)
    law = _hypergeometric(n_population, n_agree, n_labels)
    least, most = 0, n_labels
    for name, tau, side in gate.tests():
        wanted = {"TRUST": ("trust",), "WARN": ("warn",), "BETWEEN": ("above_low", "below_high")}
        if name not in wanted.get(decision, ()):
            continue
        critical = _critical(n_population, tau, side, n_labels, gate.alpha)
        if side == "up":
            least = max(least, critical)
        else:
            most = min(most, critical)
    return float(law[least : most + 1].sum()) if least <= most else 0.0


def _critical(n_population: int, tau: float, side: Side, n_labels: int, alpha: float) -> int:
    """The fewest ("up") or most ("down") agreements that reject; n + 1 or -1 where none do."""
    law = _hypergeometric(n_population, null_count(n_population, tau, side), n_labels)
    if side == "up":
        tail = np.cumsum(law[::-1])[::-1]
        return int(np.sum(tail > alpha))
    return int(np.sum(np.cumsum(law) <= alpha)) - 1


def _hypergeometric(n_population: int, n_agree: int, n_labels: int) -> FloatArray:
    """Chance of 0..n_labels agreements in a uniform draw, shape (n_labels + 1,)."""
    k = np.arange(n_labels + 1)
    possible = (k <= n_agree) & (n_labels - k <= n_population - n_agree)
    inside = np.clip(k, max(0, n_labels - (n_population - n_agree)), min(n_labels, n_agree))
    log_law = (
        _log_choose(n_agree, inside)
        + _log_choose(n_population - n_agree, n_labels - inside)
        - _log_choose(n_population, np.asarray(n_labels))
    )
    return np.asarray(np.where(possible, np.exp(log_law), 0.0))


def _log_choose(n: int, k: IntArray) -> FloatArray:
    return np.asarray(math.lgamma(n + 1) - gammaln(k + 1.0) - gammaln(n - k + 1.0))
