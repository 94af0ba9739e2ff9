"""By hand against with AI: every line set, measured, or said to be unknown."""

from pathlib import Path

import pytest

from pipelines.judge.manifest import JudgeManifest
from pipelines.judge.runner import JudgeFolder
from pipelines.stages.manifest import Spent, write_manifest
from workbench.export.cost_comparison import comparison_rows, cost_comparison
from workbench.export.report import project_report
from workbench.project import Project

JUDGES = '[[judges]]\nname = "one"\nmodel = "m"\n[[judges]]\nname = "two"\nmodel = "m"\n'


def opened(folder: Path, toml: str = "") -> Project:
    folder.mkdir(exist_ok=True)
    (folder / "project.toml").write_text(toml)
    return Project.open(folder)


def spend(project: Project, judge: str, **spent: float) -> None:
    folder = JudgeFolder(project.dir, judge)
    folder.path.mkdir(parents=True, exist_ok=True)
    manifest = JudgeManifest(judge=judge, spent=Spent.model_validate(spent))
    write_manifest(folder.manifest, manifest)


def test_by_hand_is_two_minutes_a_pair_at_thirty_dollars_an_hour(tmp_path: Path) -> None:
    found = cost_comparison(opened(tmp_path), 1000, 2000, None)
    assert found["by_hand_hours"] == pytest.approx(1000 / 30)
    assert found["by_hand_usd"] == pytest.approx(1000.0)
    assert found["with_ai_usd"] is None
    assert found["saved_usd"] is None
    rows = dict(comparison_rows(found))
    assert rows["every pair by hand: 2 minutes each, 30 USD an hour"] == "1,000.00 USD"
    assert rows["saved"] == "not known"


def test_every_line_can_be_set(tmp_path: Path) -> None:
    costs = (
        "[costs]\nusd_per_hour = 60\nminutes_per_pair = 3\ntraining_usd = 100\n"
        "api_usd_per_1000 = 5\n"
    )
    found = cost_comparison(opened(tmp_path, costs), 1000, 2000, 50.0)
    assert found["by_hand_usd"] == pytest.approx(3000.0)
    assert (found["api_usd"], found["api_usd_source"]) == (pytest.approx(10.0), "configured")
    assert found["with_ai_usd"] == pytest.approx(160.0)
    assert found["saved_usd"] == pytest.approx(2840.0)


def test_what_the_runs_were_billed_comes_before_what_was_configured(tmp_path: Path) -> None:
    project = opened(tmp_path, JUDGES + "[costs]\napi_usd_per_1000 = 5\n")
    spend(project, "one", requests=200, usd=0.75)
    found = cost_comparison(project, 100, 200, None)
    assert (found["api_usd"], found["api_usd_source"]) == (0.75, "measured")
    assert list(found["judges"]) == ["one"]
    spend(project, "two", requests=200, usd=0.0, n_unpriced=200)
    found = cost_comparison(project, 100, 200, None)
    assert (found["api_usd"], found["api_usd_source"]) == (0.75, "partly")


def test_the_report_holds_the_comparison(project: Project) -> None:
    report = project_report(project)
    assert report["cost_comparison"]["by_hand_usd"] == pytest.approx(60.0)  # 60 pairs
