"""Dawid and Skene's model: a true class per pair, a confusion matrix per rater, by EM.

The AI judge may be one of the raters: the posterior then weighs it by what its agreement with
everybody else says of it.
Source: Dawid and Skene (1979), doi:10.2307/2346806.
"""

from dataclasses import dataclass

import numpy as np

from pipelines.agreement.annotations import FloatArray, IntArray
from pipelines.errors import BadInput, Undefined

_TINY = 1e-300


@dataclass(frozen=True)
class DawidSkene:
    """The fitted model."""

    prior: FloatArray  # (n_classes,) share of each true class
    confusion: FloatArray  # (n_raters, n_classes, n_classes) P(rater says column | truth is row)
    posterior: FloatArray  # (n_units, n_classes) P(truth | all ratings of the unit)
    log_likelihood: float
    n_iterations: int
    converged: bool

    def accuracy(self) -> FloatArray:
        """Each rater's probability of naming the true class, shape (n_raters,)."""
        diagonal = np.diagonal(self.confusion, axis1=1, axis2=2)
        return np.asarray(diagonal @ self.prior, dtype=np.float64)


def dawid_skene(
    unit: IntArray,
    rater: IntArray,
    label: IntArray,
    n_classes: int = 3,
    *,
    smoothing: float = 0.0,
    max_iterations: int = 1000,
    tolerance: float = 1e-9,
) -> DawidSkene:
    """Fit the model to ratings in long form; a rater may rate a unit several times.

    Args:
        unit: Index of the unit, 0..n_units-1, shape (n_ratings,).
        rater: Index of the rater, same shape.
        label: The class given, same shape.
        n_classes: Number of classes.
        smoothing: Added to every cell of a confusion matrix before it is normalised; 0 is the
            paper's maximum likelihood, 0.01 to 1 steadies raters with few ratings.
        max_iterations: EM steps at most; `converged` says whether they were enough.
        tolerance: Stop when the log likelihood per rating grows by less.

    Raises:
        Undefined: No ratings.
        BadInput: A unit without a rating, or a label outside the classes.
    """
    n_ratings = len(unit)
    if n_ratings == 0:
        raise Undefined("no ratings to fit")
    if int(label.min()) < 0 or int(label.max()) >= n_classes:
        raise BadInput(f"a label lies outside the {n_classes} classes; leave failures out first")
    n_units, n_raters = int(unit.max()) + 1, int(rater.max()) + 1
    n_per_unit = np.bincount(unit, minlength=n_units)
    if n_per_unit.min() == 0:
        raise BadInput("a unit has no rating; number the units without gaps")
    votes = np.bincount(unit * n_classes + label, minlength=n_units * n_classes)
    posterior: FloatArray = votes.reshape(n_units, n_classes) / n_per_unit[:, None]
    column = rater.astype(np.int64) * n_classes + label
    log_likelihood = -np.inf
    n_iterations, converged = 0, False
    while not converged and n_iterations < max_iterations:
        prior, confusion = _maximise(posterior, unit, column, n_raters, smoothing)
        posterior, updated = _expect(prior, confusion, unit, column)
        converged = updated - log_likelihood < tolerance * n_ratings
        log_likelihood = updated
        n_iterations += 1
    prior, confusion = _maximise(posterior, unit, column, n_raters, smoothing)
    return DawidSkene(prior, confusion, posterior, log_likelihood, n_iterations, converged)


# Both steps pass over the ratings once per class with bincount: no array of units x raters x
# classes. `column` is rater * n_classes + label.


def _maximise(
    posterior: FloatArray, unit: IntArray, column: IntArray, n_raters: int, smoothing: float
) -> tuple[FloatArray, FloatArray]:
    """Class shares and confusion matrices that fit the posterior best: equations (2.3), (2.4)."""
    n_classes = posterior.shape[1]
    given = posterior[unit]
    counts = np.stack(
        [
            np.bincount(column, given[:, true], minlength=n_raters * n_classes)
            for true in range(n_classes)
        ]
    )
    cells = counts.reshape(n_classes, n_raters, n_classes).transpose(1, 0, 2) + smoothing
    return posterior.mean(axis=0), cells / np.maximum(cells.sum(axis=2, keepdims=True), _TINY)


def _expect(
    prior: FloatArray, confusion: FloatArray, unit: IntArray, column: IntArray
) -> tuple[FloatArray, float]:
    """Posterior of each unit's class, equation (2.5), and the log likelihood."""
    n_classes = len(prior)
    log_cells = np.log(np.maximum(confusion, _TINY)).transpose(1, 0, 2).reshape(n_classes, -1)
    joint = np.log(np.maximum(prior, _TINY)) + np.stack(
        [np.bincount(unit, log_cells[true][column]) for true in range(n_classes)], axis=1
    )
    top = joint.max(axis=1, keepdims=True)
    weight = np.exp(joint - top)
    total = weight.sum(axis=1, keepdims=True)
    return np.asarray(weight / total), float((top + np.log(total)).sum())
