"""Stages that turn labels into models: pairs, export, train."""

from pathlib import Path

from pipelines.errors import BadInput
from pipelines.run import Step
from pipelines.train.run_folder import RunFolder, run_named
from pipelines.train.settings import TrainSettings
from workbench.project import Project
from workbench.running.task import Did, Task, counted


def pairs(task: Task) -> Did:
    """`workbench pairs`."""
    from workbench.pairs.chain import make_pairs
    from workbench.pairs.output import write_pairs

    options = task.project.config.pairs
    with task.bars.counting("pairs") as on_pair:
        made = make_pairs(task.project, options, on_pair=on_pair)
    write_pairs(task.project, made, options)
    counts, learned = made.counts, made.learned
    kept = ", ".join(f"{n:,} {name}" for name, n in counts.kept_by_source.items())
    lines = [f"{counts.n_kept:,} of {counts.n_pairs:,} pairs kept: {kept}"]
    for what in (learned.correction, learned.recalibration):
        if what is not None:
            lines.append(what.why)
    lines.append("splits: " + ", ".join(f"{n:,} {name}" for name, n in made.splits.items()))
    return Did(tuple(lines))


def export(task: Task) -> Did:
    """`workbench export` of what `workbench pairs` made."""
    from workbench.export.options import ExportOptions, policy_of
    from workbench.export.run import run_export

    name = task.step.format or "trl"
    fmt, policy = policy_of(name, task.project.config.curate)
    options = ExportOptions(
        fmt=fmt, policy=policy, out=_named(task), made=fmt.shape != "pairs", force=True
    )
    with task.bars.counting(f"export {name}") as on_pair:
        done = run_export(task.project, options, on_pair)
    rows = ", ".join(f"{n:,} {split}" for split, n in done.rows.items())
    first = Path(done.files[0])
    return Did((f"rows: {rows}, in {first.parent.name}/{first.name} and beside it",))


def _named(task: Task) -> Path | None:
    """Where a step that has a name exports to."""
    step = task.step
    return task.project.dir / "exports" / f"{step.name}.jsonl" if step.name else None


def export_path(task: Task) -> Path:
    """A file that an export step leaves."""
    path = _named(task)
    if path is None:
        return task.project.dir / "exports"
    return path.with_name(f"{path.name}.audit.json")


def train(task: Task) -> Did:
    """`workbench train METHOD`."""
    from pipelines.train.needs import require_trainers

    require_trainers()
    from workbench.training import prepared_run

    step, project = task.step, task.project
    settings = train_settings(task)
    source = train_data(task)
    folder = run_folder(project, step)
    prepared, train_model = prepared_run(str(step.method), settings, project, source)
    asked = prepared.asked
    with task.bars.counting(f"train {step.called}") as on_step:
        result = train_model(folder, on_step)
    rows = ", ".join(f"{n:,} {split}" for split, n in asked["n_rows"].items())
    lines = [f"{step.method} of {asked['model']} on {asked['data']}: {rows} rows"]
    if asked["left_out"]:
        lines.append("left out: " + counted(asked["left_out"]))
    shown = [name for name in _SHOWN if isinstance(result.get(name), float)]
    lines.append(", ".join(f"{name} {result[name]:.4g}" for name in shown))
    lines += [f"warning: {warning}" for warning in result.get("warnings", ())]
    _free_memory()
    return Did(tuple(line for line in lines if line))


_SHOWN = (
    "loss", "held_out_loss", "held_out_accuracy", "reward", "constitution", "kl", "length",
    "violation_rate", "multiplier", "held_out_reward", "held_out_win_rate", "seen_reward",
    "seen_win_rate",
)  # fmt: skip


def run_folder(project: Project, step: Step) -> RunFolder:
    """Where a step's training run goes."""
    return run_named(project.dir, step.called)


def train_data(task: Task) -> Path:
    """The rows of a training step.

    Raises:
        BadInput: There are none.
    """
    from workbench.training import curated_data

    if task.step.data is not None:
        path = task.project.dir / task.step.data
        if not path.exists():  # an export of several splits is a file for each
            path = path.with_name(f"{path.stem}-train{path.suffix}")
        if not path.exists():
            raise BadInput(
                f"{task.project.dir / task.step.data}: the recipe trains on it, and it is not "
                "there; put it there, or name other data in the recipe"
            )
        return path
    return curated_data(task.project, task.project.config.train, str(task.step.method))


def train_settings(task: Task) -> TrainSettings:
    """`[train]`, with the model that the step starts from."""
    settings = task.project.config.train
    return settings.model_copy(update={"model": task.step.model}) if task.step.model else settings


def _free_memory() -> None:
    """What a trainer held is free for the next stage's model."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
