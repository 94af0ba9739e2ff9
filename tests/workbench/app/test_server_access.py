"""The way in: a name asked once on this machine, and pages by role."""

from pathlib import Path

import pytest
import review_lab as lab
from streamlit.testing.v1 import AppTest

from workbench.app.access import PROJECT_VARIABLE, TEAM_VARIABLE
from workbench.audit.people import enter, revoke
from workbench.db.models import Annotator
from workbench.db.session import reading, writing
from workbench.project import Project

APP = Path(__file__).parents[3] / "workbench" / "app" / "app.py"


def start(monkeypatch: pytest.MonkeyPatch, folder: Path, team: str = "0") -> AppTest:
    monkeypatch.setenv(PROJECT_VARIABLE, str(folder))
    monkeypatch.setenv(TEAM_VARIABLE, team)
    return AppTest.from_file(str(APP), default_timeout=30).run()


def give_name(page: AppTest, name: str) -> AppTest:
    page.text_input[0].input(name)
    return page.button[0].click().run()


def text(page: AppTest) -> str:
    parts = [*page.title, *page.header, *page.markdown, *page.error]
    return "\n".join(str(part.value) for part in parts)


def names(folder: Path) -> list[str]:
    with reading(Project.open(folder).engine) as session:
        return [person.name for person in session.query(Annotator).order_by(Annotator.id)]


def test_the_name_is_asked_once_and_then_the_review_page_opens(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = lab.make_project(tmp_path / "project", lab.plain_pairs(5), people=[])
    page = start(monkeypatch, folder)
    assert "Who are you?" in text(page)
    page = give_name(page, "  Ana   Müller ")
    assert not page.exception
    assert not page.error
    assert not page.text_input
    assert names(folder) == ["Ana Müller"]
    page.run()
    assert not page.text_input
    assert names(folder) == ["Ana Müller"]


def test_upper_and_lower_case_are_the_same_person(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = lab.make_project(tmp_path / "project", lab.plain_pairs(5), people=["Ana"])
    give_name(start(monkeypatch, folder), "ana")
    assert names(folder) == ["Ana"]


@pytest.mark.parametrize(("name", "sentence"), [("   ", "Type a name"), ("a\u202eb", "printable")])
def test_a_name_that_cannot_be_used_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, sentence: str
) -> None:
    Project.create(tmp_path / "project")
    page = give_name(start(monkeypatch, tmp_path / "project"), name)
    assert sentence in text(page)
    assert page.text_input


def test_somebody_whose_access_was_taken_back_is_told_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project = Project.create(tmp_path / "project")
    with writing(project.engine) as session:
        enter(session, "ana")
        revoke(session, "ana")
    page = give_name(start(monkeypatch, project.dir), "ana")
    assert "taken back" in text(page)


def test_without_a_round_the_page_says_which_command_draws_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Project.create(tmp_path / "project")
    page = give_name(start(monkeypatch, tmp_path / "project"), "ana")
    assert not page.exception
    assert "`workbench audit draw`" in text(page)


def test_from_other_machines_nobody_enters_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Project.create(tmp_path / "project")
    page = start(monkeypatch, tmp_path / "project", team="1")
    assert "Open your personal link" in text(page)
    assert not page.text_input
