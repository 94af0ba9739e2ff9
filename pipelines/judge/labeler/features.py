"""A labeler of text features and, where there is an encoder, embeddings: ridge-logistic, odd.

Fitted in seconds on a few thousand labels. Saved as arrays and JSON, never as code.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from pipelines.agreement.annotations import FloatArray
from pipelines.errors import BadInput
from pipelines.judge.labeler.card import Labelled
from pipelines.judge.labeler.encoder import Encoder
from pipelines.preferences.odd_logistic import Block, CrossFitted, OddLogistic, Ridge, cross_fit
from pipelines.preferences.text_features import (
    N_WORD_COLUMNS,
    TEXT_COLUMNS,
    text_columns,
    word_columns,
)
from pipelines.records import PreferencePair

WEIGHTS = "features.npz"
N_FOLDS = 5
_EMPHASIS = (1.0, 4.0, 12.0)


@dataclass(frozen=True)
class FeatureLabeler:
    """P(people prefer response_a) from the two texts alone."""

    model: OddLogistic
    encoder: Encoder | None

    def p_a(self, pairs: Sequence[PreferencePair]) -> FloatArray:
        """Uncalibrated probability that people prefer response_a, shape (n_pairs,)."""
        return self.model.p_a(blocks(pairs, self.encoder))

    def save(self, folder: Path) -> None:
        """Write the coefficients."""
        arrays = {f"block_{k}": part for k, part in enumerate(self.model.coefficients)}
        ridge = np.array([self.model.ridge.variance, *self.model.ridge.emphasis])
        with (folder / WEIGHTS).open("wb") as file:
            np.savez_compressed(file, ridge=ridge, allow_pickle=False, **arrays)


def blocks(pairs: Sequence[PreferencePair], encoder: Encoder | None) -> list[Block]:
    """The odd columns of pairs."""
    found = [
        Block("text", text_columns(pairs)),
        Block("words", word_columns(pairs), by_column=False, emphasis=_EMPHASIS),
    ]
    if encoder is not None:
        found.append(
            Block("embedding", encoder.differences(pairs), by_column=False, emphasis=_EMPHASIS)
        )
    return found


def fit_features(
    labelled: Labelled, encoder: Encoder | None, rng: np.random.Generator
) -> tuple[FeatureLabeler, CrossFitted]:
    """Fit on all labelled pairs, and cross-fit by prompt.

    Raises:
        Undefined: Too few prompts.
    """
    made = cross_fit(
        blocks(labelled.pairs, encoder),
        labelled.y,
        labelled.audited.weight,
        labelled.prompt,
        rng,
        N_FOLDS,
    )
    return FeatureLabeler(made.model, encoder), made


def load_features(folder: Path, encoder: Encoder | None) -> FeatureLabeler:
    """A saved labeler.

    Raises:
        BadInput: It is not there, damaged, or of another version's columns.
    """
    path = folder / WEIGHTS
    try:
        with np.load(path, allow_pickle=False) as stored:
            ridge = stored["ridge"]
            # An older numpy keeps `allow_pickle` as one more array.
            n_blocks = sum(name.startswith("block_") for name in stored.files)
            parts = tuple(stored[f"block_{k}"] for k in range(n_blocks))
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise BadInput(f"{path}: cannot be read ({error}); fit the labeler again") from error
    expected = [len(TEXT_COLUMNS), N_WORD_COLUMNS]
    if encoder is not None:
        expected.append(encoder.n_columns)
    if [len(part) for part in parts] != expected:
        raise BadInput(f"{path}: its columns are not those of this program; fit the labeler again")
    return FeatureLabeler(
        OddLogistic(parts, Ridge(float(ridge[0]), tuple(float(one) for one in ridge[1:]))), encoder
    )
