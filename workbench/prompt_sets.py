"""The prompt sets that ship: `data/prompt-sets/LANGUAGE/NAME.jsonl`, named NAME or NAME:zh."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import BadInput
from workbench.data_files import data_dir

LANGUAGES = ("en", "zh")


@dataclass(frozen=True)
class PromptSet:
    """A set that ships."""

    name: str  # as --prompts takes it
    language: str
    path: Path
    n_prompts: int
    subsets: tuple[str, ...]


def prompt_sets() -> list[PromptSet]:
    """All of them, by language and name."""
    found = []
    for language in LANGUAGES:
        for path in sorted((data_dir() / "prompt-sets" / language).glob("*.jsonl")):
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            name = path.stem if language == "en" else f"{path.stem}:{language}"
            subsets = tuple(dict.fromkeys(row["subset"] for row in rows))
            found.append(PromptSet(name, language, path, len(rows), subsets))
    return found


def prompts_path(name: str, project_dir: Path) -> Path:
    """A file, folder or data set as it is meant: of the project, or a set that ships.

    Args:
        name: `hf:...`, a path (relative to the working folder or to the project), or a set's name.
        project_dir: The project's folder.

    Raises:
        BadInput: There is none.
    """
    if name.startswith("hf:"):
        return Path(name)
    for path in (Path(name), project_dir / name):
        if path.exists():
            return path
    sets = {one.name: one.path for one in prompt_sets()}
    if name in sets:
        return sets[name]
    raise BadInput(
        f"{name}: there is no such file, and no prompt set has this name; `workbench prompts` "
        f"lists the sets, and {project_dir / name} is where the project would have the file"
    )


def copy_prompts(name: str, project_dir: Path) -> Path:
    """A set as the `prompts.jsonl` of a project, to be edited.

    Raises:
        BadInput: There is no such set, or the project has prompts already.
    """
    source = prompts_path(name, project_dir)
    target = project_dir / "prompts.jsonl"
    if target.exists():
        raise BadInput(f"{target}: is already there and is never overwritten; move it away")
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise BadInput(
            f"{target}: cannot be written ({error.strerror}); choose another folder"
        ) from error
    return target
