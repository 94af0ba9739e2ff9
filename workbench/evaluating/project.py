"""An evaluation as a project of its own: `evaluations/NAME` with a run file, pairs and database.

So that everything that works on a project works on it: judging, the audit's draw, the review page.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.config import CONFIG_NAME, GenerateSection, ProjectSection, RunConfig
from pipelines.disk import write_whole
from pipelines.errors import BadInput
from pipelines.evaluate.audited import AUDITED
from pipelines.evaluate.result import EVALUATIONS
from pipelines.generate.prompts import PromptFile
from pipelines.judge.spec import JudgeSpec
from pipelines.models.spec import LocalOptions, ModelSpec, hash_of
from pipelines.train.run_folder import MODEL, RESULT, RUN, RunFolder, write_json
from workbench.project import Project

ASKED = "evaluation.json"
_FILES_OF_JUDGES = ("template", "examples", "constitution")


@dataclass(frozen=True)
class Policy:
    """Somebody who is compared.

    Attributes:
        spec: How they are asked; paths are relative to the evaluation's folder.
        model: As reports call the model.
        run: The training run that made it; None for a model of [[models]].
        state: Names the weights of a training run, so that a run that was trained anew is noticed.
    """

    spec: ModelSpec
    model: str
    run: Path | None = None
    state: str = ""


def evaluation_dir(project: Project, name: str) -> Path:
    """The folder of an evaluation.

    Raises:
        BadInput: The name is none that a folder may have.
    """
    if not name or name != Path(name).name or name.startswith("."):
        raise BadInput(f'"{name}" cannot be the name of an evaluation; use letters and digits')
    return project.dir / EVALUATIONS / name


def policy_of(project: Project, name: str, folder: Path) -> Policy:
    """A policy by the name of a [[models]] section, of a training run, or of a model's folder.

    Args:
        project: The project.
        name: Which.
        folder: The evaluation's.

    Raises:
        BadInput: There is none.
    """
    known = {spec.name: spec for spec in project.config.models}
    if name in known:
        return Policy(_seen_from(known[name], project.dir, folder), known[name].model)
    run = _run_folder(project, name)
    if run is None:
        runs = sorted(path.parent.name for path in (project.dir / "runs/train").glob(f"*/{MODEL}"))
        raise BadInput(
            f'"{name}" is no policy of this project; there are the models '
            f"{', '.join(known) or 'none'} and the training runs {', '.join(runs) or 'none'}"
        )
    own = project.config.evaluate
    model, adapter = _weights(run.model, run, folder)
    spec = ModelSpec(
        name=run.path.name,
        engine="local",
        model=model,
        local=LocalOptions(adapter=adapter),
        temperature=own.temperature,
        max_tokens=own.max_tokens,
    )
    shown = run.model.relative_to(project.dir) if run.model.is_relative_to(project.dir) else model
    return Policy(spec, str(shown), run.path, _state(run))


def make_project(
    parent: Project,
    folder: Path,
    policies: Sequence[Policy],
    judges: Sequence[JudgeSpec],
    prompts: PromptFile,
) -> Project:
    """The evaluation's project; one that is there goes on.

    Args:
        parent: The project that it belongs to.
        folder: Where.
        policies: Who is compared.
        judges: Who judges; see `judge_seen_from`.
        prompts: What is answered.

    Raises:
        BadInput: The folder holds an evaluation of something else, or cannot be written.
    """
    config = config_of(parent, folder, policies, judges)
    asked = {
        "policies": {one.spec.name: [hash_of(one.spec.asked()), one.state] for one in policies},
        "prompts": hash_of([[one.id, one.text_hash()] for one in prompts.prompts]),
        "seed": parent.config.evaluate.seed,
    }
    before = _read(folder / ASKED)
    changed = [] if before is None else [key for key in asked if before.get(key) != asked[key]]
    if changed:
        raise BadInput(
            f"{folder}: is an evaluation of other {', '.join(changed)}; give this one a --name of "
            "its own, or delete that folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "prompts.jsonl").open("w", encoding="utf-8") as file:
            for prompt in prompts.prompts:
                row = prompt.model_dump(mode="json", exclude_none=True)
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        guidelines = parent.dir / parent.config.review.guidelines
        if guidelines.is_file() and not (folder / "guidelines.md").exists():
            shutil.copyfile(guidelines, folder / "guidelines.md")
        text = to_toml(config.model_dump(mode="json", exclude_defaults=True, exclude_none=True))
        write_whole(folder / CONFIG_NAME, _HEAD + text)
        write_json(folder / ASKED, asked)
    except OSError as error:
        raise BadInput(f"{folder}: cannot be written ({error.strerror}); make room") from error
    return Project.open(folder)


_HEAD = "# Written by `workbench evaluate`: it writes this file anew at every run.\n\n"


def config_of(
    parent: Project, folder: Path, policies: Sequence[Policy], judges: Sequence[JudgeSpec]
) -> RunConfig:
    """The run file of an evaluation: its parent's where people are concerned, else its own."""
    own, audit = parent.config.evaluate, parent.config.audit
    # Every pair may be drawn, whatever it is about, or the part would not stand for the whole.
    audit = audit.model_copy(
        update={
            "label": AUDITED if any(one.mode != "check" for one in judges) else "",
            "mode": "uniform",
            "seed": own.seed,
            "slices": (),
            "edge_cases": 0,
            "n_pairs": own.audit_pairs or audit.n_pairs,
            "safety": RunConfig().audit.safety,
        }
    )
    review = parent.config.review.model_copy(
        update={"guidelines": "guidelines.md", "criteria_from": ""}
    )
    return RunConfig(
        project=ProjectSection(name=f"{parent.name}: {folder.name}"),
        audit=audit,
        review=review,
        costs=parent.config.costs,
        judging=parent.config.judging,
        judges=tuple(judge_seen_from(one, parent.dir, folder) for one in judges),
        generate=GenerateSection(
            models=tuple(one.spec.name for one in policies), n_candidates=1, seed=own.seed
        ),
        models=tuple(one.spec for one in policies),
    )


def judge_seen_from(spec: JudgeSpec, parent: Path, folder: Path) -> JudgeSpec:
    """A judge of the parent as one of the evaluation's: both orders, all pairs, no abstention."""
    changes: dict[str, object] = {"abstain_below": 0.0, "route": "all"}
    if spec.mode not in ("rating", "check"):
        changes["orders"] = ("ab", "ba")
    for key in _FILES_OF_JUDGES:
        name = getattr(spec, key)
        for path in (parent / name, parent / f"{name}.toml"):
            if name and path.is_file() and not Path(name).is_absolute():
                changes[key] = os.path.relpath(parent / name, folder)
    changed = spec.model_copy(update=changes)
    return changed.model_copy(update=_local_paths(changed.model, changed.local, parent, folder))


def _seen_from(spec: ModelSpec, parent: Path, folder: Path) -> ModelSpec:
    if spec.engine != "local":
        return spec
    return spec.model_copy(update=_local_paths(spec.model, spec.local, parent, folder))


def _local_paths(model: str, local: LocalOptions, parent: Path, folder: Path) -> dict[str, object]:
    """Folders of the parent, as they are called from the evaluation's folder."""
    changes: dict[str, object] = {}
    if (parent / model).is_dir() and not Path(model).is_absolute():
        changes["model"] = os.path.relpath(parent / model, folder)
    if (
        local.adapter
        and (parent / local.adapter).is_dir()
        and not Path(local.adapter).is_absolute()
    ):
        adapter = os.path.relpath(parent / local.adapter, folder)
        changes["local"] = local.model_copy(update={"adapter": adapter})
    return changes


def _run_folder(project: Project, name: str) -> RunFolder | None:
    """A training run by its name, its folder or its model's folder; None unless it is trained."""
    for path in (project.dir / "runs" / "train" / name, Path(name), project.dir / name):
        path = path.parent if path.name == MODEL else path
        if (path / MODEL).is_dir():
            return RunFolder(path.resolve())
    return None


def _weights(model: Path, run: RunFolder, folder: Path) -> tuple[str, str]:
    """What is loaded, and the adapter that goes on it ("" for none)."""
    here = os.path.relpath(model, folder)
    if not (model / "adapter_config.json").is_file():
        return here, ""
    start = str((run.asked() or {}).get("model", ""))
    if not start:
        raise BadInput(f"{run.path / RUN}: does not say what model the adapter belongs to")
    base = run.path.parents[2] / start
    return (os.path.relpath(base, folder) if base.is_dir() else start), here


def _state(run: RunFolder) -> str:
    """Names what was trained, without reading gigabytes of weights."""
    told = [
        (path.read_text(encoding="utf-8") if path.is_file() else "")
        for path in (run.path / RUN, run.path / RESULT)
    ]
    sizes = [[path.name, path.stat().st_size] for path in sorted(run.model.glob("*.safetensors"))]
    return hash_of([told, sizes])


def to_toml(values: Mapping[str, Any]) -> str:
    """A run file's values as TOML: tables, arrays of tables, and everything else on one line."""
    lines: list[str] = []
    _table(values, "", lines)
    return "\n".join(lines).strip() + "\n"


def _table(values: Mapping[str, Any], name: str, lines: list[str]) -> None:
    plain = {key: value for key, value in values.items() if not _is_table(value)}
    if name and (plain or not values):
        lines += ["", f"[{name}]"]
    lines += [f"{_key(key)} = {_value(value)}" for key, value in plain.items()]
    for key, value in values.items():
        path = f"{name}.{_key(key)}" if name else _key(key)
        if isinstance(value, Mapping) and _is_table(value):
            _table(value, path, lines)
        elif _is_table(value):
            for one in value:
                lines += ["", f"[[{path}]]"]
                lines += [f"{_key(inner)} = {_value(said)}" for inner, said in one.items()]


def _is_table(value: object) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(one, Mapping) for one in value)
    return isinstance(value, Mapping)


def _key(name: str) -> str:
    return (
        name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else _text(name)
    )


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(one) for one in value)}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
    return repr(value)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
