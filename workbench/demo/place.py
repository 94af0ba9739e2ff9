"""A demo project appears whole or not at all, and one that exists is opened as it is.

It is made in a folder beside its place and moved there when it is done, so a demo that was cut off
leaves nothing half-made. Only one that asks models of the visitor's own keeps what was answered:
the same command goes on there.
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pipelines.config import CONFIG_NAME
from pipelines.errors import BadInput
from pipelines.provenance import program_version

MARK = ".workbench-demo"  # says that a folder is a demo of ours, which one, and by which version
# The simulated people began this long ago. They need about a quarter of it, and were then silent
# for longer than a lease, so what they left open goes to the visitor.
BEGAN_S = 3600.0

Kind = Literal["help desk", "sample", "models"]
# The flag of `workbench demo` that each kind is made by.
_FLAGS: dict[Kind, str] = {"help desk": "", "sample": " --sample", "models": " --model ..."}
# Called with the stage's name, things done and all things of it (None: not known yet).
OnStage = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class MadeDemo:
    """What the demo project holds when it is new."""

    round_name: str
    label: str
    n_pairs: int
    n_drawn: dict[str, int]  # by stratum
    answered: int
    asked: int
    annotators: tuple[str, ...]  # the simulated ones
    before: tuple[str, ...] = ()  # what the stages before the round did, a line each
    after: tuple[str, ...] = ()  # and those after the labels


# Fills an empty folder (or one that was cut off) with a project; the time is the present's.
Build = Callable[[Path, float, OnStage], MadeDemo]


def find_demo(folder: Path, kind: Kind = "help desk") -> bool:
    """Whether the folder is this demo already; False where there is nothing yet.

    Raises:
        BadInput: It is something else, which is left alone.
    """
    if (folder / MARK).is_file():
        there: Kind = _kind_of(folder / MARK)
        if there != kind:
            raise BadInput(
                f"{folder}: holds another demo; open it with `workbench demo{_FLAGS[there]} --dir "
                f"{folder}`, or give this one another --dir"
            )
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
    build: Build,
    kind: Kind = "help desk",
    *,
    now: float | None = None,
    on_stage: OnStage | None = None,
) -> MadeDemo:
    """Make the demo project in a folder that does not exist yet, or is empty.

    Args:
        folder: Where.
        build: What makes it.
        kind: Which demo it is. Of "models" that were cut off, what was answered is kept beside the
            folder, and used the next time.
        now: The present, Unix seconds; the clock's where None.
        on_stage: Told how far it is.

    Raises:
        BadInput: The folder cannot be written, or there is something in it.
    """
    if find_demo(folder, kind):
        raise BadInput(f"{folder}: the demo is there already; open it, or give another --dir")
    now = time.time() if now is None else now
    folder = folder.absolute()
    kept = folder.with_name(f".{folder.name}-unfinished")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if kind == "models":
            kept.mkdir(exist_ok=True)
            building = kept
        else:
            building = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise BadInput(
            f"{folder}: cannot be written ({error.strerror}); give the demo another --dir"
        ) from error
    try:
        made = build(building, now, on_stage or _nobody)
        said = {"kind": kind, "version": program_version(), "made_at": now, **asdict(made)}
        (building / MARK).write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
        building.chmod(0o755)  # mkdtemp keeps others out; a project need not
        os.rename(building, folder)  # also onto an empty folder, never onto a full one
    except OSError as error:
        raise BadInput(
            f"{folder}: cannot be written ({error.strerror}); give the demo another --dir"
        ) from error
    finally:
        if building != kept or not (kept / "runs").is_dir():  # nothing was answered
            shutil.rmtree(building, ignore_errors=True)
    return made


def _kind_of(mark: Path) -> Kind:
    """Which demo a folder is; those of earlier versions were all of the sample."""
    try:
        said = json.loads(mark.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{mark}: cannot be read; delete the folder, or give the demo another --dir"
        ) from error
    return next((one for one in _FLAGS if one == said.get("kind")), "sample")


def _nobody(_stage: str, _n_done: int, _n_all: int | None) -> None:
    """Nobody is told."""
