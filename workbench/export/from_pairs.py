"""An export of what `workbench pairs` made: its labels, soft labels, weights and splits."""

from dataclasses import replace
from typing import Any

import numpy as np

from pipelines.errors import BadInput
from pipelines.preferences.curate import KEPT, NO_VERDICT, Curated
from workbench.export.material import Material, gather
from workbench.pairs.made import MadePairs, read_made, why_stale
from workbench.project import Project


def made_pairs(project: Project) -> MadePairs:
    """What `workbench pairs` left.

    Raises:
        BadInput: It has not run, or its files are damaged.
    """
    made = read_made(project)
    if made is None:
        raise BadInput(f"{project.dir}: no pairs are made yet; run `workbench pairs` first")
    return made


def stale_pairs(project: Project) -> str | None:
    """Why the made pairs cannot be taken as they are; None where they can.

    Raises:
        BadInput: `workbench pairs` has not run, or its files are damaged.
    """
    made = made_pairs(project)
    known = made.judge is None or made.judge in project.store.annotations().judges
    material = gather(project, made.round, made.judge if known else made.manifest["label"])
    return why_stale(project, made, material)


def as_curated(project: Project, made: MadePairs, material: Material, curated: Curated) -> Curated:
    """The made pairs in the form of a curation; what people said is as it is now.

    Args:
        project: The project.
        made: What `workbench pairs` made.
        material: What there is now, gathered for the same round and label.
        curated: A curation of it, for the columns that speak of people and the AI.

    Raises:
        BadInput: Something that decided the outcome has changed since.
    """
    why = why_stale(project, made, material)
    if why is not None:
        raise BadInput(
            f"runs/pairs is out of date: {why}; run `workbench pairs` again, or export with "
            "--from labels"
        )
    return replace(
        curated,
        # Why the others left is in the counts; here it is only said that they did.
        fate=np.where(made.kept, KEPT, NO_VERDICT).astype(np.int8),
        label=made.label,
        p_a=made.p_a,
        source=made.source,
        weight=made.weight,
        counts=made.counts(),
    )


def facts_of_made(made: MadePairs) -> dict[str, Any]:
    """How the pairs were made, for the data card and programs."""
    told = made.manifest
    learned = told["correction"] if told["correction"] else None
    recalibrated = told["recalibration"] if told["recalibration"] else None
    return {
        "label": told["label"],
        "labels_stored_as": told["labels_stored_as"],
        "settings": told["settings"],
        "correction": learned and {"applied": learned["applied"], "why": learned["why"]},
        "recalibration": recalibrated
        and {"applied": recalibrated["applied"], "why": recalibrated["why"]},
        "notes": told["notes"],
    }
