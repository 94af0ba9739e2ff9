"""The demo of the sample: pairs written by hand, a round, and three simulated people's labels."""

import shutil
from collections import defaultdict
from functools import partial
from pathlib import Path

from pipelines.config import CONFIG_NAME
from pipelines.errors import BadInput
from pipelines.formats.rejects import Reject
from pipelines.importing import import_file
from pipelines.records import HumanLabel
from workbench.audit.draw import draw_round
from workbench.audit.label_files import read_labels
from workbench.audit.options import draw_options
from workbench.data_files import data_dir
from workbench.demo.place import BEGAN_S, MadeDemo, OnStage
from workbench.project import Project
from workbench.simulated import label_round

SHARE_LABELLED = 0.60


def build_sample(folder: Path, now: float, on_stage: OnStage) -> MadeDemo:
    """Import the sample, draw a round, and let the simulated people label most of it."""
    sample = data_dir() / "sample"
    Project.create(folder)
    shutil.copyfile(sample / CONFIG_NAME, folder / CONFIG_NAME)
    project = Project.open(folder)
    began = now - BEGAN_S
    summary = import_file(
        project.store, sample / "pairs.jsonl", project.config, strict=True, now=began
    )
    drawn = draw_round(project, draw_options(project), now=began)
    answers = read_answers(sample / "labels.jsonl")
    told = partial(on_stage, "simulated people label")
    simulated = label_round(project.engine, drawn.round_id, answers, SHARE_LABELLED, began, told)
    project.engine.dispose()  # SQLite folds its log into the file when the last one leaves
    return MadeDemo(
        round_name=drawn.design.name,
        label=drawn.design.label,
        n_pairs=summary.n_pairs,
        n_drawn=drawn.n_new,
        answered=simulated.answered,
        asked=simulated.asked,
        annotators=tuple(sorted(answers)),
        before=(f"pairs      {summary.n_pairs} imported, written for this project",),
    )


def read_answers(path: Path) -> dict[str, dict[str, HumanLabel]]:
    """What the simulated people say: annotator -> pair id -> label.

    Raises:
        BadInput: A row cannot be read.
    """
    answers: defaultdict[str, dict[str, HumanLabel]] = defaultdict(dict)
    for read in read_labels(path):
        if isinstance(read, Reject):
            raise BadInput(f"{path}:{read.line}: {read.detail}; make the sample again")
        row = read.row
        answers[row.annotator][row.pair_id] = HumanLabel(
            annotator=row.annotator, label=row.label, comment=row.comment, seconds=row.seconds
        )
    return dict(answers)
