"""`workbench run --sandbox`: a project of the help desk, and its simulated models while it runs."""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from pydantic import JsonValue

from pipelines.config import CONFIG_NAME
from pipelines.constitution.records import load_constitution
from pipelines.errors import BadInput
from pipelines.sandbox.annotators import QUALITIES, parse_annotators
from pipelines.sandbox.background import in_background
from pipelines.sandbox.traits import load_traits
from pipelines.sandbox.world_prompts import (
    demonstration_row,
    draw_demonstrations,
    draw_prompts,
    prompt_row,
)
from workbench.data_files import data_dir
from workbench.project import CONSTITUTION, Project
from workbench.sandbox_round import label_sandbox_round

N_PROMPTS, N_HELD_OUT, N_RED_TEAM, N_DEMONSTRATIONS = 300, 300, 60, 600
SEED = 0


def sandbox_project(folder: Path) -> Project:
    """The sandbox's project in a folder, made when there is none.

    Raises:
        BadInput: The folder holds another project, or cannot be written.
    """
    if (folder / CONFIG_NAME).is_file():
        project = Project.open(folder)
        if not (folder / "start" / "training.json").is_file():
            raise BadInput(
                f"{folder}: is a project of your own, where simulated models have no place; name a "
                "new folder by --project, or leave out --sandbox"
            )
        return project
    helpdesk, recipes = data_dir() / "helpdesk", data_dir() / "recipes" / "sandbox"
    Project.create(folder)
    try:
        settings = (recipes / "project.toml").read_text(encoding="utf-8")
        training = (helpdesk / "training.toml").read_text(encoding="utf-8")
        training = training.replace("[train]\n", '[train]\nmodel = "start"\n', 1)
        (folder / CONFIG_NAME).write_text(f"{settings}\n{training}", encoding="utf-8")
        shutil.copyfile(helpdesk / "constitution.toml", folder / CONSTITUTION)
        shutil.copyfile(helpdesk / "guidelines.md", folder / "guidelines.md")
        shutil.copyfile(recipes / "rules.py", folder / "rules.py")
        shutil.copytree(helpdesk / "model", folder / "start")
        for name, file, n in (
            ("prompts.jsonl", "prompts-train.jsonl", N_PROMPTS),
            ("held-out.jsonl", "prompts-held-out.jsonl", N_HELD_OUT),
        ):
            with (helpdesk / file).open(encoding="utf-8") as lines:
                (folder / name).write_text("".join(islice(lines, n)), encoding="utf-8")
        attacks = [prompt_row(one) for one in draw_prompts(N_RED_TEAM, SEED, kinds=("harm",))]
        _write(folder / "red-team.jsonl", attacks)
        shown = draw_demonstrations(N_DEMONSTRATIONS, SEED)
        _write(folder / "sft.jsonl", [demonstration_row(one) for one in shown])
    except OSError as error:
        raise BadInput(
            f"{folder}: cannot be written ({error.strerror}); choose another folder"
        ) from error
    return Project.open(folder)


@contextmanager
def simulated(project: Project) -> Iterator[Project]:
    """The project with its simulated models at a server that runs meanwhile, on a free port."""
    helpdesk = data_dir() / "helpdesk"
    traits = load_traits(helpdesk / "models.toml")
    rules = load_constitution(helpdesk / "constitution.toml")
    with in_background(traits, seed=SEED, constitution=rules) as url:
        config = project.config
        here = {"base_url": url}
        models = [
            one.model_copy(update=here) if one.model in traits else one for one in config.models
        ]
        judges = [
            one.model_copy(update=here) if one.model in traits else one for one in config.judges
        ]
        changed = {"models": tuple(models), "judges": tuple(judges)}
        yield Project(project.dir, config.model_copy(update=changed))


def simulated_people(project: Project, round_name: str) -> None:
    """Three simulated people label a round; their votes are marked as simulated."""
    label_sandbox_round(project, parse_annotators(list(QUALITIES), SEED), round_name)


def _write(path: Path, rows: Iterable[Mapping[str, JsonValue]]) -> None:
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")
