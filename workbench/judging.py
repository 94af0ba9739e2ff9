"""The judges of a project, run one after the other; Ctrl-C and SIGTERM end it cleanly."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.errors import BadInput
from pipelines.judge.engines import question_of
from pipelines.judge.estimate import Estimate, estimate
from pipelines.judge.fitness import judge_warnings
from pipelines.judge.manifest import read_manifest
from pipelines.judge.modes import calls_per_judgment
from pipelines.judge.runner import JudgeFolder, JudgeRun, Question, index_of, run_judge
from pipelines.judge.spec import JudgeSpec
from pipelines.judge.template import Template
from pipelines.models.opening import build_engine, check_bounded
from pipelines.stages.budget import Budget, Limits
from pipelines.stages.lock import project_lock
from pipelines.stages.log import Spend
from pipelines.stages.standing import Standing
from pipelines.stages.stop import StopSignal
from workbench.project import Project


def judge_all(
    project: Project,
    specs: Sequence[JudgeSpec],
    folders: Sequence[Path],
    limits: Limits,
    retry_failed: bool = False,
    on_standing: Callable[[Standing], None] | None = None,
    only: Sequence[str] | None = None,
    despite_batches: bool = False,
) -> list[JudgeRun]:
    """Ask what is pending of each judge; a judge whose service fails does not stop the others.

    Args:
        project: The project.
        specs: Its judges, in the order in which they are asked.
        folders: Where prompt files are looked up.
        limits: What all of them together may use.
        retry_failed: Ask again what failed before.
        on_standing: Called a few times a second.
        only: Ids of the pairs to ask about now; all pairs when None. A trained labeler labels all.
        despite_batches: Ask also what is out in a batch.

    Raises:
        BadInput: There are no pairs, or none of such an id, another run is going on, or a judge
            cannot be asked as it is set; checked for all of them before the first is asked.
    """
    if not len(project.store):
        raise BadInput(f"{project.dir}: no pairs to judge; run `workbench import FILE` first")
    asked = [question_for(project, spec, folders)[0] for spec in specs if spec.engine != "labeler"]
    questions = {question.spec.name: question for question in asked}
    for spec in specs:
        check_bounded(spec, limits.max_requests)
        project.store.check_judge_name(spec.name)
        if spec.engine == "endpoint":
            build_engine(spec, project.dir)  # a key that is missing is told before anything runs
        if spec.engine == "labeler":
            _check_fitted(project, spec)
    wanted = None if only is None else _rows(project, only)
    budget = Budget(limits)
    runs = []
    with project_lock(project.dir, "judge"), asyncio.Runner() as loop:
        for spec in specs:
            if spec.engine == "labeler":
                runs.append(_label(project, spec))
                continue
            run = loop.run(
                _ask(
                    project,
                    questions[spec.name],
                    budget,
                    retry_failed,
                    on_standing,
                    wanted,
                    despite_batches,
                )
            )
            runs.append(run)
            if run.ended == "interrupted":
                break
    return runs


def question_for(
    project: Project, spec: JudgeSpec, folders: Sequence[Path]
) -> tuple[Question, Template]:
    """What a judge asks, about which of the project's pairs, and its template.

    Raises:
        BadInput: It is a trained labeler, which asks nothing; or a prompt file is missing or wrong.
    """
    if spec.engine == "labeler":
        raise BadInput(
            f'judge "{spec.name}" is a trained labeler, which is asked nothing; `workbench judge '
            f"{spec.name}` labels all pairs"
        )
    question, template = question_of(spec, folders)
    if spec.route != "all":
        from workbench.audit.population import critical_pairs

        critical = critical_pairs(project)
        question = replace(question, wanted=critical if spec.route == "critical" else ~critical)
    return question, template


def _rows(project: Project, ids: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which pairs have these ids, shape (n_pairs,)."""
    rows = project.store.rows_of(ids)
    if (rows < 0).any():
        missing = ids[int(np.flatnonzero(rows < 0)[0])]
        raise BadInput(f'no pair of this project has the id "{missing}"; make the list again')
    wanted = np.zeros(len(project.store), dtype=bool)
    wanted[rows] = True
    return wanted


async def _ask(
    project: Project,
    question: Question,
    budget: Budget,
    retry_failed: bool,
    on_standing: Callable[[Standing], None] | None,
    only: npt.NDArray[np.bool_] | None,
    despite_batches: bool,
) -> JudgeRun:
    stop = StopSignal()
    with on_signals(stop):
        return await run_judge(
            project.dir,
            project.store,
            question,
            partial(build_engine, question.spec, project.dir),
            budget,
            retry_failed=retry_failed,
            only=only,
            despite_batches=despite_batches,
            stop=stop,
            on_standing=on_standing,
        )


def _check_fitted(project: Project, spec: JudgeSpec) -> None:
    from pipelines.judge.labeler.fit import load_labeler
    from workbench.pairs.labelers import labeler_folder

    load_labeler(labeler_folder(project.dir, spec.model))


def _label(project: Project, spec: JudgeSpec) -> JudgeRun:
    """A trained labeler over all pairs; nothing where it has labelled them as they are."""
    from workbench.pairs.labelers import apply_labeler, is_applied
    from workbench.pairs.progress import nobody

    started = time.perf_counter()
    n_pairs = n_new = len(project.store)
    if is_applied(project, spec.model, spec.name):
        n_new, n_labelled = 0, n_pairs
    else:
        n_labelled = apply_labeler(project, spec.model, nobody, stored_as=spec.name).n_pairs
    return JudgeRun(
        judge=spec.name,
        ended="done",
        n_wanted=n_pairs,
        n_judged=n_labelled,
        failed={},
        n_pending=0,
        n_out=0,
        n_new=n_new,
        n_outages=0,
        error=None,
        spent=Spend(),
        seconds=time.perf_counter() - started,
        torn_bytes=0,
        n_damaged=0,
    )


def estimates(
    project: Project,
    specs: Sequence[JudgeSpec],
    folders: Sequence[Path],
    retry_failed: bool,
    only: Sequence[str] | None = None,
    despite_batches: bool = False,
) -> list[Estimate]:
    """What a run would ask, cost and take; asks nobody.

    Args:
        project: The project.
        specs: Its judges; a trained labeler asks nothing, so it is left out.
        folders: Where prompt files are looked up.
        retry_failed: Whether failures are asked again.
        only: Ids of the pairs that would be asked about; all pairs when None.
        despite_batches: Whether what is out in a batch is asked too.

    Raises:
        BadInput: There are no pairs, or none of such an id, or a judge's prompt files are missing
            or wrong.
    """
    if not len(project.store):
        raise BadInput(f"{project.dir}: no pairs to judge; run `workbench import FILE` first")
    wanted = None if only is None else _rows(project, only)
    found = []
    for spec in specs:
        if spec.engine == "labeler":
            continue
        question, template = question_for(project, spec, folders)
        if wanted is not None:
            both = wanted if question.wanted is None else wanted & question.wanted
            question = replace(question, wanted=both)
        folder = JudgeFolder(project.dir, spec.name)
        found.append(
            estimate(
                project.store,
                question,
                index_of(folder, question, project.store, despite_batches),
                read_manifest(folder.manifest, spec.name),
                calls_per_judgment(spec, template),
                spec.concurrency if spec.engine == "endpoint" else spec.local.max_batch,
                retry_failed,
            )
        )
    return found


def fitness_warnings(project: Project, specs: Sequence[JudgeSpec]) -> list[str]:
    """What is to be said of judges that are the policy they label, or no larger than it."""
    features = project.store.features()
    sections = {spec.name: spec.model for spec in project.config.models}
    policies = {
        sections.get(name, name)
        for key in ("model_a", "model_b")
        for name in set(features[key].tolist())
        if name
    }
    sizes = project.config.judging.sizes
    return [
        f'judge "{spec.name}": {warning.sentence}'
        for spec in specs
        if spec.engine != "labeler"
        for warning in judge_warnings(spec.model, policies, sizes)
    ]


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
