"""The outcome of `workbench pairs` read back, and whether it is still up to date."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from pipelines.agreement.annotations import LABEL_NAMES, NONE, FloatArray, IntArray
from pipelines.errors import BadInput
from pipelines.preferences.curate import SOURCES, Counts, Step
from pipelines.provenance import program_version
from workbench.export.material import Material
from workbench.pairs.output import FOLDER, settings_of
from workbench.project import Project


@dataclass(frozen=True)
class MadePairs:
    """`runs/pairs`: every pair of the store with its fate; arrays have n_pairs rows."""

    manifest: dict[str, Any]
    label: IntArray  # codes, NONE where a pair has no label
    p_a: FloatArray  # soft label, corrected or recalibrated where that paid
    source: IntArray  # index into `curate.SOURCES`, -1 without a label
    weight: FloatArray  # 0 for a pair that is not kept
    split: npt.NDArray[np.object_]  # "" for a pair that is not kept
    kept: npt.NDArray[np.bool_]

    @property
    def judge(self) -> str | None:
        """The AI label: what corrected labels were stored as, else the one that went in."""
        name: str | None = self.manifest["labels_stored_as"] or self.manifest["label"]
        return name

    @property
    def round(self) -> str | None:
        """The round whose votes alone were used; None for all."""
        name: str | None = self.manifest["round"]
        return name

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that there are, train first."""
        return tuple(sorted(self.manifest["splits"], key=["train", "validation", "test"].index))

    def counts(self) -> Counts:
        """The way of the pairs, step by step."""
        told = self.manifest["counts"]
        steps = tuple(Step(**step) for step in told["steps"])
        return Counts(**{**told, "steps": steps})


def read_made(project: Project) -> MadePairs | None:
    """What `workbench pairs` left; None where it has not run.

    Raises:
        BadInput: The files are damaged.
    """
    folder = project.dir / FOLDER
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        manifest["human_hash"], manifest["round"], manifest["splits"]
        table = pq.read_table(folder / "pairs.parquet").drop_columns(["id", "margin"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(
            f"{folder}: damaged, or of an older version; `workbench pairs` makes it again"
        ) from error
    columns = table.to_pydict()
    labels = {name: code for code, name in enumerate(LABEL_NAMES)}
    sources = {name: code for code, name in enumerate(SOURCES)}
    p_a = [np.nan if value is None else value for value in columns["p_a"]]
    return MadePairs(
        manifest=manifest,
        label=np.array([labels.get(name, NONE) for name in columns["label"]], dtype=np.int8),
        p_a=np.array(p_a, dtype=np.float64),
        source=np.array([sources.get(name, -1) for name in columns["source"]], dtype=np.int8),
        weight=np.array(columns["weight"], dtype=np.float64),
        split=np.array([name or "" for name in columns["split"]], dtype=object),
        kept=np.array([reason is None for reason in columns["dropped"]], dtype=np.bool_),
    )


def why_stale(project: Project, made: MadePairs, material: Material) -> str | None:
    """What has changed since the pairs were made; None where nothing has.

    Args:
        project: The project.
        made: What was made.
        material: What there is now, gathered for the same round.
    """
    told = made.manifest
    if told["content_hash"] != project.store.content_hash():
        return "pairs or AI verdicts changed"
    if told["version"] != program_version():
        return "another version of the program made it"
    now = project.config.pairs.model_dump(mode="json")
    # The label may have been named on the command line.
    wanted = now.pop("label") in ("", told["settings"]["label"])
    if not wanted or {**now, "label": told["settings"]["label"]} != told["settings"]:
        return "the section pairs of project.toml changed"
    if {key: told.get(key) for key in settings_of(project)} != settings_of(project):
        return "the section curate or a judge's abstain_below in project.toml changed"
    if told["human_hash"] != material.human_hash():
        return "people's labels changed"
    return None
