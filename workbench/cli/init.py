"""`workbench init`: a new project folder."""

from pathlib import Path
from typing import Annotated

import typer


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")],
) -> None:
    """Make a project folder: a commented project.toml and guidelines for reviewers."""
    from workbench.project import Project

    project = Project.create(folder)
    print(f"{project.dir}: project.toml and guidelines.md written; both are yours to edit")
    print(f"next: workbench import FILE --project {folder}")
