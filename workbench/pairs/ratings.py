"""Ratings of single responses in `workbench pairs`: read back, and as soft labels."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from pipelines.agreement.annotations import NONE
from pipelines.judge.ratings import scores_said
from workbench.export.material import Material
from workbench.project import Project


def ratings_of(project: Project, label: str | None) -> npt.NDArray[np.float64] | None:
    """Ratings of both responses, (n_pairs, 2), where the label is that of a judge that rates."""
    found: dict[int, tuple[float, float]] = {}
    if label is not None:
        for row, raw in project.store.said_by(label):
            said = scores_said(raw)
            if said is not None:
                found[row] = said
            elif not found:
                break  # a judge of another mode
    if not found:
        return None
    score = np.full((len(project.store), 2), np.nan)
    score[list(found)] = list(found.values())
    return score


def with_soft_scores(material: Material, score: npt.NDArray[np.float64], scale: float) -> Material:
    """Ratings as soft labels: a difference of `scale` is worth one in log-odds."""
    evidence = material.evidence
    soft = expit((score[:, 0] - score[:, 1]) / scale)
    p_a = np.where(evidence.ai_label == NONE, np.nan, soft)
    return replace(material, evidence=replace(evidence, ai_p_a=p_a))
