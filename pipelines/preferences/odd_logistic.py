"""Ridge-logistic regression on odd features, without an intercept: swapping a pair gives 1 - p.

The strength of the ridge is chosen by cross-validation inside the training pairs; what is reported
of a model comes from folds that it was not fitted on. Folds are made of whole prompts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse, special

from pipelines.agreement.annotations import FloatArray, IntArray
from pipelines.errors import Undefined

_LEAST_PROMPTS = 10
_MAX_STEPS = 2_000
_TOLERANCE = 1e-5
_SEARCH_TOLERANCE = 1e-3
_FEW_PAIRS = 1_500  # above, sparse words are quicker than their Gram matrix
_LEAST_P = 1e-3

Matrix: TypeAlias = "FloatArray | sparse.csr_array[np.float64]"


@dataclass(frozen=True)
class Block:
    """Some columns of odd features that share a scale.

    A block of named columns is scaled column by column; a block of words or of an embedding as a
    whole, so that its mean squared row length is 1. `emphasis` multiplies the scaled block: the
    larger, the less the ridge holds its coefficients back. Several values are choices.
    """

    name: str
    matrix: Matrix  # (n_pairs, n_columns)
    by_column: bool = True
    emphasis: tuple[float, ...] = (1.0,)

    def take(self, rows: npt.NDArray[np.integer]) -> "Block":
        """The same columns of some pairs."""
        return Block(self.name, _rows(self.matrix, rows), self.by_column, self.emphasis)


@dataclass(frozen=True)
class Ridge:
    """How a fit is held back: prior variance of a coefficient, and each block's emphasis."""

    variance: float
    emphasis: tuple[float, ...]


@dataclass(frozen=True)
class OddLogistic:
    """A fitted model: one vector of coefficients a block, on the block's own scale."""

    coefficients: tuple[FloatArray, ...]
    ridge: Ridge

    def margin(self, blocks: Sequence[Block]) -> FloatArray:
        """log(p / (1 - p)) of each pair, shape (n_pairs,)."""
        total = np.zeros(blocks[0].matrix.shape[0])
        for block, coefficients in zip(blocks, self.coefficients, strict=True):
            total += np.asarray(block.matrix @ coefficients, dtype=np.float64)
        return total

    def p_a(self, blocks: Sequence[Block]) -> FloatArray:
        """Probability that response_a is the better one, shape (n_pairs,)."""
        return np.asarray(special.expit(self.margin(blocks)), dtype=np.float64)


@dataclass(frozen=True)
class CrossFitted:
    """A model of all pairs, and for each pair a probability from a model that never saw it."""

    model: OddLogistic
    p_a: FloatArray  # (n_pairs,) out of fold
    fold: IntArray  # (n_pairs,)


VARIANCES = (0.003, 0.03, 0.3)


def prompt_folds(prompt: IntArray, n_folds: int, rng: np.random.Generator) -> IntArray:
    """A fold for each pair, the same for all pairs of a prompt. Shape (n_pairs,).

    Raises:
        Undefined: There are too few prompts to learn from some and check on others.
    """
    codes, place = np.unique(prompt, return_inverse=True)
    if len(codes) < max(_LEAST_PROMPTS, n_folds):
        raise Undefined(
            f"{len(codes)} labelled prompts are too few for cross-validation; "
            f"label at least {max(_LEAST_PROMPTS, n_folds)}"
        )
    # Prompts in random order, the largest first, each to the smallest fold: even folds.
    sizes = np.bincount(place)
    order = rng.permutation(len(codes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    filled = np.zeros(n_folds, dtype=np.int64)
    fold_of = np.empty(len(codes), dtype=np.int64)
    for code in order:
        fold_of[code] = filled.argmin()
        filled[fold_of[code]] += sizes[code]
    return fold_of[place]


def fit(
    blocks: Sequence[Block],
    y: FloatArray,
    weight: FloatArray,
    ridge: Ridge,
    tolerance: float = _TOLERANCE,
) -> OddLogistic:
    """The model that maximises the weighted likelihood less |coefficients|^2 / (2 variance).

    Args:
        blocks: Odd features of the same pairs.
        y: Probability in 0..1 that people prefer response_a, shape (n_pairs,).
        weight: Of each pair, same shape.
        ridge: How far coefficients may go, on the scaled columns.
        tolerance: Largest slope of the mean log-likelihood at which to stop.
    """
    from sklearn.linear_model import LogisticRegression

    scales = [_scale(block) for block in blocks]
    parts = [
        _times(block.matrix, scale * emphasis)
        for block, scale, emphasis in zip(blocks, scales, ridge.emphasis, strict=True)
    ]
    matrix = _side_by_side(parts)
    # A soft label is two rows: it counts as A by its share and as B by the rest.
    for_a, for_b = np.flatnonzero(weight * y > 0), np.flatnonzero(weight * (1.0 - y) > 0)
    rows = np.r_[for_a, for_b]
    target = np.r_[np.ones(len(for_a)), np.zeros(len(for_b))]
    counts = np.r_[(weight * y)[for_a], (weight * (1.0 - y))[for_b]]
    matrix = _rows(matrix, rows)
    if target.min() == target.max():  # the library wants two classes: every other pair swapped
        turned = np.arange(len(rows)) % 2 == 1
        matrix = _times(matrix, np.where(turned, -1.0, 1.0)[:, None])
        target = np.where(turned, 1.0 - target, target)
    model = LogisticRegression(
        C=ridge.variance,
        fit_intercept=False,
        solver="newton-cg",
        max_iter=_MAX_STEPS,
        tol=tolerance,
    )
    model.fit(matrix, target, sample_weight=counts)
    flat = np.asarray(model.coef_[0], dtype=np.float64)
    ends = np.cumsum([block.matrix.shape[1] for block in blocks])[:-1]
    return OddLogistic(
        tuple(
            part * scale * emphasis
            for part, scale, emphasis in zip(
                np.split(flat, ends), scales, ridge.emphasis, strict=True
            )
        ),
        ridge,
    )


def ridges(blocks: Sequence[Block]) -> list[Ridge]:
    """Every strength that is tried: each variance with each choice of emphasis."""
    choices = list(product(*(block.emphasis for block in blocks)))
    return [Ridge(variance, emphasis) for variance in VARIANCES for emphasis in choices]


def fit_by_prompt(
    blocks: Sequence[Block],
    y: FloatArray,
    weight: FloatArray,
    prompt: IntArray,
    rng: np.random.Generator,
    n_folds: int = 3,
) -> OddLogistic:
    """The model with the ridge that predicts prompts left out best (by log-loss).

    Args:
        blocks: Odd features of the same pairs.
        y: Probability in 0..1 that people prefer response_a, shape (n_pairs,).
        weight: Of each pair, same shape.
        prompt: Code of each pair's prompt, same shape.
        rng: For the folds.
        n_folds: Of the search.
    """
    fold = prompt_folds(prompt, n_folds, rng)
    tried = ridges(blocks)
    losses = np.zeros(len(tried))
    for number in range(n_folds):
        here, others = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        training, held = [b.take(others) for b in blocks], [b.take(here) for b in blocks]
        for place, ridge in enumerate(tried):
            model = fit(training, y[others], weight[others], ridge, _SEARCH_TOLERANCE)
            p_a = model.p_a(held)
            losses[place] += weight[here] @ log_loss(p_a, y[here])
    return fit(blocks, y, weight, tried[int(losses.argmin())])


def cross_fit(
    blocks: Sequence[Block],
    y: FloatArray,
    weight: FloatArray,
    prompt: IntArray,
    rng: np.random.Generator,
    n_folds: int = 5,
) -> CrossFitted:
    """Fit on all pairs, and predict each pair by a model of the other folds' prompts.

    The ridge is chosen anew within each fold's training pairs, so that the out-of-fold
    probabilities are those of the whole procedure.

    Raises:
        Undefined: Too few prompts.
    """
    fold = prompt_folds(prompt, n_folds, rng)
    small = [_in_row_space(block) for block in blocks]
    p_a = np.empty(len(y))
    for number in range(n_folds):
        here, others = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        training = [block.take(others) for block in small]
        model = fit_by_prompt(training, y[others], weight[others], prompt[others], rng)
        p_a[here] = model.p_a([block.take(here) for block in small])
    ridge = fit_by_prompt(small, y, weight, prompt, rng).ridge
    return CrossFitted(fit(blocks, y, weight, ridge), p_a, fold)


def _in_row_space(block: Block) -> Block:
    """The same block in at most n_pairs columns, where it has more and the pairs are few.

    Distances between rows stay, so a fit held back by a ridge gives the same probabilities; only
    features are looked at, no labels.
    """
    n, n_columns = block.matrix.shape
    if block.by_column or n_columns <= n or n > _FEW_PAIRS:
        return block
    gram = block.matrix @ block.matrix.T
    square = np.asarray(gram.toarray() if sparse.issparse(gram) else gram, dtype=np.float64)
    values, vectors = np.linalg.eigh(square)
    kept = values > 1e-10 * max(values[-1], 1e-30)
    reduced = vectors[:, kept] * np.sqrt(values[kept])
    return Block(block.name, reduced, block.by_column, block.emphasis)


def log_loss(p_a: FloatArray, y: FloatArray) -> FloatArray:
    """Cross-entropy of each pair in nats, shape (n_pairs,); p is held within 0.001..0.999."""
    p = np.clip(p_a, _LEAST_P, 1.0 - _LEAST_P)
    return np.asarray(-(y * np.log(p) + (1.0 - y) * np.log1p(-p)), dtype=np.float64)


def _scale(block: Block) -> FloatArray:
    """What each column is multiplied with: 1 / its root mean square, or 1 / that of the rows.

    The mean is not taken out: it would make the features even.
    """
    matrix = block.matrix
    n, n_columns = matrix.shape
    square = matrix.multiply(matrix) if sparse.issparse(matrix) else np.square(matrix)
    of_columns = np.asarray(square.sum(axis=0), dtype=np.float64).ravel() / n
    if not block.by_column:
        of_columns = np.full(n_columns, of_columns.sum())
    root = np.sqrt(of_columns)
    return np.asarray(
        np.divide(1.0, root, out=np.zeros(n_columns), where=root > 1e-9), dtype=np.float64
    )


def _times(matrix: Matrix, factor: FloatArray) -> Matrix:
    """Columns, or with a factor of shape (n, 1) rows, times their factors."""
    if sparse.issparse(matrix):
        return sparse.csr_array(matrix.multiply(factor))
    return np.asarray(matrix * factor)


def _rows(matrix: Matrix, rows: npt.NDArray[np.integer]) -> Matrix:
    if sparse.issparse(matrix):
        return sparse.csr_array(matrix[rows])
    return np.asarray(matrix[rows], dtype=np.float64)


def _side_by_side(parts: Sequence[Matrix]) -> Matrix:
    if any(sparse.issparse(part) for part in parts):
        return sparse.csr_array(sparse.hstack([sparse.csr_array(part) for part in parts]))
    return np.hstack([np.asarray(part, dtype=np.float64) for part in parts])
