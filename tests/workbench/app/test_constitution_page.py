"""The page Constitution: what revision changed, and people judging the critic, by keyboard."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import review_lab
from playwright.sync_api import Browser, Page
from revise_world import BROKEN, KEPT, drive, plan, principle_of, response_of
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from pipelines.constitution.log import Mark, trajectory_line
from pipelines.constitution.runner import ReviseFolder
from pipelines.constitution.trajectory import Response
from pipelines.models.engine import Reply
from workbench.db.models import CritiqueVerdict
from workbench.db.session import reading
from workbench.project import Project
from workbench.revised import write_outputs

N = 12
NASTY = "<script>alert(1)</script> & <b>bold</b>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a run whose critic and reviser are functions; no model is asked."""
    project = Project.create(tmp_path_factory.mktemp("page") / "p")
    asked = plan("kind", "true")
    responses = [
        Response(id=f"r{n}", prompt=f"Prompt {n}", text=f"{NASTY} {n}" + " kind" * (n % 2))
        for n in range(N)
    ]

    def answer(role, request):
        word, text = principle_of(request), response_of(request)
        if role == "reviser":
            return Reply(text=f"{text} {word}")
        return Reply(text=KEPT if word in text.split() else BROKEN.format(principle=word))

    log = ReviseFolder(project.dir).log
    log.parent.mkdir(parents=True)
    log.write_bytes(
        b"".join(
            trajectory_line(Mark.of(asked.hash(), one, 0), drive(asked, one, answer))
            for one in responses
        )
    )
    write_outputs(project.dir, lambda: responses, asked, ["trl"])
    return project.dir


def page_of(folder: Path) -> AppTest:
    script = f"""
from pathlib import Path
from workbench.app.views import constitution
from workbench.db.models import CritiqueVerdict
from workbench.db.session import reading
from workbench.project import Project
constitution.render(Project.open(Path({str(folder)!r})))
"""
    test = AppTest.from_string(script, default_timeout=60)
    test.session_state["workbench_name"] = "reader"
    return test


def test_a_project_without_a_run_says_what_to_do(tmp_path):
    project = Project.create(tmp_path / "empty")
    test = page_of(project.dir).run()
    assert not test.exception
    assert "workbench revise" in test.info[0].value


def test_the_numbers_have_n_and_intervals(folder):
    test = page_of(folder).run()
    assert not test.exception
    table = test.dataframe[0].value
    kind = table.set_index("principle").loc["Kind"]
    # Wilson for 6 of 12; all six were mended.
    assert kind["first responses"] == "50.0% (25.4 to 74.6)"
    assert kind["last responses"].startswith("0.0% (0.0 to ")
    assert kind["change, points"].startswith("-50.0 (")
    assert kind["n"] == N
    statistics = json.loads(ReviseFolder(folder).statistics.read_text())
    assert statistics["constitution_hash"] == plan("kind", "true").constitution.hash()


def test_differences_are_shown_as_text_never_as_markup(folder):
    test = page_of(folder)
    test.session_state["constitution-part"] = "Trajectories"
    test.run()
    assert not test.exception
    shown = "".join(one.body for one in test.get("html"))
    assert "&lt;script&gt;" in shown
    assert "<script" not in shown
    assert "<ins" in shown


@pytest.fixture(scope="module")
def page(folder: Path, chromium: Browser) -> Iterator[Page]:
    with review_lab.serving(folder) as server:
        context = chromium.new_context(viewport={"width": 1280, "height": 1100})
        cookie = {"name": "workbench_name", "value": "ana", "url": server.url}
        context.add_cookies([cookie])
        page = context.new_page()
        page.goto(f"{server.url}constitution")
        page.get_by_text("Violations by principle and round").wait_for(timeout=60_000)
        yield page
        context.close()


def test_critiques_are_judged_by_keyboard_and_undone(page: Page, axe: str):
    page.locator(".js-plotly-plot").wait_for(timeout=60_000)
    assert _serious(page, axe) == []
    page.get_by_role("button", name="Trajectories").click()
    page.get_by_text("Response r0").wait_for(timeout=60_000)
    assert _serious(page, axe) == []
    page.get_by_role("button", name="Judge the critic").click()
    for key, n_judged in ((None, 0), ("1", 1), ("2", 2), ("u", 1), ("3", 2)):
        if key is not None:
            page.keyboard.press(key)
        page.get_by_text(f"{n_judged} of 18 judged by you").wait_for(timeout=60_000)
    assert _serious(page, axe) == []


def test_a_key_judges_the_critique_on_the_screen_and_no_other(page: Page, folder: Path):
    """Keys pressed while the page brings the next critique change no earlier verdict."""
    page.get_by_role("button", name="Judge the critic").click()
    page.locator(".cr-count").wait_for(timeout=60_000)
    n_judged = int(page.locator(".cr-count").inner_text().split()[0])
    before = len(_verdicts(folder))
    page.get_by_label("Why").fill("123 seen")  # digits in a text are no verdict
    page.keyboard.press("Enter")
    shown = page.locator(".cr-body").all_inner_texts()
    page.evaluate(  # in one task of the browser: no page brings another critique in between
        """keys => keys.forEach((key) =>
             document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })))""",
        list("1233"),
    )
    page.get_by_text(f"{n_judged + 1} of 18 judged by you").wait_for(timeout=60_000)
    said = _verdicts(folder)[before:]
    assert [(one.verdict, one.comment) for one in said] == [("right", "123 seen")]
    page.keyboard.press("u")
    page.get_by_text(f"{n_judged} of 18 judged by you").wait_for(timeout=60_000)
    assert page.locator(".cr-body").all_inner_texts() == shown  # it comes back
    assert "<script>alert(1)</script>" in shown[1]  # as text


def _verdicts(folder: Path) -> list[CritiqueVerdict]:
    project = Project.open(folder)
    with reading(project.engine) as session:
        found = list(session.scalars(select(CritiqueVerdict).order_by(CritiqueVerdict.created_at)))
        session.expunge_all()
    project.engine.dispose()
    return found


def _serious(page: Page, axe: str) -> list[str]:
    # What the page is about to replace is drawn pale meanwhile, and no reader's contrast.
    page.locator("[data-test-script-state=notRunning]").wait_for(timeout=60_000)
    return [
        one for one in review_lab.violations(page, axe) if one.startswith(("serious", "critical"))
    ]
