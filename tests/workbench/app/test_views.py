"""Each research page is run by Streamlit itself, on the demo project with a round half labelled."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from workbench.demo import make_demo
from workbench.project import Project

PAGES = ("agreement", "disagreements", "adjudication", "rounds", "export", "project")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("views") / "demo"
    make_demo(folder)
    return folder


def page(name: str, folder: Path) -> AppTest:
    """The page as a script of its own; `render` is what the app calls."""
    script = f"""
from pathlib import Path
from workbench.app.views import {name}
from workbench.project import Project
{name}.render(Project.open(Path({str(folder)!r})))
"""
    test = AppTest.from_string(script, default_timeout=60)
    test.session_state["workbench_name"] = "reader"
    return test


def words(test: AppTest) -> str:
    parts = [*test.title, *test.header, *test.subheader, *test.markdown, *test.caption]
    parts += [*test.info, *test.success, *test.warning]
    # Untrusted names are escaped for Markdown; a reader does not see the backslashes.
    return "\n".join(str(part.value) for part in parts).replace("\\", "")


@pytest.mark.parametrize("name", PAGES)
def test_every_page_draws_the_demo_without_an_error(name: str, demo: Path) -> None:
    test = page(name, demo).run()
    assert not test.exception
    assert not test.error
    assert len(test.title) == 1


@pytest.mark.parametrize("name", PAGES)
def test_every_page_says_what_to_do_in_an_empty_project(name: str, tmp_path: Path) -> None:
    Project.create(tmp_path / "empty")
    test = page(name, tmp_path / "empty").run()
    assert not test.exception
    assert not test.error
    assert len(test.info) >= 1


def test_the_agreement_page_names_the_decision_its_interval_and_n(demo: Path) -> None:
    said = words(page("agreement", demo).run())
    assert "UNDECIDED" in said
    assert "95% interval" in said
    assert "n = " in said
    assert "Safety-critical pairs" in said


def test_the_disagreements_page_lists_the_most_confident_error_first(demo: Path) -> None:
    test = page("disagreements", demo).run()
    table = test.dataframe[0].value
    assert len(table) > 5
    sure = table["sure"].tolist()
    assert sure == sorted(sure, reverse=True)
    test.selectbox[0].set_value("everything labelled").run()
    assert len(test.dataframe[0].value) > len(table)
    test.text_input(key="sought").set_value("no pair is called this").run()
    assert not test.exception
    assert "No pair of this kind" in words(test)


def test_an_adjudicator_sees_no_vote_before_deciding_and_both_after(demo: Path) -> None:
    test = page("adjudication", demo).run()
    before = words(test)
    assert "simulated-ana" not in before
    assert "simulated-ben" not in before
    decide = next(button for button in test.button if button.label == "Left is better")
    decide.click().run()
    assert not test.exception
    after = words(test)
    assert "Decided: pair" in after
    assert "the AI said" in after
    assert "simulated-" in after


def test_a_page_of_the_export_shows_what_each_policy_does(demo: Path) -> None:
    test = page("export", demo).run()
    kept = test.subheader[0].value
    test.checkbox[0].check().run()
    assert not test.exception
    assert test.subheader[0].value != kept
    test.button[0].click().run()
    assert not test.exception
    assert len(test.dataframe) >= 3


def test_the_plan_of_a_round_is_shown_before_it_is_drawn(demo: Path) -> None:
    test = page("rounds", demo).run()
    test.checkbox[0].check().run()
    assert not test.exception
    expected = test.dataframe[-1].value
    assert {"theta", "trust", "warn", "mean_labels"} <= set(expected.columns)
    endings = expected[["trust", "warn", "between", "undecided"]].sum(axis=1)
    assert ((endings - 1).abs() < 1e-6).all()


@pytest.mark.parametrize("part", ["Slices", "Length", "Confidence", "Judges", "Position"])
def test_every_diagnosis_of_the_judge_is_drawn(part: str, demo: Path) -> None:
    test = page("agreement", demo)
    test.session_state["diagnosis"] = part
    test.run()
    assert not test.exception
    assert "Where the judge is wrong" in words(test)


def test_a_round_is_drawn_extended_and_closed_without_the_command_line(tmp_path: Path) -> None:
    make_demo(tmp_path / "demo")
    test = page("rounds", tmp_path / "demo").run()

    def press(label: str) -> None:
        next(button for button in test.button if button.label.startswith(label)).click().run()
        assert not test.exception
        assert not test.error

    press("Extend the round")
    assert "round-1 was extended" in words(test)
    press("Close the round")
    assert "round-1 is closed" in words(test)
    press("Draw round-2")
    assert "round-2 is drawn and open" in words(test)
