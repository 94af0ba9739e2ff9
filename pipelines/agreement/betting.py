"""Sequential test of a mean of values in [0, 1] by betting, without replacement.

The test of the `decisive` gate: an agreement scores 1, a disagreement 0, a human tie the line tau
itself, so that the mean over all N pairs is <= tau exactly when agreement on the decisive pairs
is. With m_t = (N tau - sum of the values so far) / (N - t + 1), the mean of what is left if the
null holds with equality, a bet lambda_t >= 0 that depends on the past alone gives wealth

    W_t = W_{t-1} (1 + lambda_t (x_t - m_t)),

a supermartingale under every population with mean <= tau. The e-value is the mean wealth of a
mixture of bets, one for each alternative of `eprocess`, sized as its likelihood ratio would be:
lambda = delta / (m (1 - m)), delta_t = (K_j - N tau) / (N - t + 1). Without ties, and with tau N a
whole number, that is the hypergeometric mixture itself, to the last digit; a tie costs next to
nothing. Source: Waudby-Smith and Ramdas (2024), doi:10.1093/jrsssb/qkad009.
"""

from fractions import Fraction

import numpy as np

from pipelines.agreement.annotations import FloatArray, IntArray
from pipelines.agreement.eprocess import Side, alternative_counts, exact_line, null_count
from pipelines.errors import BadInput

CHUNK = 2048  # labels worked on at once: bounds the memory at n_alternatives x CHUNK floats


def log_e_path(
    agree: IntArray,
    tie: IntArray,
    n_population: int,
    tau: float,
    side: Side,
    *,
    ties_score: bool = True,
) -> FloatArray:
    """Natural log of the e-value after each label.

    Args:
        agree: 1 where the human agreed with the AI, else 0; shape (t,), in draw order.
        tie: 1 where the human called a tie (scores tau), else 0; shape (t,), never 1 with `agree`.
        n_population: Pairs in the audited population.
        tau: The line, in (0, 1).
        side: "up" tests mean <= tau, "down" tests mean >= tau.
        ties_score: False where every outcome is yes or no (`strict`): the null total is then a
            whole number of pairs, and the path is that of `eprocess.log_e`.

    Returns:
        Log e-values, shape (t,); +inf from the label on that rules the null out, -inf from the
        label on that proves it.

    Raises:
        BadInput: More labels than pairs.
    """
    n_labels = len(agree)
    if n_labels > n_population:
        raise BadInput(f"{n_labels} labels for {n_population} pairs; each pair counts once")
    line = exact_line(tau)
    null = line * n_population if ties_score else Fraction(null_count(n_population, tau, side))
    alternatives = alternative_counts(n_population, tau, side).astype(np.float64)
    gap = np.abs(alternatives - float(null))[:, None]  # (n_alternatives, 1)
    won = np.asarray(agree, dtype=np.int64)
    tied = np.asarray(tie, dtype=np.int64)
    if side == "down":  # a low mean of x is a high mean of 1 - x, against the line 1 - tau
        won, line, null = 1 - won - tied, 1 - line, n_population - null

    # q (N tau - sum x) as whole numbers, tau = p / q: whether the null is still possible is exact.
    q = line.denominator
    total = int(null * q)
    null_sum = total - line.numerator * np.cumsum(tied) - q * np.cumsum(won)
    before = np.concatenate([[total], null_sum[:-1]])
    left = n_population - np.arange(n_labels)  # pairs not yet labelled before each label

    score = won + tied * float(line)
    log_wealth = np.zeros((len(alternatives), 1))
    result = np.empty(n_labels)
    for start in range(0, n_labels, CHUNK):
        part = slice(start, start + CHUNK)
        factors = bet_factors(score[part], before[part] / q, left[part], gap)
        with np.errstate(divide="ignore"):  # a bet that lost everything stays at log 0
            path = log_wealth + np.cumsum(np.log(factors), axis=1)
        log_wealth = path[:, -1:]
        # logaddexp of -inf and -inf is -inf without a warning.
        result[part] = np.logaddexp.reduce(path, axis=0) - np.log(len(alternatives))
    result[np.maximum.accumulate(null_sum < 0)] = np.inf
    return result


def bet_factors(x: FloatArray, null_sum: FloatArray, left: IntArray, gap: FloatArray) -> FloatArray:
    """What one label multiplies the wealth of each bet by: 1 + lambda_t (x_t - m_t), never below 0.

    Args:
        x: The scores, in [0, 1].
        null_sum: What the pairs left before the label sum to if the null holds with equality.
        left: How many pairs are left before the label.
        gap: What each alternative sums to beyond the null, over the whole population; all four
            broadcast together.

    A bet never exceeds what it can pay: delta <= 1 - m. At m = 0 an agreement rules the null out
    (the caller sees that by its exact sums), so only the factor of a disagreement, 1 - delta,
    matters. Below 0 the null is ruled out already; from 1 on it is certain: no evidence remains.
    """
    mean = null_sum / left
    m = np.where(mean < 1.0, np.maximum(mean, 1e-12), 0.5)
    delta = np.where(mean >= 0.0, np.minimum(gap / left, 1.0 - m), 0.0)
    factor = 1.0 + delta * ((x - m) / (m * (1.0 - m)))
    return np.asarray(np.where(mean >= 1.0, 0.0, np.maximum(factor, 0.0)))
