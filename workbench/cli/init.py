"""`workbench init`: a new project folder."""

from pathlib import Path
from typing import Annotated

import typer


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")],
) -> None:
    """Make a project folder: a commented project.toml, guidelines for reviewers, a constitution."""
    from workbench.project import Project

    project = Project.create(folder)
    print(
        f"{project.dir}: project.toml, guidelines.md and constitution.toml written; all are yours "
        "to edit"
    )
    print(f"next: workbench import FILE --project {folder}")
