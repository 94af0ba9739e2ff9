"""A logit of shares by Newton's method, with the influence values of a sandwich variance."""

import numpy as np

from pipelines.agreement.annotations import FloatArray
from pipelines.errors import Undefined

_MAX_STEPS = 100
_LONGEST_STEP = 2.0  # in log-odds: far-off starts would overshoot
_LARGEST_CONDITION = 1e9  # of the Hessian; beyond, the coefficients run off to infinity


def fit_logit(y: FloatArray, design: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Coefficients, shape (k,), and each row's influence on them, shape (n, k).

    The influence values of a coefficient sum to 0; the sum of their squares (within clusters: of
    their sums) is its sandwich variance.

    Args:
        y: Shares in 0..1, shape (n,).
        design: Columns, one of them constant, shape (n, k).

    Raises:
        Undefined: The columns settle every share, so that no finite coefficients fit.
    Source: Papke and Wooldridge (1996), Journal of Applied Econometrics 11, 619-632.
    """
    beta = np.zeros(design.shape[1])
    for _ in range(_MAX_STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(design @ beta, -500.0, 500.0)))
        hessian = (design * (p * (1.0 - p))[:, None]).T @ design
        if float(np.linalg.cond(hessian)) > _LARGEST_CONDITION:
            break
        step = np.linalg.solve(hessian, design.T @ (y - p))
        size = float(np.abs(step).max())
        beta = beta + step * min(1.0, _LONGEST_STEP / max(size, 1e-9))
        if size < 1e-10:
            return beta, np.asarray((design * (y - p)[:, None]) @ np.linalg.inv(hessian))
    raise Undefined("length settles every label (or all labels are alike): no finite logit fits")
