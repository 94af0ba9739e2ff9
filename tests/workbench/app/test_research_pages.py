"""The researcher's pages in a real Chromium: accessible, complete, clicked through."""

import io
import json
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import review_lab as lab
from playwright.sync_api import Browser, Page

from workbench.app.listing import REVIEW, listed
from workbench.demo import make_demo
from workbench.demo_sample import build_sample
from workbench.project import Project

pytestmark = pytest.mark.browser

PAGES = [view.module for view in listed("owner") if view is not REVIEW]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lab.Server]:
    folder = tmp_path_factory.mktemp("pages") / "demo"
    make_demo(folder, build_sample, "sample")
    with lab.serving(folder) as server:
        yield server


@pytest.fixture(scope="module")
def empty_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lab.Server]:
    folder = tmp_path_factory.mktemp("pages") / "empty"
    Project.create(folder)
    with lab.serving(folder) as server:
        yield server


def visit(page: Page, server: lab.Server, name: str) -> None:
    page.goto(server.url + name)
    page.wait_for_selector("h1")
    settle(page)


def settle(page: Page) -> None:
    """Wait until the script has run."""
    page.wait_for_timeout(150)
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")


def person(chromium: Browser, server: lab.Server, **options: object) -> Page:
    context = chromium.new_context(**({"viewport": lab.DESKTOP} | options))
    return lab.enter(context, server, "reader").new_page()


def serious(page: Page, axe: str) -> list[str]:
    found = lab.violations(page, axe)
    return [one for one in found if one.startswith(("serious", "critical"))]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_page(
    server: lab.Server, chromium: Browser, axe: str, scheme: str
) -> None:
    page = person(chromium, server, color_scheme=scheme)
    found = {}
    for name in PAGES:
        visit(page, server, name)
        found[name] = serious(page, axe)
    page.context.close()
    assert {name: bad for name, bad in found.items() if bad} == {}


def test_axe_finds_nothing_serious_in_an_empty_project(
    empty_server: lab.Server, chromium: Browser, axe: str
) -> None:
    page = person(chromium, empty_server)
    found = {}
    for name in PAGES:
        visit(page, empty_server, name)
        found[name] = serious(page, axe)
    page.context.close()
    assert {name: bad for name, bad in found.items() if bad} == {}


def test_no_page_asks_for_what_is_not_there_or_says_an_error(
    server: lab.Server, chromium: Browser
) -> None:
    page = person(chromium, server)
    missing, errors = [], []
    page.on("response", lambda got: missing.append(got.url) if got.status >= 400 else None)
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    for name in PAGES:
        visit(page, server, name)
    page.context.close()
    assert missing == []
    assert errors == []


def test_no_page_is_wider_than_a_phone(server: lab.Server, chromium: Browser) -> None:
    page = person(chromium, server, viewport=lab.PHONE)
    wide = []
    for name in PAGES:
        visit(page, server, name)
        over = page.evaluate(
            "(() => { const m = document.querySelector('[data-testid=stMain]');"
            " return m.scrollWidth - m.clientWidth })()"
        )
        if over > 0:
            wide.append((name, over))
    page.context.close()
    assert wide == []


def test_every_chart_has_its_meaning_for_a_screen_reader(
    server: lab.Server, chromium: Browser
) -> None:
    page = person(chromium, server)
    visit(page, server, "agreement")
    page.wait_for_selector(".js-plotly-plot")
    mute = page.evaluate(
        "[...document.querySelectorAll('[data-testid=stPlotlyChart]')].filter("
        "(chart) => (chart.ariaLabel ?? '').length < 20).length"
    )
    n_charts = page.locator("[data-testid=stPlotlyChart]").count()
    page.context.close()
    assert n_charts >= 5
    assert mute == 0


def test_a_reason_typed_just_before_the_decision_is_kept(
    server: lab.Server, chromium: Browser
) -> None:
    page = person(chromium, server)
    visit(page, server, "adjudication")
    page.get_by_label("Why (optional)").fill("the left one answers the question")
    page.get_by_role("button", name="Left is better").click()
    page.get_by_text("Decided: pair").wait_for()
    page.context.close()
    database = f"file:{server.project / 'workbench.db'}?mode=ro"
    with closing(sqlite3.connect(database, uri=True)) as held:
        kept = held.execute("SELECT comment FROM adjudication").fetchall()
    assert kept == [("the left one answers the question",)]


@pytest.mark.parametrize(("fmt", "data"), [("trl", "curated.jsonl"), ("hf-folder", "data/")])
def test_an_export_is_chosen_previewed_and_downloaded(
    server: lab.Server, chromium: Browser, fmt: str, data: str
) -> None:
    page = person(chromium, server, accept_downloads=True)
    visit(page, server, "export")
    page.get_by_role("combobox", name="Format").click()
    page.get_by_role("option", name=fmt, exact=True).click()
    settle(page)
    page.get_by_text("Only pairs that a person labelled").click()
    settle(page)
    said = page.locator("h2").first.inner_text()
    page.get_by_role("button", name=f"Prepare the {fmt} file").click()
    with page.expect_download() as coming:
        page.get_by_role("button", name=f"Download {fmt}.zip").click()
    with zipfile.ZipFile(io.BytesIO(Path(coming.value.path()).read_bytes())) as archive:
        names = archive.namelist()
        assert any(data in name for name in names)
        if fmt == "trl":
            rows = [json.loads(line) for line in archive.read("curated.jsonl").splitlines()]
            assert said.startswith(f"{len(rows):,} of ")
            assert all(row["chosen"] != row["rejected"] for row in rows)
    page.context.close()
    assert any(name.endswith(".md") for name in names)  # the data card
