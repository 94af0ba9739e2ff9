"""The demo project: the sample pairs, a round drawn on them, and three simulated people's labels.

It is made in a folder beside its place and moved there when it is whole, so a demo that was cut
off leaves nothing half-made, and one that exists is opened as it is and never made again.
"""

import json
import os
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.config import CONFIG_NAME
from pipelines.errors import BadInput
from pipelines.formats.rejects import Reject
from pipelines.importing import import_file
from pipelines.provenance import program_version
from pipelines.records import HumanLabel
from workbench.audit.draw import draw_round
from workbench.audit.label_files import read_labels
from workbench.audit.options import draw_options
from workbench.data_files import data_dir
from workbench.project import Project
from workbench.simulated import label_round

MARK = ".workbench-demo"  # says that a folder is a demo of ours, and by which version
SHARE_LABELLED = 0.60
# The simulated people began this long ago. They need about a quarter of it, and were then silent
# for longer than a lease, so what they left open goes to the visitor.
BEGAN_S = 3600.0


@dataclass(frozen=True)
class MadeDemo:
    """What the demo project holds when it is new."""

    round_name: str
    label: str
    n_pairs: int
    n_drawn: dict[str, int]  # by stratum
    answered: int
    asked: int
    annotators: tuple[str, ...]


def find_demo(folder: Path) -> bool:
    """Whether the folder is a demo already; False where there is nothing yet.

    Raises:
        BadInput: It is something else, which is left alone.
    """
    if (folder / MARK).is_file():
        return True
    if (folder / CONFIG_NAME).is_file():
        raise BadInput(
            f"{folder}: is a project of yours, not the demo; open it with "
            f"`workbench serve --project {folder}`, or give the demo another --dir"
        )
    if folder.is_dir():
        if any(folder.iterdir()):
            raise BadInput(
                f"{folder}: holds other files and is left alone; give the demo another --dir"
            )
    elif folder.exists():
        raise BadInput(f"{folder}: is a file; give the demo another --dir")
    return False


def make_demo(
    folder: Path,
    now: float | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> MadeDemo:
    """Make the demo project in a folder that does not exist yet, or is empty.

    Args:
        folder: Where.
        now: The present, Unix seconds; the clock's where None.
        on_progress: Called with labels given and asked for.

    Raises:
        BadInput: The folder cannot be written, or there is something in it.
    """
    if find_demo(folder):
        raise BadInput(f"{folder}: the demo is there already; open it, or give another --dir")
    now = time.time() if now is None else now
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise BadInput(
            f"{folder}: cannot be written ({error.strerror}); give the demo another --dir"
        ) from error
    try:
        made = _build(building, now, on_progress)
        building.chmod(0o755)  # mkdtemp keeps others out; a project need not
        os.rename(building, folder)  # also onto an empty folder, never onto a full one
    except OSError as error:
        raise BadInput(
            f"{folder}: cannot be written ({error.strerror}); give the demo another --dir"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return made


def _build(
    folder: Path, now: float, on_progress: Callable[[int, int], None] | None = None
) -> MadeDemo:
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
    simulated = label_round(
        project.engine, drawn.round_id, answers, SHARE_LABELLED, began, on_progress
    )
    made = MadeDemo(
        round_name=drawn.design.name,
        label=drawn.design.label,
        n_pairs=summary.n_pairs,
        n_drawn=drawn.n_new,
        answered=simulated.answered,
        asked=simulated.asked,
        annotators=tuple(sorted(answers)),
    )
    project.engine.dispose()  # SQLite folds its log into the file when the last one leaves
    said = {"version": program_version(), "made_at": now, **asdict(made)}
    (folder / MARK).write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    return made


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
