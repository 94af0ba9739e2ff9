"""What a trained labeler is: its data card, kept as JSON beside its weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.agreement.annotations import FloatArray, IntArray
from pipelines.agreement.estimate import Estimate
from pipelines.errors import BadInput, Undefined
from pipelines.preferences.audited import Audited
from pipelines.preferences.gain import compare
from pipelines.preferences.odd_logistic import log_loss
from pipelines.preferences.recalibrate import CalibrationMap, recalibrate
from pipelines.preferences.text_features import log_length_gap
from pipelines.records import PreferencePair

CARD = "labeler.json"
Kind = Literal["features", "classifier"]


class Figure(BaseModel):
    """An estimate with its interval, as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    estimate: float
    low: float
    high: float
    method: str
    n: int


class LabelerCard(BaseModel):
    """A labeler's data card. All figures are of prompts that the model was not fitted on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Kind
    n_pairs: int  # labelled pairs that it was fitted on
    n_prompts: int
    n_edge: int  # of the pairs, edge cases: learned from, not measured on
    n_folds: int
    accuracy: Figure  # on decisive pairs
    longer_wins: Figure  # the obvious baseline on the same pairs
    over_longer_wins: Figure  # difference of the two, paired
    log_loss: float  # after calibration; a coin has 0.693
    ece: Figure | None
    calibration: tuple[str, tuple[float, ...]] | None  # method, parameters; None: not needed
    settings: dict[str, Any]
    pair_ids: tuple[str, ...]  # that it was fitted on
    out_of_fold: tuple[float, ...]  # its label of each, from a model that never saw the prompt
    warnings: tuple[str, ...] = ()
    seconds: float
    version: str
    git_revision: str | None

    def map(self) -> CalibrationMap | None:
        """What its probabilities go through."""
        if self.calibration is None:
            return None
        method, parameters = self.calibration
        return CalibrationMap(method, parameters)  # type: ignore[arg-type]  # checked when made


@dataclass(frozen=True)
class Measured:
    """What cross-validation says of a labeler."""

    accuracy: Estimate
    longer_wins: Estimate
    over_longer_wins: Estimate
    log_loss: float
    ece: Estimate | None
    calibration: CalibrationMap | None
    p_a: FloatArray  # (n_pairs,) out of fold, calibrated


@dataclass(frozen=True)
class Labelled:
    """Pairs with what people said of them."""

    pairs: Sequence[PreferencePair]
    audited: Audited  # in the order of `pairs`

    @property
    def y(self) -> FloatArray:
        """Share of people who prefer response_a."""
        return self.audited.p_a

    @property
    def prompt(self) -> IntArray:
        """Prompt codes."""
        return self.audited.prompt


def measure(labelled: Labelled, out_of_fold: FloatArray, rng: np.random.Generator) -> Measured:
    """Accuracy, calibration and the baseline, from out-of-fold probabilities.

    Args:
        labelled: The pairs.
        out_of_fold: Probability of response_a by a model that never saw the pair's prompt.
        rng: For the folds of calibration.

    Raises:
        Undefined: Only edge cases, too few prompts, or no decisive label.
    """
    audited = labelled.audited
    used = ~audited.edge
    if not used.any():
        raise Undefined(
            "every label is of an edge case, so a labeler cannot be measured; label a random draw"
        )
    made = recalibrate(out_of_fold, audited, rng)
    p_a = made.p_a if made.applied else out_of_fold
    longer = longer_wins(labelled.pairs)
    human, weight, prompt = audited.p_a[used], audited.weight[used], audited.prompt[used]
    gain = compare(longer[used], p_a[used], human, prompt, weight)
    return Measured(
        accuracy=gain.accuracy_after,
        longer_wins=gain.accuracy_before,
        over_longer_wins=gain.accuracy_gain,
        log_loss=float(np.average(log_loss(p_a[used], human), weights=weight)),
        ece=made.ece_after if made.applied else made.ece_before,
        calibration=made.map if made.applied else None,
        p_a=p_a,
    )


def longer_wins(pairs: Sequence[PreferencePair]) -> FloatArray:
    """1 where response_a is longer, 0 where it is shorter, 1/2 at equal lengths."""
    return np.asarray((np.sign(log_length_gap(pairs)) + 1.0) / 2.0, dtype=np.float64)


def figure(estimate: Estimate) -> Figure:
    """The JSON form."""
    return Figure(**estimate.as_dict())


def read_card(folder: Path) -> LabelerCard:
    """The card of a saved labeler.

    Raises:
        BadInput: There is none, or it is damaged.
    """
    path = folder / CARD
    try:
        return LabelerCard.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise BadInput(
            f"{folder}: no labeler here; `workbench labeler fit NAME` makes one"
        ) from error
    except ValidationError as error:
        raise BadInput(f"{path}: damaged; fit the labeler again") from error
