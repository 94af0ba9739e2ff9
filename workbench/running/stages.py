"""Each stage of `workbench run` on a project: what it depends on, and how it is done.

The functions are those that the commands call, so that what a command did is not done again.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from pipelines.errors import BadInput, ServiceFailed
from pipelines.generate.prompts import read_prompts
from pipelines.judge.budget import Limits
from pipelines.judge.runner import Standing
from pipelines.run import StageName, Step
from pipelines.train.run_folder import RunFolder, content_hash
from workbench.data_files import data_dir
from workbench.project import Project
from workbench.prompt_sets import prompts_path

OnStanding = Callable[[Standing], None]
OnCount = Callable[[int, int], None]

QUICK_PROMPTS = 16  # with --quick, of each file


@dataclass(frozen=True)
class Bars:
    """Who draws progress: one bar that knows rate and cost, and one that counts."""

    standing: Callable[[], AbstractContextManager[OnStanding]]
    counting: Callable[[str], AbstractContextManager[OnCount]]


@dataclass(frozen=True)
class Task:
    """One stage to be done.

    Attributes:
        project: With the settings of recipe and step.
        step: What the recipe says.
        quick: Few prompts only.
        bars: Progress.
    """

    project: Project
    step: Step
    quick: bool
    bars: Bars

    @property
    def most(self) -> int | None:
        """Prompts or responses of a quick run."""
        return QUICK_PROMPTS if self.quick else None


@dataclass(frozen=True)
class Did:
    """What a stage did.

    Attributes:
        lines: What it says.
        waiting: What is to be done before it can go on; None when it is done.
        interrupted: It was told to stop.
        gain: evaluate: the last policy's win rate over the first; None where there is none.
    """

    lines: tuple[str, ...]
    waiting: str | None = None
    interrupted: bool = False
    gain: float | None = None


class _Run(Protocol):
    """What runs of generate, judge and revise have in common."""

    @property
    def ended(self) -> str: ...
    @property
    def error(self) -> str | None: ...
    @property
    def n_outages(self) -> int: ...
    @property
    def n_pending(self) -> int: ...


def generate(task: Task) -> Did:
    """`workbench generate`."""
    from workbench.generating import chosen_models, generate_all, samplings

    own = task.project.config.generate
    read = read_prompts(prompts_path(own.prompts, task.project.dir))
    read = replace(read, prompts=read.prompts[: task.most])
    wanted = samplings(task.project, chosen_models(task.project, ()), None)
    limits = Limits(own.budget_usd, own.max_requests)
    with task.bars.standing() as on_standing:
        done = generate_all(task.project, read, wanted, limits, on_standing=on_standing)
    lines = [
        f"{run.model}: {run.n_candidates:,} responses to {run.n_prompts:,} prompts, {run.n_new:,} "
        f"new{_failed(run.failed)}, {run.spent.usd:,.4f} USD"
        for run in done.runs
    ]
    if done.pairs is not None:
        lines.append(
            f"{done.pairs.n_new:,} new pairs, {done.pairs.n_pairs:,} in all; "
            f"{done.pairs.n_identical:,} pairs of equal responses left out"
        )
    return _ended(done.runs, lines)


def revise(task: Task) -> Did:
    """`workbench revise`."""
    from workbench.revising import revise_all, set_up

    own = task.project.config.revise
    setup = set_up(task.project, own, task.most)
    limits = Limits(own.budget_usd, own.max_requests)
    with task.bars.standing() as on_standing:
        run, found, written = revise_all(task.project, setup, limits, on_standing=on_standing)
    lines = [
        f"{run.n_done:,} of {run.n_wanted:,} responses, {run.n_new:,} new, "
        f"{run.spent.usd:,.4f} USD",
        f"{written.n_sft:,} demonstrations, {written.n_pairs:,} pairs of revised over first",
    ]
    if found.any_before is not None and found.any_after is not None:
        lines.append(
            "a principle is violated, as the critic sees it, by "
            f"{_words(found.any_before)} before and {_words(found.any_after)} after"
        )
    return _ended([run], lines)


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
        f"{run.judge}: {run.n_judged:,} verdicts, {run.n_new:,} new{_failed(run.failed)}, "
        f"{run.spent.usd:,.4f} USD"
        for run in runs
    ]
    return _ended(runs, lines)


def audit(task: Task) -> Did:
    """A round: drawn when there is none of its name, then waited for."""
    from sqlalchemy import select

    from workbench.audit.draw import draw_round
    from workbench.audit.options import Overrides, draw_options
    from workbench.audit.progress import progress
    from workbench.audit.reading import read_round
    from workbench.db.models import Round
    from workbench.db.session import reading

    project, name = task.project, task.step.name or "round-1"
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
    options = ExportOptions(fmt=fmt, policy=policy, made=fmt.shape != "pairs", force=True)
    with task.bars.counting(f"export {name}") as on_pair:
        done = run_export(task.project, options, on_pair)
    rows = ", ".join(f"{n:,} {split}" for split, n in done.rows.items())
    return Did((f"rows: {rows}", *(f"wrote {path}" for path in done.files)))


def train(task: Task) -> Did:
    """`workbench train METHOD`."""
    from pipelines.train.needs import require_trainers

    require_trainers()
    from workbench.running.training import prepared_run

    step, project = task.step, task.project
    settings = _train_settings(task)
    source = train_data(task)
    folder = run_folder(project, step)
    asked, train_model = prepared_run(str(step.method), settings, project, source)
    with task.bars.counting(f"train {step.called}") as on_step:
        result = train_model(folder, on_step)
    rows = ", ".join(f"{n:,} {split}" for split, n in asked["n_rows"].items())
    lines = [f"{step.method} of {asked['model']} on {asked['data']}: {rows} rows"]
    if asked["left_out"]:
        lines.append("left out: " + _counted(asked["left_out"]))
    shown = [name for name in _SHOWN if isinstance(result.get(name), float)]
    lines.append(", ".join(f"{name} {result[name]:.4g}" for name in shown))
    lines += [f"warning: {warning}" for warning in result.get("warnings", ())]
    _free_memory()
    return Did(tuple(line for line in lines if line))


_SHOWN = (
    "loss", "eval_loss", "eval_accuracy", "eval_rewards/accuracies", "reward", "constitution", "kl",
    "length", "violation_rate", "multiplier", "held_out_win_rate",
)  # fmt: skip


def run_folder(project: Project, step: Step) -> RunFolder:
    """Where a step's training run goes."""
    return RunFolder(project.dir / "runs" / "train" / step.called)


def train_data(task: Task) -> Path:
    """The rows of a training step.

    Raises:
        BadInput: There are none.
    """
    from workbench.training import curated_data

    if task.step.data is not None:
        path = task.project.dir / task.step.data
        if not path.exists():
            raise BadInput(
                f"{path}: the recipe trains on it, and it is not there; put it there, or name "
                "other data in the recipe"
            )
        return path
    return curated_data(task.project, task.project.config.train, str(task.step.method))


def _train_settings(task: Task) -> Any:
    settings = task.project.config.train
    return settings.model_copy(update={"model": task.step.model}) if task.step.model else settings


def _free_memory() -> None:
    """What a trainer held is free for the next stage's model."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def evaluate(task: Task) -> Did:
    """`workbench evaluate`."""
    from workbench.evaluating.run import evaluate as run_evaluation
    from workbench.evaluating.run import plan

    planned = plan(task.project, task.step.called, task.step.policies)
    if task.quick:
        suites = tuple(
            replace(one, prompts=one.prompts and _first(one.prompts)) for one in planned.suites
        )
        planned = replace(planned, prompts=_first(planned.prompts), suites=suites)
    with task.bars.standing() as on_standing:
        done = run_evaluation(planned, on_standing)
    lines, gain = [], None
    if done.found is not None:
        first, last = planned.policies[0].spec.name, planned.policies[-1].spec.name
        for match in done.found.matchups:
            found = match.corrected
            value = match.win.tie_aware if found is None else found.corrected
            lines.append(f"{match.judge}: {match.first} against {match.second} {_words(value)}")
            if gain is None and {match.first, match.second} == {first, last}:
                gain = value.estimate if match.first == last else 1.0 - value.estimate
    did = _ended([*done.generate_runs, *done.judged], lines)
    return replace(did, gain=gain)


def _first(read: Any) -> Any:
    return replace(read, prompts=read.prompts[:QUICK_PROMPTS])


DO: Mapping[StageName, Callable[[Task], Did]] = {
    "generate": generate,
    "revise": revise,
    "judge": judge,
    "audit": audit,
    "pairs": pairs,
    "export": export,
    "train": train,
    "evaluate": evaluate,
}


def depends_on(task: Task) -> dict[str, Any]:
    """All that a change of would change a stage's outcome, as JSON values: settings and inputs."""
    config, step, folder = task.project.config, task.step, task.project.dir
    found: dict[str, Any] = {
        "step": step.model_dump(mode="json", exclude={"why", "set", "stop_below"}),
        "quick": task.quick,
    }
    if step.stage in ("generate", "evaluate"):
        section = config.generate if step.stage == "generate" else config.evaluate
        named = config.generate.models if step.stage == "generate" else ()
        models = [one for one in config.models if not named or one.name in named]
        found["section"] = _without_limits(section.model_dump(mode="json"))
        found["prompts"] = _stamp(prompts_path(section.prompts, folder))
        found["models"] = [[one.asked(), _weights(folder, one.model)] for one in models]
    if step.stage == "evaluate":
        found["judges"] = [one.asked() for one in config.judges]
        names = step.policies or config.evaluate.policies
        found["runs"] = {name: _weights(folder, f"runs/train/{name}/model") for name in names}
    if step.stage == "revise":
        found["section"] = _without_limits(config.revise.model_dump(mode="json"))
        found["models"] = [one.asked() for one in config.models]
        found["candidates"] = _stamp(folder / "runs" / "generate")
        found["constitution"] = _stamp(folder / config.revise.constitution)
        if config.revise.source not in ("candidates", "pairs"):
            found["source"] = _stamp(folder / config.revise.source)
        elif config.revise.source == "pairs":
            found["source"] = _parts(task.project)
    if step.stage == "judge":
        wanted = [one for one in config.judges if not step.judges or one.name in step.judges]
        found["judges"] = [[one.asked(), list(one.orders), one.route] for one in wanted]
        found["pairs"] = _parts(task.project)
    if step.stage == "export":
        found["pairs"] = _stamp(folder / "runs" / "pairs")
        found["curate"] = config.curate.model_dump(mode="json")
    if step.stage == "train":
        found |= _train_depends_on(task)
    return found


def _train_depends_on(task: Task) -> dict[str, Any]:
    folder, settings = task.project.dir, _train_settings(task)
    method = str(task.step.method)
    section = settings.a2c() if method == "a2c" else getattr(settings, method)
    said = settings.model_dump(mode="json")
    shared = {key: value for key, value in said.items() if not isinstance(value, dict)}
    for shown_only in ("data", "tensorboard", "log_every", "save_every"):
        shared.pop(shown_only, None)
    own = section.model_dump(mode="json")
    data = train_data(task)
    found = {
        "settings": shared,
        "lora": said["lora"],
        "section": own,
        "data": content_hash(data) if data.exists() else None,
        "model": _weights(folder, settings.model),
    }
    if own.get("reward_model"):
        found["reward_model"] = _weights(folder, own["reward_model"])
    return found


def set_aside(task: Task) -> str | None:
    """Move what was made of other inputs out of the way, and say so; nothing is deleted."""
    if task.step.stage == "train":
        path = run_folder(task.project, task.step).path
    elif task.step.stage == "evaluate":
        path = task.project.dir / "evaluations" / task.step.called
    else:
        return None
    if not path.exists():
        return None
    number = 1
    while (aside := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    shutil.move(path, aside)
    return f"what goes in has changed: the run before is kept as {aside.name}"


def is_fresh(task: Task) -> bool | None:
    """Whether a stage that knows by itself has nothing to do; None where it does not know.

    Raises:
        BadInput: What it left is damaged.
    """
    if task.step.stage == "pairs":
        from workbench.export.from_pairs import stale_pairs
        from workbench.pairs.made import read_made

        return read_made(task.project) is not None and stale_pairs(task.project) is None
    if task.step.stage == "audit":
        return False  # people may have labelled since
    return None


def made_by(task: Task) -> Path | None:
    """A file that is there when the stage is done; None where none says so."""
    folder = task.project.dir
    match task.step.stage:
        case "train":
            return run_folder(task.project, task.step).path / "result.json"
        case "evaluate":
            return folder / "evaluations" / task.step.called / "result.json"
        case "export":
            return folder / "exports"
        case "revise":
            return folder / "runs" / "revise"
        case _:
            return None


def _parts(project: Project) -> list[Any]:
    """The pairs in the store, without the verdicts that are added to them."""
    manifest = project.store.manifest()
    return [part.model_dump(mode="json") for part in manifest.parts]


def _stamp(path: Path) -> Any:
    """A small file by its content; a folder, of logs that only grow, by names, sizes and times."""
    if path.is_file():
        return content_hash(path)
    if not path.is_dir():
        return None
    return [
        [one.relative_to(path).as_posix(), one.stat().st_size, one.stat().st_mtime_ns]
        for one in sorted(path.rglob("*"))
        if one.is_file() and one.suffix != ".partial"
    ]


def _weights(folder: Path, model: str) -> str | None:
    """The hash of a model that is a folder; None for a name."""
    path = folder / model
    return content_hash(path) if model and path.is_dir() else None


def _without_limits(section: dict[str, Any]) -> dict[str, Any]:
    """More money or requests change no answer."""
    limits = ("budget_usd", "max_requests")
    return {key: value for key, value in section.items() if key not in limits}


def _ended(runs: Sequence[_Run], lines: Sequence[str]) -> Did:
    """Whether runs came to their end.

    Raises:
        ServiceFailed: A service did.
        BadInput: A limit was reached.
    """
    for run in runs:
        if run.ended == "service" or run.n_outages:
            raise ServiceFailed(
                f"the service failed after retries ({run.error}); everything answered is kept: the "
                "same command goes on"
            )
        if run.ended == "interrupted":
            return Did(tuple(lines), interrupted=True)
        if run.ended != "done":
            raise BadInput(
                f"stopped at {run.ended} with {run.n_pending:,} pending; raise it in project.toml "
                "and run the same command: what is done is not asked again"
            )
    return Did(tuple(lines))


def _words(value: Any) -> str:
    return f"{value.estimate:.1%} ({value.low:.1%} to {value.high:.1%}, n = {value.n:,})"


def _failed(reasons: Mapping[str, int]) -> str:
    return f", failed: {_counted(reasons)}" if reasons else ""


def _counted(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {why}" for why, n in reasons.items())
