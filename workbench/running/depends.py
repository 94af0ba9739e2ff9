"""What a stage depends on, what it leaves, and what gives way when its inputs have changed.

The pairs, the labels, `runs/pairs` and `runs/revise` are shared: a later round adds to them or
writes them anew. So a step has two hashes. `depends_on` is about the project as it is now; by it a
step notices whatever changed, by whichever command. `settled` leaves out what is shared and takes
in its place what the steps before it depended on; by it a step of an earlier round is known to be
done, though the shared part has moved on since.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.config import RunConfig
from pipelines.run import StageName
from pipelines.train.run_folder import content_hash
from workbench.project import Project
from workbench.prompt_sets import prompts_path
from workbench.running.learning import export_path, run_folder, train_data, train_settings
from workbench.running.making import FIRST_ROUND, revised_path
from workbench.running.task import Task

# Whose work a stage goes on with, through what is shared.
AFTER: Mapping[StageName, tuple[StageName, ...]] = {
    "revise": ("generate",),
    "judge": ("generate",),
    "audit": ("generate", "judge"),
    "pairs": ("generate", "judge", "audit"),
    "export": ("pairs",),
}
SHARED = ("candidates", "store", "votes", "made_pairs")


def depends_on(task: Task) -> dict[str, Any]:
    """All that a change of would change a stage's outcome, as JSON values: settings and inputs.

    Raises:
        BadInput: An input is missing or damaged.
    """
    config, step, folder = task.project.config, task.step, task.project.dir
    found: dict[str, Any] = {
        "step": step.model_dump(mode="json", exclude={"why", "set", "stop_below"}),
        "quick": task.quick,
    }
    match step.stage:
        case "generate":
            found["section"] = _without_limits(config.generate.model_dump(mode="json"))
            found["prompts"] = _stamp(prompts_path(config.generate.prompts, folder))
            named = config.generate.models
            models = [one for one in config.models if not named or one.name in named]
            found["models"] = [[one.asked(), weights(folder, one.model)] for one in models]
        case "revise":
            found |= _revise_depends_on(task)
        case "judge":
            wanted = [one for one in config.judges if not step.judges or one.name in step.judges]
            found["judges"] = [
                [one.asked(), list(one.orders), one.route, weights(folder, one.model)]
                for one in wanted
            ]
            found["store"] = _parts(task.project)
        case "audit":
            found["section"] = config.audit.model_dump(mode="json")
            found["votes"] = _votes(task.project, step.name or FIRST_ROUND)
        case "pairs":
            found["section"] = config.pairs.model_dump(mode="json")
            found["curate"] = config.curate.model_dump(mode="json")
        case "export":
            found["curate"] = config.curate.model_dump(mode="json")
            found["made_pairs"] = _stamp(folder / "runs" / "pairs")
        case "train":
            found |= _train_depends_on(task)
        case "evaluate":
            found |= _evaluate_depends_on(task)
    return found


def settled(task: Task, now: Mapping[str, Any], before: Mapping[StageName, str]) -> str:
    """A hash of what a step depends on, without what is shared.

    Args:
        task: The step.
        now: Its `depends_on`.
        before: By stage, the hash of all its steps so far.
    """
    own = {key: value for key, value in now.items() if key not in SHARED}
    return hash_of([own, [before.get(stage) for stage in AFTER.get(task.step.stage, ())]])


def hash_of(value: Any) -> str:
    """32 hex digits of the canonical JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _revise_depends_on(task: Task) -> dict[str, Any]:
    config, folder = task.project.config, task.project.dir
    source = config.revise.source
    roles = (config.revise.critic, config.revise.reviser)
    asked = [one for one in config.models if one.name in roles] or config.models
    found: dict[str, Any] = {
        "section": _without_limits(config.revise.model_dump(mode="json")),
        "models": [one.asked() for one in asked],
        "constitution": _stamp(folder / config.revise.constitution),
    }
    kind, _, model = source.partition(":")
    if kind == "candidates":
        found["candidates"] = _stamp(folder / "runs" / "generate" / model)
    elif kind == "pairs":
        found["store"] = _parts(task.project)
    else:
        found["source"] = _stamp(folder / source)
    return found


def _evaluate_depends_on(task: Task) -> dict[str, Any]:
    config, folder = task.project.config, task.project.dir
    names = task.step.policies or config.evaluate.policies
    wanted = config.evaluate.judges
    return {
        "section": _without_limits(config.evaluate.model_dump(mode="json")),
        "prompts": _stamp(prompts_path(config.evaluate.prompts, folder)),
        "models": [
            [one.asked(), weights(folder, one.model)] for one in config.models if one.name in names
        ],
        "judges": [one.asked() for one in config.judges if not wanted or one.name in wanted],
        "runs": {name: weights(folder, f"runs/train/{name}/model") for name in names},
        "votes": _votes(Project(folder / "evaluations" / task.step.called, RunConfig()), None),
    }


def _train_depends_on(task: Task) -> dict[str, Any]:
    folder, settings = task.project.dir, train_settings(task)
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
        "model": weights(folder, settings.model),
    }
    if own.get("reward_model"):
        found["reward_model"] = weights(folder, own["reward_model"])
    return found


def set_aside(task: Task, known: Mapping[str, str | None]) -> list[str]:
    """Move what was made of other inputs out of the way, and say so; nothing is deleted.

    Args:
        task: The step.
        known: generate: its `model_weights` of then.
    """
    folder = task.project.dir
    if task.step.stage == "generate":  # the same name now stands for another model
        here = model_weights(task)
        changed = [name for name, hash in known.items() if hash and here.get(name, hash) != hash]
        moves = [
            (folder / "runs" / "generate" / name, folder / "runs" / "generate-before" / name)
            for name in changed
        ]
    elif task.step.stage == "train":
        path = run_folder(task.project, task.step).path
        moves = [(path, path)]
    elif task.step.stage == "evaluate":
        path = folder / "evaluations" / task.step.called
        moves = [(path, path)]
    else:
        return []
    lines = []
    for path, beside in moves:
        if path.exists():
            aside = _free(beside)
            aside.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, aside)
            shown = aside.relative_to(folder)
            lines.append(f"what goes in has changed: what was there before is kept as {shown}")
    return lines


def model_weights(task: Task) -> dict[str, str | None]:
    """By name, the models that a step "generate" asks, and the hash of those that are folders."""
    config = task.project.config
    return {
        one.name: weights(task.project.dir, one.model)
        for one in config.models
        if not config.generate.models or one.name in config.generate.models
    }


def _free(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    return aside


def is_fresh(task: Task) -> bool | None:
    """Whether a stage that knows by itself has nothing to do; None where it does not know.

    Raises:
        BadInput: What it left is damaged.
    """
    if task.step.stage == "pairs":
        from workbench.export.from_pairs import stale_pairs
        from workbench.pairs.made import read_made

        return read_made(task.project) is not None and stale_pairs(task.project) is None
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
            return export_path(task)
        case "revise":
            return revised_path(task)
        case _:
            return None


def _parts(project: Project) -> list[Any]:
    """The pairs in the store, without the verdicts that are added to them."""
    manifest = project.store.manifest()
    return [part.model_dump(mode="json") for part in manifest.parts]


def _votes(project: Project, round_name: str | None) -> Any:
    """What people have said so far: by round, how many votes count, and whether it is open."""
    from sqlalchemy import func, select

    from workbench.db.models import Round, Vote
    from workbench.db.session import reading

    place = project.database_url()
    if isinstance(place, Path) and not place.exists():
        return None  # nobody has looked yet, and looking would make one
    with reading(project.engine) as session:
        counted = func.count().filter(Vote.counts)
        rows = session.execute(
            select(Round.name, Round.closed_at, counted)
            .join(Vote, Vote.round_id == Round.id, isouter=True)
            .group_by(Round.id)
            .order_by(Round.id)
        )
        return {
            name: [n_votes, closed_at]
            for name, closed_at, n_votes in rows
            if round_name in (None, name)
        }


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


def weights(folder: Path, model: str) -> str | None:
    """The hash of a model that is a folder; None for a name."""
    path = folder / model
    return content_hash(path) if model and path.is_dir() else None


def _without_limits(section: dict[str, Any]) -> dict[str, Any]:
    """More money or requests change no answer."""
    limits = ("budget_usd", "max_requests")
    return {key: value for key, value in section.items() if key not in limits}
