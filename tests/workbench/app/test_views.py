"""Each research page is run by Streamlit itself, on the demo project with a round half labelled."""

import re
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from workbench.app.counting import count, count_everything
from workbench.app.findings import find, standing
from workbench.app.stamps import all_rounds_stamp
from workbench.audit.extend import extend_round
from workbench.db.models import Item, Skip, Slot, Vote
from workbench.db.session import writing
from workbench.demo.place import make_demo
from workbench.demo.sample import build_sample
from workbench.export.options import ExportOptions, policy_of
from workbench.export.run import run_export
from workbench.project import Project

PAGES = ("agreement", "disagreements", "adjudication", "rounds", "export", "project")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("views") / "demo"
    make_demo(folder, build_sample, "sample")
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
    kept = test.header[0].value
    test.checkbox[0].check().run()
    assert not test.exception
    assert test.header[0].value != kept
    test.button[0].click().run()
    assert not test.exception
    assert len(test.dataframe) >= 3


def test_the_plan_of_a_round_is_shown_before_it_is_drawn(demo: Path) -> None:
    test = page("rounds", demo)
    test.session_state["draw"] = True
    test.run()
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
    make_demo(tmp_path / "demo", build_sample, "sample")
    test = page("rounds", tmp_path / "demo").run()

    def press(label: str) -> None:
        next(button for button in test.button if button.label.startswith(label)).click().run()
        assert not test.exception
        assert not test.error

    press("Extend the round")
    assert "round-1 was extended" in words(test)
    press("Close the round")
    assert "round-1 is closed" in words(test)
    test.session_state["draw"] = True
    test.run()
    settings = tmp_path / "demo" / "project.toml"
    rare = "seed = 3000000000\nshare = 0.004\ntrust_above = 0.995\nwarn_below = 0.3\n"
    text = re.sub(r"(?m)^(seed|share|trust_above|warn_below) = .*\n", "", settings.read_text())
    text = re.sub(r"(?m)^(\[audit\].*\n)", rf"\1{rare}", text)
    settings.write_text(text)
    test.run()  # values beyond the sliders' usual range are shown, not refused
    press("Draw round-2")
    assert "round-2 is drawn and open" in words(test)


def take_back_a_vote(project: Project) -> str:
    """Undo the first vote that counts; its pair."""
    with writing(project.engine) as session:
        vote = session.scalars(
            select(Vote).where(Vote.counts, Vote.undone_at.is_(None)).order_by(Vote.created_at)
        ).first()
        assert vote is not None
        vote.undone_at = time.time()
        vote.counts = False
        return session.get_one(Item, vote.item_id).pair_id


def test_pages_follow_the_votes_and_the_draws(tmp_path: Path) -> None:
    make_demo(tmp_path / "demo", build_sample, "sample")
    project = Project.open(tmp_path / "demo")
    options = ExportOptions(*policy_of("trl", project.config.curate, human_only=True))
    before = standing(project, "round-1"), find(project, "round-1"), count(project, options)
    assert find(project, "round-1") is before[1]  # nothing happened: nothing is read again
    pair_id = take_back_a_vote(project)
    assert standing(project, "round-1").progress.answered == before[0].progress.answered - 1
    items = find(project, "round-1").items.set_index("pair_id")
    human = before[1].items.set_index("pair_id").loc[pair_id, "human"]
    assert human is not None
    assert pair_id not in items.index or pd.isna(items.loc[pair_id, "human"])
    assert count(project, options).n_votes == before[2].n_votes - 1
    drawn = standing(project, "round-1").reading.main.labels.n_drawn
    extend_round(project, "round-1", n_more=5)
    assert standing(project, "round-1").reading.main.labels.n_drawn == drawn + 5


def test_a_skip_changes_the_stamp_of_the_rounds(tmp_path: Path) -> None:
    make_demo(tmp_path / "demo", build_sample, "sample")
    project = Project.open(tmp_path / "demo")
    before = all_rounds_stamp(project)
    assert all_rounds_stamp(project) == before
    with writing(project.engine) as session:
        slot = session.scalars(
            select(Slot).where(~select(Vote.id).where(Vote.slot_id == Slot.id).exists())
        ).first()
        voter = session.scalars(select(Vote.annotator_id)).first()
        assert slot is not None
        assert voter is not None
        session.add(
            Skip(
                id="s1",
                round_id=slot.round_id,
                item_id=slot.item_id,
                slot_id=slot.id,
                annotator_id=voter,
                created_at=time.time(),
            )
        )
    assert all_rounds_stamp(project) != before


@pytest.mark.parametrize("name", ["trl", "kto", "jsonl", "pairs"])
def test_the_page_counts_what_the_export_writes(name: str, demo: Path, tmp_path: Path) -> None:
    project = Project.open(demo)
    options = ExportOptions(*policy_of(name, project.config.curate))
    told = count_everything(project, options) if name == "pairs" else count(project, options)
    done = run_export(project, replace(options, out=tmp_path / "out.jsonl"))
    assert told.counts.n_kept == done.counts.n_kept
    assert told.counts.kept_by_source == done.counts.kept_by_source
    assert told.label == done.label
    assert told.n_votes == done.n_votes
