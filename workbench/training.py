"""From a project to what its trainers are given: settings and curated data."""

import difflib
import os
import tomllib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pipelines.errors import BadInput
from pipelines.judge.engines import question_of
from pipelines.train.settings import TrainSettings
from workbench.data_files import data_dir
from workbench.project import Project

if TYPE_CHECKING:
    from pipelines.train.online_setup import PreparedOnline
    from pipelines.train.reward_functions import Scorer
    from pipelines.train.run import Prepared

# The export that suits each method, best first.
_EXPORTS = {
    "kto": ("kto.jsonl", "trl.jsonl", "hf-folder", "curated.jsonl", "curated.parquet"),
    "sft": ("../runs/revise/sft.jsonl", "trl.jsonl", "hf-folder", "curated.jsonl"),
}
_PAIRS = ("trl.jsonl", "hf-folder", "curated.jsonl", "curated.parquet")

ONLINE = ("ppo", "a2c", "rloo", "grpo")
Train = Callable[..., dict[str, Any]]  # (run folder, progress) -> final figures


def resolved(project: Project, model: str | None, changes: Sequence[str]) -> TrainSettings:
    """`[train]` with what was said on the command line.

    Args:
        project: The project.
        model: Instead of `[train] model`.
        changes: "key=value" or "section.key=value"; values as in TOML, a bare word is a text.

    Raises:
        BadInput: A key is unknown or a value does not fit; the message names it.
    """
    said: dict[str, Any] = project.config.train.model_dump()
    if model is not None:
        said["model"] = model
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals:
            raise BadInput(f'--set {change}: write it as KEY=VALUE, such as "dpo.beta=0.3"')
        at: dict[str, Any] = said
        *sections, last = key.strip().split(".")
        for section in sections:
            inner = at.get(section)
            if not isinstance(inner, dict):
                raise BadInput(f"--set {change}: there is no section {section} in [train]")
            at = inner
        if last not in at:
            near = difflib.get_close_matches(last, at, n=1)
            meant = ".".join([*sections, *near])
            hint = f"; did you mean {meant}" if near else ""
            raise BadInput(f"--set {change}: there is no key {key}{hint}")
        at[last] = _value(text)
    try:
        return TrainSettings.model_validate(said)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        why = first["msg"].removeprefix("Value error, ")
        given = f", not {first['input']!r}" if isinstance(first["input"], str | int | float) else ""
        raise BadInput(f"[train] {where}: {why}{given}") from error


def curated_data(project: Project, settings: TrainSettings, method: str) -> Path:
    """Where the rows are: `[train] data`, else the project's export that suits the method.

    Raises:
        BadInput: There is none; the message names the command that writes one.
    """
    if method in ONLINE and (prompts := settings.online(method).prompts):
        return project.dir / prompts
    if settings.data:
        return project.dir / settings.data
    exports = project.dir / "exports"
    names = _EXPORTS.get(method, _PAIRS)
    for name in names:
        if (path := _export(exports / name)) is not None:
            return path.resolve()
    command = "kto" if method == "kto" else "trl"
    raise BadInput(
        f"{project.dir}: nothing is exported yet; run `workbench export {command}`, or give --data"
    )


def prepared_run(
    method: str,
    settings: TrainSettings,
    project: Project,
    source: Path,
    shares: Sequence[float] | None = None,
) -> "tuple[Prepared | PreparedOnline, Train]":
    """What goes in, checked, and the function that trains with it.

    Args:
        method: As `workbench train` calls it.
        settings: `[train]`, resolved.
        project: The project.
        source: Rows or prompts.
        shares: Of a reward model's learning curve.

    Raises:
        BadInput: Settings, data and models do not fit each other or this machine.
    """
    if method in ONLINE:
        from pipelines.train.online_setup import prepare_online

        online = prepare_online(method, settings, project.dir, source, partial(judge_of, project))
        if method in ("rloo", "grpo"):
            from pipelines.train.rl_trl import train_groups

            return online, partial(train_groups, online)
        from pipelines.train.online import train_online

        return online, partial(train_online, online)
    from pipelines.train.run import prepare, train

    prepared = prepare(method, settings, project.dir, source)
    if shares is not None:
        from pipelines.train.learning_curve import with_learning_curve

        return prepared, partial(with_learning_curve, prepared, shares)
    return prepared, partial(train, prepared)


def _export(path: Path) -> Path | None:
    """The export of this name, as one file or as one for each split; the newer where both are."""
    by_split = path.with_name(f"{path.stem}-train{path.suffix}")
    found = [one for one in (path, by_split) if one.exists()]
    return max(found, key=lambda one: one.stat().st_mtime, default=None)


def one_speaks() -> bool:
    """Whether this is the process that prints, of those that `accelerate launch` started."""
    return os.environ.get("RANK", "0") == "0"


def shares_of(text: str, method: str) -> list[float]:
    """The shares of a learning curve, such as "0.25,0.5,1".

    Raises:
        BadInput: The method has no learning curve, or one is no share above 0.
    """
    if method != "reward":
        raise BadInput(f"--learning-curve: is for reward models, and {method} trains none")
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise BadInput(f'--learning-curve {text}: write shares, such as "0.25,0.5"') from error
    if not all(0.0 < share <= 1.0 for share in shares):
        raise BadInput(f"--learning-curve {text}: a share is above 0 and at most 1")
    return shares


def judge_of(project: Project, name: str) -> "Scorer":
    """A judge of the project that rates responses while a policy is trained.

    What it may use in all is `[judging]`'s.

    Raises:
        BadInput: There is no such judge, it rates no single responses, or nothing bounds its cost.
    """
    from pipelines.judge.rater import Rater
    from pipelines.models.opening import build_engine, check_bounded
    from pipelines.stages.budget import Budget, Limits
    from pipelines.train.reward_functions import Scorer

    config = project.config
    spec = next((one for one in config.judges if one.name == name), None)
    if spec is None:
        known = ", ".join(one.name for one in config.judges) or "none"
        raise BadInput(f'no judge is called "{name}"; the judges of project.toml are {known}')
    question, template = question_of(spec, (project.dir, data_dir()))
    limits = Limits(config.judging.budget_usd, config.judging.max_requests)
    check_bounded(spec, limits.max_requests)
    rater = Rater(spec, template, Budget(limits), partial(build_engine, spec, project.dir))
    return Scorer(rater, f"{name} {question.hash}")


def sweep(settings: TrainSettings, method: str, weights: Sequence[float]) -> list[TrainSettings]:
    """The same settings with each weight of the constitution.

    Raises:
        BadInput: The method has no such weight, a weight is negative, or there is no constitution.
    """
    if method not in ONLINE:
        raise BadInput(f"--lambda: {method} has no reward to shape; it is for {', '.join(ONLINE)}")
    section = "ppo" if method == "a2c" else method
    if not settings.online(method).constitution:
        raise BadInput(f"--lambda: [train.{section}] names no constitution; set it")
    said = settings.model_dump()
    return [
        TrainSettings.model_validate(said | {section: said[section] | {"shaping": weight}})
        for weight in weights
    ]


def numbers(text: str) -> list[float]:
    """The different numbers of a list such as "0,0.5,1".

    Raises:
        BadInput: One is none, or below 0.
    """
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise BadInput(f'--lambda {text}: write numbers, such as "0,0.5,1"') from error
    if not all(0.0 <= one < float("inf") for one in found):
        raise BadInput(f"--lambda {text}: a weight is 0 or more")
    return list(dict.fromkeys(found))


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()
