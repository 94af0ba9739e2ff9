"""`workbench init` and `workbench import` as a person runs them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.records import Judgment
from workbench.audit.draw import draw_round
from workbench.audit.options import DrawOptions, StratumOptions
from workbench.cli.main import main
from workbench.project import Project


def workbench(*arguments: object) -> int:
    """Run the command line in this process; the exit code."""
    code: object = 0
    old = sys.argv
    sys.argv = ["workbench", *map(str, arguments)]
    try:
        main()
    except SystemExit as exit_:
        code = exit_.code or 0
    finally:
        sys.argv = old
    assert isinstance(code, int)
    return code


@pytest.fixture
def project(tmp_path: Path) -> Path:
    assert workbench("init", tmp_path / "p") == 0
    return tmp_path / "p"


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    pair = {"prompt": "Why?", "response_a": "So.", "response_b": "No."}
    rows = [{**pair, "ai": [{"judge": "j", "label": "A"}]}, pair, {**pair, "colour": "red"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_person_reads_what_was_taken_and_what_comes_next(project, pairs, capsys):
    capsys.readouterr()
    assert workbench("import", pairs, "--project", project) == 0
    shown = capsys.readouterr().out
    assert "pairs.jsonl (pairs): 2 pairs taken" in shown
    assert "1 repeated" in shown
    assert '1 row: 1 unknown key\n            line 3: unknown key "colour"' in shown
    assert f"next: workbench audit draw --project {project}" in shown
    assert workbench("import", pairs, "--project", project) == 0
    assert "already imported (2 pairs); nothing changed" in capsys.readouterr().out


def test_verdicts_of_the_projects_own_judges_count_as_verdicts(project, tmp_path, capsys):
    path = tmp_path / "bare.jsonl"
    path.write_text(json.dumps({"id": "p", "prompt": "?", "response_a": "a", "response_b": "b"}))
    assert workbench("import", path, "--project", project) == 0
    assert "no AI verdicts yet" in capsys.readouterr().out
    mine = Judgment(judge="mine", order="ab", label="A")
    Project.open(project).store.put_judgments("mine", [("p", mine)])
    assert workbench("import", path, "--project", project) == 0
    assert "next: workbench audit draw" in capsys.readouterr().out


def test_a_program_reads_json(project, pairs, capsys):
    capsys.readouterr()
    assert workbench("import", pairs, "--project", project, "--json") == 0
    (summary,) = json.loads(capsys.readouterr().out)
    assert summary["counts"]["taken"] == summary["n_pairs"] == 2
    assert summary["committed"]
    assert Path(summary["rejects"]).is_file()


def test_a_dry_run_says_would(project, pairs, capsys):
    assert workbench("import", pairs, "--project", project, "--dry-run") == 0
    assert "2 pairs would be taken" in capsys.readouterr().out
    assert workbench("import", pairs, "--project", project, "--strict") == 2
    assert "--strict took nothing" in capsys.readouterr().err


def test_who_chose_is_said_where_the_file_does_not(project, tmp_path, capsys):
    path = tmp_path / "trl.jsonl"
    path.write_text('{"prompt": "p", "chosen": "a", "rejected": "b"}\n')
    assert workbench("import", path, "--project", project) == 0
    assert "taken as an AI judge; if that is wrong, --labels-are human" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["import", "nowhere.jsonl"], "nowhere.jsonl: cannot be read"),
        (["import"], "no file to import"),
        (["init", "."], "project.toml is already there"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(project, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(project)
    capsys.readouterr()
    assert workbench(*arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert "Traceback" not in error


def test_without_a_hub_a_hub_name_is_one_line_and_exit_code_3(project, tmp_path):
    command = [sys.executable, "-c", "from workbench.cli.main import main; main()"]
    done = subprocess.run(
        [*command, "import", "hf:nobody/nothing", "--project", str(project)],
        env={"HF_HUB_OFFLINE": "1", "PATH": "/usr/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if "needs the library `datasets`" in done.stderr:
        pytest.skip("the library datasets is not installed")
    assert done.returncode == 3
    assert "the hub cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


def test_labels_go_into_a_round(project, tmp_path, capsys):
    pair = {"prompt": "Why?", "response_a": "So.", "ai": [{"judge": "j", "label": "A"}]}
    path = tmp_path / "pairs.jsonl"
    rows = [{**pair, "id": f"p{n}", "response_b": f"No {n}."} for n in range(20)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert workbench("import", path, "--project", project) == 0
    opened = Project.open(project)
    try:
        draw_round(opened, DrawOptions(main=StratumOptions(n_pairs=20)))
        labels = tmp_path / "labels.csv"
        labels.write_text("pair_id,annotator,label\np3,ana,A\np4,ana,B\nzz,ana,A\np5,ana,C\n")
        capsys.readouterr()
        assert workbench("import", "--labels", labels, "--project", project) == 0
        shown = capsys.readouterr().out
        assert "2 labels taken" in shown
        assert "1 are of pairs that the project does not have" in shown
        assert "1 rows rejected: 1 unknown label" in shown
        rejects = project / "runs" / "labels" / "refused-labels.csv.rejects.jsonl"
        assert json.loads(rejects.read_text())["line"] == 5
        assert workbench("import", path, "--labels", labels, "--project", project) == 2
    finally:
        opened.engine.dispose()
