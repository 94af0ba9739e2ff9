"""`workbench init`: a new project folder."""

from pathlib import Path
from typing import Annotated

import typer


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")],
    prompts: Annotated[
        str | None,
        typer.Option(metavar="SET", help="Also a copy of a set of `workbench prompts`."),
    ] = None,
) -> None:
    """Make a project folder: a commented project.toml, guidelines for reviewers, a constitution."""
    from workbench.project import Project
    from workbench.prompt_sets import copy_prompts, prompts_path

    if prompts is not None:
        prompts_path(prompts, folder)  # a name that is wrong is told before anything is made
    project = Project.create(folder)
    print(
        f"{project.dir}: project.toml, guidelines.md and constitution.toml written; all are yours "
        "to edit"
    )
    if prompts is not None:
        print(f"{copy_prompts(prompts, project.dir)}: a copy of the set {prompts}")
        print(f"next: a [[models]] section, then workbench generate --project {folder}")
    else:
        print(f"next: workbench import FILE --project {folder}")
