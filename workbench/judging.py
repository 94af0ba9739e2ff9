"""The judges of a project, run one after the other; Ctrl-C and SIGTERM end it cleanly."""

import asyncio
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.errors import BadInput
from pipelines.judge.budget import Budget, Limits
from pipelines.judge.engines import question_of
from pipelines.judge.estimate import Estimate, estimate
from pipelines.judge.index import read_index
from pipelines.judge.lock import project_lock
from pipelines.judge.manifest import read_manifest
from pipelines.judge.modes import calls_per_judgment
from pipelines.judge.runner import JudgeFolder, JudgeRun, Question, Standing, run_judge
from pipelines.judge.spec import JudgeSpec
from pipelines.judge.stop import StopSignal
from pipelines.models.opening import build_engine, check_bounded
from workbench.project import Project


def judge_all(
    project: Project,
    specs: Sequence[JudgeSpec],
    folders: Sequence[Path],
    limits: Limits,
    retry_failed: bool = False,
    on_standing: Callable[[Standing], None] | None = None,
    only: Sequence[str] | None = None,
) -> list[JudgeRun]:
    """Ask what is pending of each judge; a judge whose service fails does not stop the others.

    Args:
        project: The project.
        specs: Its judges, in the order in which they are asked.
        folders: Where prompt files are looked up.
        limits: What all of them together may use.
        retry_failed: Ask again what failed before.
        on_standing: Called a few times a second.
        only: Ids of the pairs to ask about now; all pairs when None.

    Raises:
        BadInput: There are no pairs, or none of such an id, another run is going on, or a judge
            cannot be asked as it is set; checked for all of them before the first is asked.
    """
    if not len(project.store):
        raise BadInput(f"{project.dir}: no pairs to judge; run `workbench import FILE` first")
    questions = [question_of(spec, folders)[0] for spec in specs]
    for spec in specs:
        check_bounded(spec, limits.max_requests)
        project.store.check_judge_name(spec.name)
        if spec.engine == "endpoint":
            build_engine(spec, project.dir)  # a key that is missing is told before anything runs
    wanted = None if only is None else _rows(project, only)
    with project_lock(project.dir):
        return asyncio.run(
            _ask_all(project, questions, Budget(limits), retry_failed, on_standing, wanted)
        )


def _rows(project: Project, ids: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which pairs have these ids, shape (n_pairs,)."""
    rows = project.store.rows_of(ids)
    if (rows < 0).any():
        missing = ids[int(np.flatnonzero(rows < 0)[0])]
        raise BadInput(f'no pair of this project has the id "{missing}"; make the list again')
    wanted = np.zeros(len(project.store), dtype=bool)
    wanted[rows] = True
    return wanted


async def _ask_all(
    project: Project,
    questions: Sequence[Question],
    budget: Budget,
    retry_failed: bool,
    on_standing: Callable[[Standing], None] | None,
    only: npt.NDArray[np.bool_] | None,
) -> list[JudgeRun]:
    runs: list[JudgeRun] = []
    stop = StopSignal()
    with on_signals(stop):
        for question in questions:
            if stop.asked:
                break
            run = await run_judge(
                project.dir,
                project.store,
                question,
                build_engine(question.spec, project.dir),
                budget,
                retry_failed=retry_failed,
                only=only,
                stop=stop,
                on_standing=on_standing,
            )
            runs.append(run)
    return runs


def estimates(
    project: Project, specs: Sequence[JudgeSpec], folders: Sequence[Path], retry_failed: bool
) -> list[Estimate]:
    """What a run would ask, cost and take; asks nobody.

    Raises:
        BadInput: There are no pairs, or a judge's prompt files are missing or wrong.
    """
    if not len(project.store):
        raise BadInput(f"{project.dir}: no pairs to judge; run `workbench import FILE` first")
    found = []
    for spec in specs:
        question, template = question_of(spec, folders)
        folder = JudgeFolder(project.dir, spec.name)
        found.append(
            estimate(
                project.store,
                question,
                read_index(folder.log, question.hash, project.store, question.orders),
                read_manifest(folder.manifest, spec.name),
                calls_per_judgment(spec, template),
                spec.concurrency if spec.engine == "endpoint" else spec.local.max_batch,
                retry_failed,
            )
        )
    return found


@contextmanager
def on_signals(stop: StopSignal) -> Iterator[None]:
    """Ctrl-C and SIGTERM say stop, while the block runs."""
    loop = asyncio.get_running_loop()
    kinds = (signal.SIGINT, signal.SIGTERM)
    for kind in kinds:
        loop.add_signal_handler(kind, stop)
    try:
        yield
    finally:
        for kind in kinds:
            loop.remove_signal_handler(kind)
