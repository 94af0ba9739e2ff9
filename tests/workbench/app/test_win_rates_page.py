"""The page Win rates, over a real evaluation in the sandbox whose judge leaks."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import review_lab as lab
from evaluate_world import POLICIES, make_project, simulated_models
from playwright.sync_api import Browser, Page, TimeoutError
from streamlit.testing.v1 import AppTest

from pipelines.agreement.estimate import Estimate
from pipelines.evaluate.result import (
    EvaluationFound,
    LeakFound,
    MatchupFound,
    read_result,
    write_result,
)
from pipelines.sandbox.annotators import Annotator, Traits
from workbench.app.win_words import headline, rates_table
from workbench.app.words import cell_words
from workbench.evaluating.run import evaluate, plan
from workbench.project import Project
from workbench.sandbox_round import label_sandbox_round

SUITES = ("sandbox-principles", "mine.toml")
LEAK = LeakFound(
    kind="same judge", judge="vain", policy="wordy", labelled_by="vain", through=("dpo",)
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three policies, two judges, people's labels; and a leak that a training run would leave."""
    folder = tmp_path_factory.mktemp("win-rates")
    with simulated_models(folder) as url:
        made = Project.open(make_project(folder / "p", url, n_prompts=24))
        planned = plan(made, "first", POLICIES, suites=[str(made.dir / "mine.toml"), SUITES[0]])
        evaluate(planned)
        people = [Annotator("simulated-1", Traits(accuracy=1.0, seconds=5.0))]
        label_sandbox_round(Project.open(planned.folder), people)
        found = evaluate(planned).found
    assert found is not None
    write_result(planned.folder, found.model_copy(update={"leaks": (LEAK,)}))
    return made.dir


@pytest.fixture
def found(project: Path) -> EvaluationFound:
    told = read_result(project / "evaluations" / "first")
    assert told is not None
    return told


def page_of(folder: Path, part: str = "") -> AppTest:
    script = f"""
from pathlib import Path
from workbench.app.views import win_rates
from workbench.project import Project
win_rates.render(Project.open(Path({str(folder)!r})))
"""
    test = AppTest.from_string(script, default_timeout=60)
    if part:
        test.session_state["win-rates-part"] = part
    test.run()
    assert not test.exception
    return test


def said(test: AppTest) -> str:
    return " ".join(one.value for one in [*test.caption, *test.markdown])


def test_a_project_without_an_evaluation_says_what_to_do(tmp_path: Path) -> None:
    assert "workbench evaluate" in page_of(Project.create(tmp_path / "empty").dir).info[0].value


def test_a_damaged_result_is_one_sentence(tmp_path: Path) -> None:
    folder = Project.create(tmp_path / "p").dir / "evaluations" / "first"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text("{}")
    test = AppTest.from_string(
        "from pathlib import Path\nfrom pipelines.errors import BadInput\nimport streamlit as st\n"
        "from workbench.app.views import win_rates\nfrom workbench.project import Project\n"
        f"try:\n    win_rates.render(Project.open(Path({str(folder.parents[1])!r})))\n"
        "except BadInput as error:\n    st.error(str(error))\n",
        default_timeout=60,
    ).run()
    assert not test.exception
    assert "result.json: damaged" in test.error[0].value


def test_every_figure_of_a_matchup_stands_in_the_table_with_n(
    project: Path, found: EvaluationFound
) -> None:
    test = page_of(project)
    matchups = [one for one in found.matchups if one.judge == "judge"]
    shown = test.dataframe[0].value.set_index("policies")
    table = rates_table(matchups).set_index("win rate")
    for one in matchups:
        name = f"{one.first} over {one.second}"
        assert one.corrected is not None
        assert shown.loc[name, "corrected"] == cell_words(one.corrected.corrected)
        assert shown.loc[name, "n"] == one.win.n
        row = table.loc[f"{name}: corrected"]
        told = one.corrected.corrected
        assert (row["estimate"], row["low"], row["high"]) == (told.estimate, told.low, told.high)
        assert table.loc[f"{name}: raw"]["n"] == one.win.n
        assert table.loc[f"{name}: people's labels alone"]["n"] == one.corrected.n_labelled
        assert f"{name}: in truth (sandbox)" in table.index
    words = said(test)
    assert "what people would say, and people err" in words
    assert "1 person labelled" in words


def rated(found: EvaluationFound, first: str, second: str, low: float, high: float) -> MatchupFound:
    """A comparison with this interval, that nobody labelled."""
    rate = Estimate((low + high) / 2, low, high, "delta", 24)
    win = replace(found.matchups[0].win, tie_aware=rate)
    names = {"first": first, "second": second, "win": win, "corrected": None}
    return found.matchups[0].model_copy(update=names)


def test_the_page_answers_its_question_first(found: EvaluationFound) -> None:
    dpo, ppo = rated(found, "dpo", "sft", 0.6, 0.8), rated(found, "ppo", "sft", 0.4, 0.7)
    between = rated(found, "ppo", "dpo", 0.3, 0.6)
    assert headline([dpo]) == (
        "dpo is better than sft: dpo wins 70.0% (95% interval 60.0% to 80.0%, n = 24), by the "
        "judge alone, ties half."
    )
    assert headline([ppo]).startswith("ppo and sft cannot be told apart: ppo wins 55.0%")
    assert headline([dpo, ppo, between]) == (
        "Best: dpo. It is better than sft, and cannot be told from ppo (by the judge alone, ties "
        "half)."
    )
    assert headline([ppo, between]) == "No policy can be told from another."
    people = [one for one in found.matchups if one.judge == "judge"]
    assert "corrected by people's labels" in headline(people)


def test_a_leak_stands_in_red_with_how_much_it_could_explain(project: Path) -> None:
    test = page_of(project)
    red = test.error[0].value.replace("\\", "")
    assert "the very judge that labelled" in red
    assert "its win rate there can be self-preference" in red
    assert "against before" in red


def test_the_matrix_mirrors_and_the_corrected_one_is_one_click_away(
    project: Path, found: EvaluationFound
) -> None:
    test = page_of(project, "All against all")
    table = test.dataframe[0].value.set_index("policies")
    for one, other in (("after", "before"), ("wordy", "after")):
        there, back = table.loc[f"{one} over {other}"], table.loc[f"{other} over {one}"]
        assert there["estimate"] + back["estimate"] == pytest.approx(1.0)
        assert there["low"] + back["high"] == pytest.approx(1.0)
    test.button("matrix-kind-corrected").click().run()
    first = next(one for one in found.matchups if one.judge == "judge")
    assert first.corrected is not None
    told = test.dataframe[0].value.set_index("policies")
    shown = told.loc[f"{first.first} over {first.second}"]
    assert shown["estimate"] == first.corrected.corrected.estimate
    strengths = test.dataframe[1].value
    assert (strengths["by"] == "corrected").sum() == 3


def test_suites_show_before_and_after_by_principle(project: Path, found: EvaluationFound) -> None:
    test = page_of(project, "Suites")
    told = {one.value.replace("\\", "") for one in test.header}
    assert told == {"Declines", "Principles (sandbox)"}
    tables = [one.value for one in test.dataframe]
    changes = next(one for one in tables if "to" in one and "private" in set(one["group"]))
    assert set(changes["to"]) == {"after", "wordy"}
    assert {"change", "low", "high", "n", "p", "p, all together"} <= set(changes)
    suite = next(one for one in found.suites if one.name == "sandbox-principles")
    assert len(changes) == len(suite.changes)


def test_the_comparisons_behind_a_number_can_be_counted_again(
    project: Path, found: EvaluationFound
) -> None:
    test = page_of(project, "Examples")
    first = next(one for one in found.matchups if one.judge == "judge")
    test.selectbox("examples-policies").set_value(f"{first.first} over {first.second}").run()
    for verdict, n in (
        ("the first wins", first.win.wins),
        ("a tie", first.win.ties),
        ("the second wins", first.win.losses),
    ):
        test.selectbox("examples-verdict").set_value(verdict).run()
        assert not test.exception
        assert (len(test.dataframe[0].value) if test.dataframe else 0) == n
    test.selectbox("examples-of").set_value("Declines").run()
    assert not test.exception
    assert "outcomes" in said(test)


def test_an_evaluations_own_project_shows_itself(project: Path) -> None:
    test = page_of(project / "evaluations" / "first")
    assert test.dataframe


@pytest.fixture(scope="module")
def server(project: Path) -> Iterator[lab.Server]:
    with lab.serving(project) as server:
        yield server


@pytest.fixture(scope="module")
def page(chromium: Browser, server: lab.Server) -> Iterator[Page]:
    """One visit, that all tests look at: loading the page costs more than looking at it."""
    context = chromium.new_context(viewport=lab.DESKTOP, color_scheme="light")
    context.set_default_timeout(120_000)  # a busy machine fails nothing
    page = lab.enter(context, server, "reader").new_page()
    page.goto(f"{server.url}win_rates")
    page.locator(".js-plotly-plot").first.wait_for()
    settled(page)
    yield page
    context.close()


def settled(page: Page) -> None:
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")


PARTS = ("Win rates", "All against all", "Suites", "Examples")


LEGENDS_BESIDE = """[...document.querySelectorAll(".js-plotly-plot")].every((chart) => {
  const legend = chart.querySelector(".legend");
  if (!legend) return true;
  const below = legend.getBoundingClientRect().bottom - chart.getBoundingClientRect().top;
  return below <= chart._fullLayout._size.t;
})"""


@pytest.mark.browser
def test_the_table_downloads_as_csv_with_every_figure(page: Page) -> None:
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download as CSV").first.click()
    text = Path(waiting.value.path()).read_text("utf-8-sig")
    assert text.splitlines()[0] == "win rate,estimate,low,high,n,method"
    assert "after over before: corrected" in text


@pytest.mark.browser
def test_axe_finds_nothing_serious_every_chart_has_a_meaning_and_a_phone_is_wide_enough(
    page: Page, axe: str
) -> None:
    found, names, over = [], [], []
    for part in PARTS:
        page.get_by_role("button", name=part, exact=True).click()
        page.wait_for_timeout(300)
        settled(page)
        told = lab.violations(page, axe)
        charts = page.locator("[data-testid=stPlotlyChart]")
        names += [charts.nth(n).get_attribute("aria-label") or "" for n in range(charts.count())]
        light = page.evaluate(lab.BACKGROUND)
        page.emulate_media(color_scheme="dark")
        page.wait_for_function(f"{lab.BACKGROUND} !== {light!r}")
        told += lab.violations(page, axe, ["color-contrast"])  # nothing else differs
        found += [f"{part}: {one}" for one in told if one.startswith(("serious", "critical"))]
        page.set_viewport_size(lab.PHONE)
        with suppress(TimeoutError):  # charts and tables follow the width a moment later
            page.wait_for_function(f"{lab.OVER} <= 0", timeout=5_000)
        over.append(page.evaluate(lab.OVER))
        page.set_viewport_size(lab.DESKTOP)
        page.wait_for_function(LEGENDS_BESIDE)  # also in a window that was narrow before
        page.emulate_media(color_scheme="light")
        page.wait_for_function(f"{lab.BACKGROUND} === {light!r}")
    assert found == []
    assert len(names) >= 3
    assert min(map(len, names)) > 20
    assert max(over) <= 0
