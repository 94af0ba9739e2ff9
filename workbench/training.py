"""From a project to what its trainers are given: settings and curated data."""

import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines.errors import BadInput
from pipelines.train.settings import TrainSettings
from workbench.project import Project

# The export that suits each method, best first.
_EXPORTS = {
    "kto": ("kto.jsonl", "trl.jsonl", "hf-folder"),
    "sft": ("../runs/revise/sft.jsonl", "trl.jsonl", "hf-folder"),
}
_PAIRS = ("trl.jsonl", "hf-folder")


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
            hint = f"; did you mean {near[0]}" if near else ""
            raise BadInput(f"--set {change}: there is no key {key}{hint}")
        at[last] = _value(text)
    try:
        return TrainSettings.model_validate(said)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        why = first["msg"].removeprefix("Value error, ")
        raise BadInput(f"[train] {where}: {why}") from error


def curated_data(project: Project, settings: TrainSettings, method: str) -> Path:
    """Where the rows are: `[train] data`, else the project's export that suits the method.

    Raises:
        BadInput: There is none; the message names the command that writes one.
    """
    if method in ("ppo", "a2c") and settings.ppo.prompts:
        return project.dir / settings.ppo.prompts
    if settings.data:
        return project.dir / settings.data
    exports = project.dir / "exports"
    names = _EXPORTS.get(method, _PAIRS)
    for name in names:
        if (path := exports / name).exists():
            return path.resolve()
    command = "kto" if method == "kto" else "trl"
    raise BadInput(
        f"{project.dir}: nothing is exported yet; run `workbench export {command}`, or give --data"
    )


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()
