"""`workbench annotator`: links that are shown once, and stored only as a hash."""

import json
import re
from pathlib import Path

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from pipelines.errors import BadInput
from workbench.audit.people import by_link, n_invited
from workbench.cli.main import app
from workbench.db.models import Annotator
from workbench.db.session import reading
from workbench.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "project")


def run(project: Project, *arguments: str) -> str:
    command = ["annotator", *arguments, "--project", str(project.dir)]
    return CliRunner().invoke(app, command, catch_exceptions=False).stdout


def token(link: str) -> str:
    found = re.fullmatch(r"https?://[^/]+/\?invite=([\w-]{32})\n", link)
    assert found, link
    return found.group(1)


def holder(project: Project, link: str) -> Annotator | None:
    with reading(project.engine) as session:
        return by_link(session, token(link))


def test_add_prints_a_link_and_stores_only_its_hash(project: Project) -> None:
    link = run(project, "add", "ana", "--url", "https://audit.example/")
    assert link.startswith("https://audit.example/?invite=")
    person = holder(project, link)
    assert person is not None
    assert (person.name, person.role) == ("ana", "annotator")
    assert token(link).encode() not in (project.dir / "workbench.db").read_bytes()


def test_a_second_link_replaces_the_first(project: Project) -> None:
    first, second = run(project, "add", "ana"), run(project, "add", "Ana")
    assert holder(project, first) is None
    assert holder(project, second) is not None
    with reading(project.engine) as session:
        assert len(session.scalars(select(Annotator)).all()) == 1


def test_an_owner_has_a_link_of_their_own(project: Project) -> None:
    person = holder(project, run(project, "owner-link"))
    assert person is not None
    assert (person.name, person.role) == ("owner", "owner")


def test_revoke_ends_the_link_and_add_gives_access_again(project: Project) -> None:
    link = run(project, "add", "ana")
    assert "no access" in run(project, "revoke", "ana")
    assert holder(project, link) is None
    with reading(project.engine) as session:
        assert n_invited(session) == 0
    assert holder(project, run(project, "add", "ana")) is not None


def test_revoking_a_stranger_names_those_who_are_known(project: Project) -> None:
    run(project, "add", "ana")
    with pytest.raises(BadInput, match="there are ana"):
        run(project, "revoke", "ann")


def test_list_says_who_may_enter_how(project: Project) -> None:
    assert "Nobody yet" in run(project, "list")
    run(project, "add", "ana")
    run(project, "owner-link", "eva")
    run(project, "add", "ben")
    run(project, "revoke", "ben")
    people = json.loads(run(project, "list", "--json"))
    assert [(person["name"], person["access"]) for person in people] == [
        ("ana", "annotator link"),
        ("eva", "owner link"),
        ("ben", "revoked"),
    ]
    assert "annotator link" in run(project, "list")
