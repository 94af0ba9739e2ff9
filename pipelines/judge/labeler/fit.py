"""Fit a labeler of either kind, measure it by cross-validation, save it with its card; load it."""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.agreement.annotations import FloatArray
from pipelines.errors import BadInput
from pipelines.judge.labeler.card import (
    CARD,
    Kind,
    LabelerCard,
    Labelled,
    figure,
    measure,
    read_card,
)
from pipelines.judge.labeler.encoder import Encoder
from pipelines.judge.labeler.features import N_FOLDS, fit_features, load_features
from pipelines.provenance import git_revision, program_version
from pipelines.records import PreferencePair

if TYPE_CHECKING:
    from pipelines.judge.labeler.classifier import Training


@dataclass(frozen=True)
class Labeler:
    """A labeler that is ready to label."""

    card: LabelerCard
    raw_p_a: Callable[[Sequence[PreferencePair]], FloatArray]

    def p_a(self, pairs: Sequence[PreferencePair]) -> FloatArray:
        """Calibrated probability that people prefer response_a, shape (n_pairs,).

        On a pair whose prompt it was fitted on this flatters it; use `LabelerCard.out_of_fold`.
        """
        made = self.card.map()
        p_a = self.raw_p_a(pairs)
        return p_a if made is None else made.p_a(p_a)


def fit_labeler(
    name: str,
    labelled: Labelled,
    folder: Path,
    *,
    encoder: Path | None = None,
    training: "Training | None" = None,
    seed: int = 0,
) -> LabelerCard:
    """Fit, measure, and save; an earlier labeler in the folder is replaced when all is done.

    Args:
        name: Under which its judgments will be stored.
        labelled: The pairs and what people said of them.
        folder: Where it is saved.
        encoder: Folder of a local text encoder, for a labeler of features.
        training: For a fine-tuned classifier instead.
        seed: Of the folds.

    Raises:
        Undefined: Too few labels.
        BadInput: A model that cannot be loaded, or a folder that cannot be written.
    """
    start = time.monotonic()
    rng = np.random.default_rng(seed)
    staged = folder.with_name(f".{folder.name}.partial")
    settings: dict[str, Any]
    kind: Kind
    save: Callable[[Path], None]
    if training is None:
        features, made = fit_features(labelled, None if encoder is None else Encoder(encoder), rng)
        out_of_fold, n_folds, kind, save = made.p_a, N_FOLDS, "features", features.save
        settings = {
            "encoder": None if encoder is None else str(encoder),
            "variance": made.model.ridge.variance,
            "emphasis": list(made.model.ridge.emphasis),
        }
    else:
        from pipelines.judge.labeler.classifier import fit_classifier

        classifier, out_of_fold = fit_classifier(labelled, training)
        n_folds, kind, save = training.n_folds, "classifier", classifier.save
        settings = asdict(training)
    measured = measure(labelled, out_of_fold, rng)
    audited = labelled.audited
    calibration = measured.calibration
    card = LabelerCard(
        name=name,
        kind=kind,
        n_pairs=len(audited),
        n_prompts=len(np.unique(audited.prompt)),
        n_edge=int(audited.edge.sum()),
        n_folds=n_folds,
        accuracy=figure(measured.accuracy),
        longer_wins=figure(measured.longer_wins),
        over_longer_wins=figure(measured.over_longer_wins),
        log_loss=measured.log_loss,
        ece=None if measured.ece is None else figure(measured.ece),
        calibration=None if calibration is None else (calibration.method, calibration.parameters),
        settings=settings,
        pair_ids=tuple(pair.id or "" for pair in labelled.pairs),
        out_of_fold=tuple(measured.p_a.tolist()),
        warnings=_warnings(labelled),
        seconds=time.monotonic() - start,
        version=program_version(),
        git_revision=git_revision(),
    )
    try:
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        save(staged)
        (staged / CARD).write_text(card.model_dump_json(indent=1), encoding="utf-8")
        old = folder.with_name(f".{folder.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        os.replace(staged, folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise BadInput(f"{folder}: cannot be written ({error.strerror}); make room") from error
    return card


def load_labeler(folder: Path) -> Labeler:
    """A saved labeler.

    Raises:
        BadInput: It is not there or damaged.
    """
    card = read_card(folder)
    if card.kind == "features":
        encoder = card.settings["encoder"]
        features = load_features(folder, None if encoder is None else Encoder(Path(encoder)))
        return Labeler(card, features.p_a)
    from pipelines.judge.labeler.classifier import MODEL, Training, load_classifier

    classifier = load_classifier(folder / MODEL, Training(**card.settings))
    return Labeler(card, classifier.p_a)


def _warnings(labelled: Labelled) -> tuple[str, ...]:
    n_edge, n = int(labelled.audited.edge.sum()), len(labelled.audited)
    if n_edge > n / 2:
        return (f"{n_edge} of {n} labels are of edge cases, which are not like the other pairs",)
    return ()
