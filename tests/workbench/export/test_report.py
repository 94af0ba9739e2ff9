"""The project report: measured numbers only, as JSON, as text, as a page that loads nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from workbench.export.report import project_report
from workbench.export.report_page import html_page, interval, sections
from workbench.project import Project


def texts(report: dict[str, Any]) -> str:
    parts = []
    for section in sections(report):
        parts += [section.title, *section.sentences, *(" ".join(row) for row in section.rows)]
    return "\n".join(parts)


def test_a_project_without_a_round_reports_what_there_is(project: Project) -> None:
    report = project_report(project)
    assert report["imported"]["n_pairs"] == 60
    assert report["imported"]["n_identical"] == 1
    assert report["imported"]["files"][0]["n_taken"] == 60
    judge = report["judges"]["sol"]
    assert (judge["n_pairs"], judge["n_failed"], judge["n_abstained"]) == (57, 1, 1)
    assert report["imported_labels"]["n_labels"] == 3
    assert report["rounds"] == []
    assert report["costs"]["human_hours"] is None
    assert report["costs"]["n_labels_saved"] is None
    said = texts(report)
    assert "No round has been drawn" in said
    assert "Time spent: not measured." in said
    assert "nan" not in said.lower()
    json.dumps(report, allow_nan=False)


def test_an_empty_project_has_a_report(tmp_path: Path) -> None:
    report = project_report(Project.create(tmp_path / "empty"))
    assert report["imported"]["n_pairs"] == 0
    assert "No AI verdicts." in texts(report)


def test_hours_are_those_of_people_and_not_of_simulated_votes(project: Project, draw: Any) -> None:
    audit = draw(project)
    one, two, three = audit.pair_ids()[:3]
    audit.vote(one, "ana", "A", seconds=60.0)
    audit.vote(two, "ben", "B", seconds=120.0)
    audit.vote(three, "ana", "B")  # nobody timed it
    audit.vote(three, "robot", "A", seconds=999.0, slot=1, origin="simulated")
    costs = project_report(project)["costs"]
    assert (costs["n_votes"], costs["n_timed_votes"], costs["n_simulated_votes"]) == (3, 2, 1)
    assert costs["n_people"] == 2
    assert costs["human_hours"] == pytest.approx(180 / 3600)
    assert costs["human_usd"] == pytest.approx(180 / 3600 * 30.0)
    assert costs["seconds_per_label"] == 90.0


def test_labels_saved_are_those_of_the_fixed_sample_less_those_of_the_decision(
    tmp_path: Path, new_project: Any, pair_rows: Any, draw: Any
) -> None:
    project = new_project(tmp_path / "many", pair_rows(n=400))
    audit = draw(project, n_pairs=40)
    for pair_id in audit.pair_ids():  # against the AI, always: a clear WARN
        audit.vote(pair_id, "ana", "B" if int(pair_id[2:]) % 2 == 0 else "A")
    report = project_report(project)
    (main,) = report["rounds"][0]["strata"]
    assert main["decision"] == "WARN"
    assert main["n_fixed_sample"] == 40  # one in ten of 400
    assert main["n_labels_saved"] == 40 - main["n_labels_to_decision"] > 20
    assert report["costs"]["n_labels_saved"] == main["n_labels_saved"]
    assert "Round first: WARN" in texts(report)


def test_the_page_loads_nothing_and_shows_names_as_text(
    tmp_path: Path, new_project: Any, pair_rows: Any
) -> None:
    rows = pair_rows(n=10)
    for row in rows:
        row["ai"] = [{"judge": "<script>alert(1)</script>", "label": "A"}]
    page = html_page(project_report(new_project(tmp_path / "evil", rows)))
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    for loads in ("http:", "https:", "src=", "@import", "url("):
        assert loads not in page


def test_an_undefined_interval_is_not_measured() -> None:
    assert interval(None) == "not measured"
    value = {"estimate": 0.5, "low": 0.25, "high": 0.75, "n": 1200}
    assert interval(value) == "50.0% [25.0, 75.0] n=1,200"
