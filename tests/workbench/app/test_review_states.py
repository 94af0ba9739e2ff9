"""What the page says when there is no pair, before the first one, and when access ends."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import review_lab as lab
from playwright.sync_api import Browser, BrowserContext, Page

from workbench.audit.rounds import close_round
from workbench.project import Project

pytestmark = pytest.mark.browser


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(viewport=lab.DESKTOP)
    yield context
    context.close()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("states") / "project"
    people = ["practising", "hurried", "renewed", "revoked", "finishing"]
    return lab.make_project(folder, lab.plain_pairs(120), people)


@pytest.fixture(scope="module")
def server(project: Path) -> Iterator[lab.Server]:
    with lab.serving(project) as server:
        yield server


def change(project: Path, statement: str) -> None:
    with closing(sqlite3.connect(project / "workbench.db", timeout=10)) as database:
        database.execute(statement)
        database.commit()


def heading(page: Page) -> str:
    return page.locator(".rv-empty-state h2").inner_text()


def test_practice_pairs_come_first_with_feedback_and_are_not_stored(
    project: Path, server: lab.Server, context: BrowserContext
) -> None:
    practice = project / "practice.jsonl"
    rows = [
        {
            "prompt": "What is two and two?",
            "response_a": "Four.",
            "response_b": "Five.",
            "human": [{"annotator": "guide", "label": "A", "comment": "Five is wrong."}],
        },
        {
            "prompt": "Say hello.",
            "response_a": "Hello.",
            "response_b": "Hello!",
            "human": [{"annotator": "guide", "label": "tie"}],
        },
    ]
    practice.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    try:
        page = lab.open_page(lab.enter(context, server, "practising"), server.url)
        assert "Practice 1 of 2: does not count" in page.locator(".rv-bar").inner_text()
        page.keyboard.press("3")
        verdict = page.locator(".rv-verdict").inner_text()
        assert "The guidelines say: Left." in verdict
        assert "Five is wrong." in verdict
        page.keyboard.press("Enter")
        lab.wait_shown(page)
        page.keyboard.press("4")
        assert "how the guidelines see it" in page.locator(".rv-verdict").inner_text()
        page.keyboard.press("Enter")
        lab.wait_shown(page)
        assert "Question" in page.locator("[data-body=prompt]").inner_text()
        page.keyboard.press("1")
        lab.wait_saved(page)
        assert len(lab.stored_votes(project, "practising")) == 1
        page.reload()
        lab.wait_shown(page)
        assert "Question" in page.locator("[data-body=prompt]").inner_text()
    finally:
        practice.unlink()


def test_the_practice_can_be_skipped_and_a_broken_file_of_it_keeps_nobody_out(
    project: Path, server: lab.Server, context: BrowserContext
) -> None:
    practice = project / "practice.jsonl"
    row = {"prompt": "Practice?", "response_a": "Yes.", "response_b": "No."}
    labelled = row | {"human": [{"annotator": "guide", "label": "A"}]}
    practice.write_text(f"{json.dumps(row)}\n{json.dumps(labelled)}\n", encoding="utf-8")
    try:
        page = lab.open_page(lab.enter(context, server, "hurried"), server.url)
        # The row without a label is no practice.
        assert "Practice 1 of 1" in page.locator(".rv-bar").inner_text()
        page.get_by_role("button", name="Skip the practice").click()
        lab.wait_shown(page)
        assert "Question" in page.locator("[data-body=prompt]").inner_text()
        assert page.get_by_role("button", name="Skip the practice").is_hidden()
        practice.write_text("not a pairs file\n", encoding="utf-8")
        page.reload()
        lab.wait_shown(page)
        assert "Question" in page.locator("[data-body=prompt]").inner_text()
    finally:
        practice.unlink()


def test_who_is_not_the_one_on_the_bar_can_say_so(
    server: lab.Server, context: BrowserContext
) -> None:
    page = lab.open_page(lab.enter(context, server, "hurried"), server.url)
    page.keyboard.press("?")
    assert "You are hurried. Not you?" in page.locator("dialog").inner_text()
    page.keyboard.press("Escape")
    page.locator(".rv-leave").click()
    page.get_by_label("Your name").wait_for()
    page.wait_for_function("document.activeElement.tagName === 'INPUT'")
    page.keyboard.type("somebody else")
    page.keyboard.press("Enter")
    lab.wait_shown(page)
    assert "somebody else" in page.locator(".rv-bar").inner_text()


def test_a_page_whose_token_ran_out_gets_another_one_and_loses_nothing(
    project: Path, server: lab.Server, context: BrowserContext
) -> None:
    page = lab.open_page(lab.enter(context, server, "renewed"), server.url)
    change(project, "UPDATE review_token SET expires_at = 0")
    lab.press(page, 3, 8)
    lab.wait_saved(page)
    assert page.locator(".rv-banner").is_hidden()
    assert lab.tally(project, "renewed", lab.watched(page)).perfect


def test_somebody_whose_access_was_taken_back_is_told(
    project: Path, server: lab.Server, context: BrowserContext
) -> None:
    page = lab.open_page(lab.enter(context, server, "revoked"), server.url)
    change(project, "UPDATE annotator SET revoked_at = 1 WHERE name = 'revoked'")
    page.keyboard.press("1")
    page.get_by_text("taken back").first.wait_for()
    assert lab.stored_votes(project, "revoked") == []


def test_a_finished_and_a_closed_round_say_so(tmp_path: Path, context: BrowserContext) -> None:
    folder = lab.make_project(tmp_path / "project", lab.plain_pairs(6), ["ana"])
    with lab.serving(folder) as server:
        page = lab.open_page(lab.enter(context, server, "ana"), server.url)
        lab.press(page, 3, 8)
        lab.wait_saved(page)
        close_round(Project.open(folder))
        page.wait_for_function(
            "window.reviewRoot().dataset.state === 'closed' || window.reviewRoot().dataset.item"
        )
        lab.press(page, 3, 8)
        page.wait_for_function("window.reviewRoot().dataset.state === 'closed'")
        assert heading(page) == "This round is closed"
        page.reload()
        page.get_by_text("This round is closed").wait_for()
        assert "Traceback" not in page.content()


def test_the_last_pair_of_a_round_ends_in_thanks(tmp_path: Path, context: BrowserContext) -> None:
    folder = lab.make_project(tmp_path / "project", lab.plain_pairs(4), ["ana"])
    with lab.serving(folder) as server:
        page = lab.open_page(lab.enter(context, server, "ana"), server.url)
        for _ in range(4):
            lab.wait_shown(page)
            page.keyboard.press("1")
        page.wait_for_function("window.reviewRoot().dataset.state === 'complete'")
        assert heading(page) == "Everything is labelled"
        assert "4 labels came from you" in page.locator(".rv-empty-state p").inner_text()
        # The last answer can still be taken back.
        page.keyboard.press("u")
        lab.wait_shown(page)
        lab.wait_saved(page)
        assert len(lab.stored_votes(folder, "ana")) == 3


def test_a_project_without_a_round_says_what_to_do(tmp_path: Path, context: BrowserContext) -> None:
    folder = tmp_path / "project"
    Project.create(folder)
    with lab.serving(folder) as server:
        page = lab.enter(context, server, "ana").new_page()
        page.goto(server.url)
        page.get_by_text("Nothing to review yet").wait_for()
        page.get_by_text("workbench audit draw").wait_for()
