"""Stages that make pairs and their labels: generate, revise, judge, audit."""

import shutil
from dataclasses import replace
from pathlib import Path

from pipelines.errors import BadInput
from pipelines.generate.prompts import read_prompts
from pipelines.stages.budget import Limits
from workbench.data_files import data_dir
from workbench.prompt_sets import prompts_path
from workbench.running.task import Did, Task, ended, failed, words

FIRST_ROUND = "round-1"  # what a round is called that a step does not name


def generate(task: Task) -> Did:
    """`workbench generate`."""
    from workbench.generating import chosen_models, generate_all, samplings

    own = task.project.config.generate
    read = read_prompts(prompts_path(own.prompts, task.project.dir))
    read = replace(read, prompts=read.prompts[: task.most])
    wanted = samplings(task.project, chosen_models(task.project, ()), None)
    limits = Limits(own.budget_usd, own.max_requests)
    with task.bars.standing() as on_standing:
        done = generate_all(
            task.project, read, wanted, limits, only_these=True, on_standing=on_standing
        )
    lines = [
        f"{run.model}: {run.n_candidates:,} responses to {run.n_prompts:,} prompts, {run.n_new:,} "
        f"new{failed(run.failed)}, {run.spent.usd:,.4f} USD"
        for run in done.runs
    ]
    if done.pairs is not None and done.pairs.n_pairs:
        lines.append(
            f"{done.pairs.n_new:,} new pairs of {done.pairs.n_pairs:,} wanted; "
            f"{done.pairs.n_identical:,} pairs of equal responses left out"
        )
    return ended(done.runs, Did(tuple(lines)))


def revise(task: Task) -> Did:
    """`workbench revise`."""
    from workbench.revised import audit_file
    from workbench.revising import revise_all, set_up

    own = task.project.config.revise
    setup = set_up(task.project, own, task.most)
    limits = Limits(own.budget_usd, own.max_requests)
    with task.bars.standing() as on_standing:
        run, outputs = revise_all(task.project, setup, limits, on_standing=on_standing)
    lines = [
        f"{run.n_done:,} of {run.n_wanted:,} responses, {run.n_new:,} new, {run.spent.usd:,.4f} USD"
    ]
    if outputs is None:  # it was stopped before one was done
        return ended([run], Did(tuple(lines)))
    found, written = outputs.statistics, outputs.written
    lines.append(
        f"{written.n_sft:,} demonstrations, {written.n_pairs:,} pairs of revised over first"
    )
    if found.any_before is not None and found.any_after is not None:
        lines.append(
            "a principle is violated, as the critic sees it, by "
            f"{words(found.any_before)} before and {words(found.any_after)} after"
        )
    did = ended([run], Did(tuple(lines)))
    if task.step.name and not did.interrupted:
        revised_path(task).parent.mkdir(exist_ok=True)
        for path in written.files:  # the next revision writes its own in their place
            if path.name in REVISED:
                copy = _copy(task, REVISED[path.name])
                shutil.copyfile(path, copy)
                shutil.copyfile(audit_file(path), audit_file(copy))
    return did


# Of `runs/revise`, what the files of a step that has a name are called in `exports`.
REVISED = {"sft.jsonl": "sft", "trl.jsonl": "pairs", "kto.jsonl": "kto"}


def _copy(task: Task, kind: str) -> Path:
    return task.project.dir / "exports" / f"{task.step.name}-{kind}.jsonl"


def revised_path(task: Task) -> Path:
    """A file that a revise step leaves."""
    if task.step.name is None:
        return task.project.dir / "runs" / "revise" / "sft.jsonl"
    return _copy(task, "sft")


def judge(task: Task) -> Did:
    """`workbench judge`."""
    from workbench.judging import judge_all

    known = {spec.name: spec for spec in task.project.config.judges}
    for name in task.step.judges:
        if name not in known:
            raise BadInput(
                f'no judge "{name}" in project.toml; there are: {", ".join(known) or "none"}; '
                "write a [[judges]] section"
            )
    specs = [known[name] for name in task.step.judges or known]
    own = task.project.config.judging
    limits = Limits(own.budget_usd, own.max_requests)
    folders = (task.project.dir, data_dir())
    with task.bars.standing() as on_standing:
        runs = judge_all(task.project, specs, folders, limits, on_standing=on_standing)
    lines = [
        f"{run.judge}: {run.n_judged:,} verdicts, {run.n_new:,} new{failed(run.failed)}, "
        f"{run.spent.usd:,.4f} USD"
        for run in runs
    ]
    return ended(runs, Did(tuple(lines)))


def audit(task: Task) -> Did:
    """A round: drawn when there is none of its name, then waited for."""
    from sqlalchemy import select

    from workbench.audit.draw import draw_round
    from workbench.audit.options import Overrides, draw_options
    from workbench.audit.progress import progress
    from workbench.audit.reading import read_round
    from workbench.db.models import Round
    from workbench.db.session import reading

    project, name = task.project, task.step.name or FIRST_ROUND
    lines = []
    with reading(project.engine) as session:
        found = session.scalar(select(Round).where(Round.name == name))
    if found is None:
        drawn = draw_round(project, draw_options(project, Overrides(name=name)))
        asked = sum(drawn.n_new.values())
        lines.append(f"{name}: {asked:,} pairs drawn, label {drawn.design.label}")
    read = read_round(project, name)
    with reading(project.engine) as session:
        stand = progress(session, read.round.id)
    lines.append(f"{name}: {stand.answered:,} of {stand.asked:,} labels")
    decisions = {part.design.name: part.decision for part in read.strata}
    for stratum, decision in decisions.items():
        lines.append(f"{name}, {stratum} pairs: {decision}")
    open_, undecided = read.round.closed_at is None, "UNDECIDED" in decisions.values()
    if open_ and undecided and stand.answered < stand.asked:
        return Did(
            tuple(lines),
            waiting=f"people label {name}: `workbench serve`; then the same command goes on. To go "
            f"on without the rest, `workbench audit close {name}`",
        )
    return Did(tuple(lines))
