"""The researcher's pages in a real Chromium: accessible, complete, clicked through."""

import io
import json
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import review_lab as lab
from playwright.sync_api import Browser, Page, TimeoutError

from workbench.app.listing import REVIEW, View, listed
from workbench.demo.place import make_demo
from workbench.demo.sample import build_sample
from workbench.pairs.chain import make_pairs
from workbench.pairs.output import write_pairs
from workbench.project import Project

pytestmark = pytest.mark.browser

VIEWS = [view for view in listed("owner") if view is not REVIEW]
PAGES = [view.module for view in VIEWS]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lab.Server]:
    folder = tmp_path_factory.mktemp("pages") / "demo"
    make_demo(folder, build_sample, "sample")
    project = Project.open(folder)
    options = project.config.pairs
    write_pairs(project, make_pairs(project, options), options)
    project.engine.dispose()
    with lab.serving(folder) as server:
        yield server


def turn_to(page: Page, view: View) -> None:
    """Go on by the line at the top, as people do: the program in the browser stays loaded."""
    before = page.locator("h1").inner_text()
    title = page.get_by_text(view.title, exact=True)
    page.get_by_test_id("stTopNavLink").filter(has=title).click()
    page.wait_for_function(
        "(before) => (document.querySelector('h1')?.innerText ?? before) !== before", arg=before
    )
    settle(page)


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
    context.set_default_timeout(120_000)  # a busy machine fails nothing
    return lab.enter(context, server, "reader").new_page()


@dataclass
class Walk:
    """What one visit of every page found, by page."""

    axe: dict[str, list[str]] = field(default_factory=dict)  # by page and colour scheme
    background: dict[str, set[str]] = field(default_factory=dict)
    over_phone_px: dict[str, int] = field(default_factory=dict)
    mute_charts: dict[str, int] = field(default_factory=dict)
    charts: dict[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def serious(page: Page, axe: str, rules: list[str] | None) -> list[str]:
    found = lab.violations(page, axe, rules)
    return [one for one in found if one.startswith(("serious", "critical"))]


MUTE = """[...document.querySelectorAll('[data-testid=stPlotlyChart]')].filter(
  (chart) => (chart.ariaLabel ?? '').length < 20).length"""


def walk(chromium: Browser, server: lab.Server, axe: str, schemes: tuple[str, ...]) -> Walk:
    """Visit every page once: colours and width change while it stands there, as they may."""
    found = Walk()
    page = person(chromium, server, color_scheme=schemes[0])
    page.on("response", lambda got: found.missing.append(got.url) if got.status >= 400 else None)
    page.on("console", lambda one: found.errors.append(one.text) if one.type == "error" else None)
    visit(page, server, PAGES[0])
    for view in VIEWS:
        name = view.module
        if name != PAGES[0]:
            turn_to(page, view)
        if name == "agreement" and len(schemes) > 1:
            page.wait_for_selector(".js-plotly-plot")
        found.charts[name] = page.locator("[data-testid=stPlotlyChart]").count()
        found.mute_charts[name] = page.evaluate(MUTE)
        found.background[name] = set()
        for scheme in schemes:
            before = page.evaluate(lab.BACKGROUND)
            page.emulate_media(color_scheme=scheme)
            if found.background[name]:
                page.wait_for_function(f"{lab.BACKGROUND} !== {before!r}")
                settle(page)
            found.background[name].add(page.evaluate(lab.BACKGROUND))
            # Nothing but the colours differs in the second scheme.
            rules = None if scheme == schemes[0] else ["color-contrast"]
            found.axe[f"{name}, {scheme}"] = serious(page, axe, rules)
        page.emulate_media(color_scheme=schemes[0])
        page.set_viewport_size(lab.PHONE)
        with suppress(TimeoutError):  # charts and tables follow the width a moment later
            page.wait_for_function(f"{lab.OVER} <= 0", timeout=5_000)
        found.over_phone_px[name] = page.evaluate(lab.OVER)
        page.set_viewport_size(lab.DESKTOP)
    page.context.close()
    return found


@pytest.fixture(scope="module")
def walked(server: lab.Server, chromium: Browser, axe: str) -> Walk:
    return walk(chromium, server, axe, ("light", "dark"))


def test_axe_finds_nothing_serious_on_any_page_in_light_and_dark(walked: Walk) -> None:
    assert {name: bad for name, bad in walked.axe.items() if bad} == {}
    assert {name for name, seen in walked.background.items() if len(seen) != 2} == set()


def test_axe_finds_nothing_serious_in_an_empty_project(
    tmp_path: Path, chromium: Browser, axe: str
) -> None:
    Project.create(tmp_path / "empty")
    with lab.serving(tmp_path / "empty") as server:
        found = walk(chromium, server, axe, ("light",))
    assert {name: bad for name, bad in found.axe.items() if bad} == {}
    assert found.errors == []


def test_no_page_asks_for_what_is_not_there_or_says_an_error(walked: Walk) -> None:
    assert walked.missing == []
    assert walked.errors == []


def test_no_page_is_wider_than_a_phone(walked: Walk) -> None:
    assert {name: px for name, px in walked.over_phone_px.items() if px > 0} == {}


def test_every_chart_has_its_meaning_for_a_screen_reader(walked: Walk) -> None:
    assert walked.charts["agreement"] >= 5
    assert {name: n for name, n in walked.mute_charts.items() if n} == {}


def test_a_table_is_downloaded_by_our_button_alone(server: lab.Server, chromium: Browser) -> None:
    # Streamlit's own beside it would write cells that a spreadsheet takes for formulas.
    page = person(chromium, server)
    visit(page, server, "project")
    table = page.get_by_test_id("stDataFrame").first
    table.hover()
    toolbar = page.get_by_test_id("stElementToolbar").first
    toolbar.get_by_role("button", name="Search").wait_for()
    assert toolbar.get_by_role("button", name="Download as CSV").count() == 0
    assert page.get_by_role("button", name="Download as CSV").count() > 0
    page.context.close()


@pytest.mark.parametrize(
    ("fmt", "data", "made"), [("trl", "curated.jsonl", False), ("hf-folder", "data/", True)]
)
def test_an_export_is_chosen_previewed_and_downloaded(
    server: lab.Server, chromium: Browser, fmt: str, data: str, made: bool
) -> None:
    page = person(chromium, server, accept_downloads=True)
    visit(page, server, "export")
    page.get_by_role("combobox", name="Format").click()
    page.get_by_role("option", name=fmt, exact=True).click()
    settle(page)
    if not made:  # what `workbench pairs` made is the default, and has its policies behind it
        page.get_by_text("curated here").click()
        settle(page)
        page.get_by_text("Only pairs that a person labelled").click()
        settle(page)
    page.get_by_role("button", name=f"Prepare the {fmt} file").click()
    with page.expect_download() as coming:
        page.get_by_role("link", name=f"Download {fmt}.zip").click()
    said = page.locator("h2").first.inner_text()  # drawn before the link, by the same run
    with zipfile.ZipFile(io.BytesIO(Path(coming.value.path()).read_bytes())) as archive:
        names = archive.namelist()
        assert any(data in name for name in names)
        if fmt == "trl":
            rows = [json.loads(line) for line in archive.read("curated.jsonl").splitlines()]
            assert said.startswith(f"{len(rows):,} of ")
            assert all(row["chosen"] != row["rejected"] for row in rows)
    page.context.close()
    assert any(name.endswith(".md") for name in names)  # the data card


# Last: a decision makes the pairs of `workbench pairs` out of date.
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
