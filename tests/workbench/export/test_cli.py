"""`workbench export` and `workbench report` as a person runs them."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from workbench.cli.main import main
from workbench.project import Project


def workbench(*arguments: object) -> int:
    """Run the command line in this process; the exit code."""
    code: object = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["workbench", *map(str, arguments)])
        try:
            main()
        except SystemExit as stopped:
            code = stopped.code or 0
    assert isinstance(code, int)
    return code


def test_export_says_where_every_pair_went(
    audited: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    project, _ = audited
    assert workbench("export", "trl", "--project", project.dir) == 0
    said = capsys.readouterr().out
    assert said.startswith("60 pairs, AI label: sol\n")
    assert "-3  a person's, else the AI's: 1 no AI verdict, 1 judge failed, 1 judge abst" in said
    assert "-1  drop: 1 tie" in said
    assert "55  42 ai, 13 human" in said
    assert "rows: 55 train" in said
    assert f"wrote {project.dir / 'exports' / 'trl.jsonl'}" in said


def test_json_holds_the_counts_and_the_files(
    audited: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    project, _ = audited
    out = tmp_path / "some where" / "x.parquet"
    options = ("--out", out, "--ties", "keep", "--test-share", "0.5", "--seed", "3", "--json")
    assert workbench("export", "parquet", "--project", project.dir, *options) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["counts"]["n_kept"] == sum(found["rows"].values()) == 57
    assert all(Path(file).is_file() for file in found["files"])
    assert Path(found["files"][0]).name == "x-train.parquet"


def test_a_dry_run_says_that_nothing_was_written(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert workbench("export", "kto", "--project", project.dir, "--dry-run") == 0
    assert capsys.readouterr().out.endswith("dry run: nothing written\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("trl", "--ties", "keep"), "use --ties drop or --ties half"),
        (("trl", "--round", "nine"), 'round "nine" does not exist; rounds: none yet'),
        (("trl", "--label", "nobody"), 'no judge or rule is called "nobody"'),
        (("trl", "--min-confidence", "0.2"), "is not between 0.5 and 1"),
        (("trl", "--test-share", "1.5"), "test-share 1.5 is not at least 0 and below 1"),
        (("pairs", "--ties", "drop"), "no policy applies to it"),
    ],
)
def test_wrong_options_are_one_line_and_exit_code_2(
    project: Project, capsys: pytest.CaptureFixture[str], arguments: Any, said: str
) -> None:
    assert workbench("export", *arguments, "--project", project.dir) == 2
    streams = capsys.readouterr()
    assert said in streams.err
    assert streams.err.count("\n") == 1
    assert streams.out == ""
    assert not (project.dir / "exports").exists()


def test_the_defaults_of_the_policies_stand_in_the_project_file(
    audited: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    project, _ = audited
    (project.dir / "project.toml").write_text('[curate]\ndisagreement = "drop"\nties = "half"\n')
    assert workbench("export", "trl", "--project", project.dir, "--json") == 0
    steps = {step["name"]: step for step in json.loads(capsys.readouterr().out)["counts"]["steps"]}
    assert steps["disagreement"]["policy"] == "drop"
    assert steps["disagreement"]["dropped"] == {"human and AI disagree": 3}
    assert steps["ties"]["policy"] == "half"


def test_report_prints_a_page_json_and_a_web_page(
    audited: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    project, _ = audited
    page = tmp_path / "report.html"
    assert workbench("report", "--project", project.dir, "--html", page) == 0
    said = capsys.readouterr().out
    assert "Round first: UNDECIDED" in said
    assert f"wrote {page}" in said
    assert page.read_text().startswith("<!doctype html>")
    assert workbench("report", "--project", project.dir, "--html", page) == 2
    assert "--force replaces it" in capsys.readouterr().err
    assert workbench("report", "--project", project.dir, "--json") == 0
    assert json.loads(capsys.readouterr().out)["imported"]["n_pairs"] == 60
