"""Recalibrated soft labels: an AI's p_a made to mean what it says, on audited data.

All maps are odd (f(1 - p) = 1 - f(p)) and rising, so no label changes its side. "temperature"
scales the log-odds; "platt" fits log-odds and side, so that even a judge without doubts gets
some; "isotonic" is a step function. Below about 1,000 labels a temperature is all that can be
learned without harm; from there on isotonic is.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy import optimize, special

from pipelines.agreement.annotations import NONE, TIE, A, B, FloatArray, IntArray
from pipelines.agreement.calibration import calibration
from pipelines.agreement.estimate import Estimate
from pipelines.errors import BadInput
from pipelines.preferences.audited import Audited
from pipelines.preferences.gain import Gain, compare
from pipelines.preferences.odd_logistic import prompt_folds

SUFFIX = "+calibrated"
Method = Literal["temperature", "platt", "isotonic"]
METHODS: tuple[Method, ...] = get_args(Method)
ISOTONIC_FROM = 1_000  # labels
_LEAST_P = 1e-3
_N_KNOTS = 101
_N_FOLDS = 5


@dataclass(frozen=True)
class CalibrationMap:
    """A rising odd map of probabilities: its values at even steps from one half to 1."""

    method: Method
    parameters: tuple[float, ...]  # temperature: 1 / T; platt: slope and side; isotonic: knots

    def p_a(self, p_a: FloatArray) -> FloatArray:
        """The calibrated probabilities, same shape; NaN stays NaN, one half stays one half."""
        sign = np.sign(p_a - 0.5)
        confidence = np.maximum(p_a, 1.0 - p_a)
        if self.method == "isotonic":
            steps = np.linspace(0.5, 1.0, len(self.parameters))
            raised = np.interp(confidence, steps, self.parameters)
        else:
            slope, side = (*self.parameters, 0.0)[:2]
            raised = special.expit(slope * _log_odds(confidence) + side)
        return np.asarray(0.5 + sign * (np.maximum(raised, 0.5) - 0.5), dtype=np.float64)


@dataclass(frozen=True)
class Recalibration:
    """A map, and the calibration of out-of-fold labels before and after it."""

    applied: bool
    why: str
    map: CalibrationMap
    n_labels: int
    ece_before: Estimate
    ece_after: Estimate
    brier_before: Estimate
    brier_after: Estimate
    gain: Gain
    p_a: FloatArray  # (n_labels,) out of fold


def fit_map(
    p_a: FloatArray, human: FloatArray, weight: FloatArray, method: Method
) -> CalibrationMap:
    """The map that makes these soft labels fit people's choices best.

    Args:
        p_a: The AI's probability that response_a is the better one, shape (n_pairs,), no NaN.
        human: Share of people who prefer response_a, same shape.
        weight: Of each pair, same shape.
        method: One of `METHODS`.
    """
    # Everything is said of the response that the AI prefers: how often do people agree?
    confidence = np.maximum(p_a, 1.0 - p_a)
    agree = np.where(p_a >= 0.5, human, 1.0 - human)
    if method == "isotonic":
        from sklearn.isotonic import IsotonicRegression

        model = IsotonicRegression(y_min=0.5, y_max=1.0 - _LEAST_P, out_of_bounds="clip")
        model.fit(confidence, agree, sample_weight=weight)
        knots = model.predict(np.linspace(0.5, 1.0, _N_KNOTS))
        return CalibrationMap(method, tuple(float(knot) for knot in knots))
    odds = _log_odds(confidence)
    columns = np.stack([odds, np.ones_like(odds)])[: 1 if method == "temperature" else 2]
    # A weak pull (half a pair) towards no change keeps the fit finite where all agree.
    start = np.array([1.0, 0.0])[: len(columns)]

    def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
        margin = parameters @ columns
        error = weight * (special.expit(margin) - agree)
        cost = weight @ (np.logaddexp(0.0, margin) - agree * margin)
        away = parameters - start
        return float(cost + 0.25 * away @ away), columns @ error + 0.5 * away

    # A slope under 0 would turn labels round; so would a side under 0 near one half.
    bounds = [(0.0, None), (0.0, None)][: len(columns)]
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return CalibrationMap(method, tuple(float(value) for value in found.x))


def recalibrate(
    p_a: FloatArray,
    audited: Audited,
    rng: np.random.Generator,
    *,
    method: Method | Literal["auto"] = "auto",
    confidence: float = 0.95,
) -> Recalibration:
    """Learn a map on the audited pairs, and measure it on prompts that it was not fitted on.

    Args:
        p_a: The AI's soft labels of the audited pairs, in their order, no NaN.
        audited: What people said of them. Edge cases are left out: among doubtful pairs a judge
            errs more often than its confidence says of all pairs.
        rng: For the folds.
        method: "auto" takes a temperature below 1,000 labels and isotonic from there on.
        confidence: Level of the intervals.

    Raises:
        Undefined: Too few labelled prompts outside the edge cases.
        BadInput: No such method.
    """
    if method != "auto" and method not in METHODS:
        raise BadInput(f'recalibrate "{method}" is not one of auto, {", ".join(METHODS)}')
    used = np.flatnonzero(~audited.edge)
    n = len(used)
    chosen: Method = (
        method if method != "auto" else "isotonic" if n >= ISOTONIC_FROM else "temperature"
    )
    human, weight, prompt = audited.p_a[used], audited.weight[used], audited.prompt[used]
    fold = prompt_folds(prompt, _N_FOLDS, rng)
    after = p_a.astype(np.float64).copy()
    for number in range(_N_FOLDS):
        here, others = used[fold == number], used[fold != number]
        made = fit_map(p_a[others], audited.p_a[others], audited.weight[others], chosen)
        after[here] = made.p_a(p_a[here])
    final = fit_map(p_a[used], human, weight, chosen)
    after[audited.edge] = final.p_a(p_a[audited.edge])
    gain = compare(p_a[used], after[used], human, prompt, weight, confidence=confidence)
    label = _sides(human)
    was = calibration(p_a[used], label, prompt, confidence=confidence)
    now = calibration(after[used], label, prompt, confidence=confidence)
    applied = gain.log_loss_gain.low > 0.0
    change = (
        f"log-loss {gain.log_loss_before:.3f} to {gain.log_loss_after:.3f} on prompts left out "
        f"(gain {gain.log_loss_gain.low:+.3f} to {gain.log_loss_gain.high:+.3f}, n = {n}), "
        f"calibration error {was.ece.estimate:.3f} to {now.ece.estimate:.3f}"
    )
    return Recalibration(
        applied=applied,
        why=f"applied: {change}" if applied else f"not applied, no sure gain: {change}",
        map=final,
        n_labels=n,
        ece_before=was.ece,
        ece_after=now.ece,
        brier_before=was.brier,
        brier_after=now.brier,
        gain=gain,
        p_a=after,
    )


def _sides(human: FloatArray) -> IntArray:
    tied = np.where(np.isnan(human), NONE, TIE)
    return np.where(human > 0.5, A, np.where(human < 0.5, B, tied)).astype(np.int8)


def _log_odds(confidence: FloatArray) -> FloatArray:
    p = np.clip(confidence, _LEAST_P, 1.0 - _LEAST_P)
    return np.asarray(np.log(p) - np.log1p(-p), dtype=np.float64)
