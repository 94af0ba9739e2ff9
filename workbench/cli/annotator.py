"""`workbench annotator`: who may review from another machine, and who owns the project."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.options import AsJson, ProjectDir

if TYPE_CHECKING:
    from workbench.audit.people import Role

app = typer.Typer(
    no_args_is_help=True, help="Invite people by personal links, list them, take access back."
)

UrlOption = Annotated[str, typer.Option(help="The address under which people reach the server.")]
LOCAL_URL = "http://127.0.0.1:8501"


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="How this person's answers are labelled.")],
    url: UrlOption = LOCAL_URL,
    project: ProjectDir = Path("."),
) -> None:
    """Print a personal link that opens the review page; an older link of theirs stops working."""
    _print_link(project, name, "annotator", url)


@app.command("owner-link")
def owner_link(
    name: Annotated[str, typer.Argument(help="Whose link it is.")] = "owner",
    url: UrlOption = LOCAL_URL,
    project: ProjectDir = Path("."),
) -> None:
    """Print a personal link that opens every page."""
    _print_link(project, name, "owner", url)


@app.command("list")
def list_people(
    project: ProjectDir = Path("."),
    as_json: AsJson = False,
) -> None:
    """Everybody known here, with what they may open and how many answers stand."""
    from sqlalchemy import func, select

    from workbench.db.models import Annotator, Vote
    from workbench.db.session import reading
    from workbench.project import Project

    n_votes = select(func.count()).where(
        Vote.annotator_id == Annotator.id, Vote.undone_at.is_(None)
    )
    with reading(Project.open(project).engine) as session:
        rows = session.execute(
            select(Annotator, n_votes.scalar_subquery()).order_by(Annotator.id)
        ).all()
    people = [
        {
            "name": person.name,
            "access": "revoked"
            if person.revoked_at is not None
            else f"{person.role} link"
            if person.link_hash is not None
            else "by name, on this machine",
            "votes": count,
            "since": time.strftime("%Y-%m-%d", time.localtime(person.created_at)),
        }
        for person, count in rows
    ]
    if as_json:
        print(json.dumps(people, ensure_ascii=False))
        return
    if not people:
        print("Nobody yet: `workbench annotator add NAME` invites somebody.")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("Name", "Access", "Votes", "Since", box=None)
    for person in people:
        table.add_row(*(str(value) for value in person.values()))
    Console().print(table)


@app.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(help="Whose access ends.")],
    project: ProjectDir = Path("."),
) -> None:
    """End somebody's access at once; what they answered stays."""
    from workbench.audit import people
    from workbench.db.session import writing
    from workbench.project import Project

    with writing(Project.open(project).engine) as session:
        person = people.revoke(session, name)
        print(f"{person.name} has no access any more; their answers stay.")


def _print_link(folder: Path, name: str, role: "Role", url: str) -> None:
    from workbench.audit.people import make_link
    from workbench.db.session import writing
    from workbench.project import Project

    with writing(Project.open(folder).engine) as session:
        token = make_link(session, name, role)
    print(f"{url.rstrip('/')}/?invite={token}")
