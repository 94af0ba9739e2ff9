"""`workbench backup` and `workbench restore`: everything that people did, in one file."""

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.options import ProjectDir


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not exist.")],
    project: ProjectDir = Path("."),
) -> None:
    """Copy the project's database (votes, people, rounds) to FILE; the server may run meanwhile."""
    from workbench.db.backup import back_up
    from workbench.project import Project

    found = Project.open(project)
    _ = found.engine  # a database of an older version is brought up to date first
    back_up(found.database_url(), file)
    print(f"{file}: {file.stat().st_size:,} bytes")


def restore(
    file: Annotated[Path, typer.Argument(help="What `workbench backup` wrote.")],
    project: ProjectDir = Path("."),
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Put FILE back in place of the project's database; answers given since then are set aside."""
    from workbench.db.backup import restore as put_back
    from workbench.project import Project

    found = Project.open(project)
    if not yes:
        typer.confirm(f"Replace what people did in {found.name} by {file}?", abort=True, err=True)
    before = put_back(found.database_url(), file)
    _ = found.engine  # a copy of an older version is brought up to date
    print(f"{found.name}: restored from {file}")
    if before is not None:
        print(f"What was there before: {before}")
