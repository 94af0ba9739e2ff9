import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.errors import BadInput
from workbench.cli.main import app

ROWS = [
    {
        "id": f"p-{n}",
        "prompt": f"question {n // 2}",
        "response_a": "yes",
        "response_b": "no, never" if n else "no",
        "ai": [
            {"judge": "j", "order": "ab", "label": "A" if n % 3 else "B"},
            {"judge": "j", "order": "ba", "label": "A"},
            {"judge": "broken", "order": "ab", "failure": "unparsed", "raw": "?"},
        ],
        "human": [
            {"annotator": "ana", "label": "A" if n % 4 else "tie"},
            {"annotator": "ben", "label": "A" if n % 5 else "B"},
        ],
    }
    for n in range(40)
]


def written(folder: Path, rows, name="pairs.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return written(tmp_path, ROWS)


def test_json_follows_the_contract(pairs: Path):
    report = json.loads(run("agreement", pairs, "--json").stdout)
    assert report["n_pairs"] == 40
    judge = report["judges"]["j"]
    assert judge["by_verdict"]["n"] == 80
    assert set(judge["by_verdict"]["agreement"]) == {"estimate", "low", "high", "method", "n"}
    assert judge["by_verdict"]["agreement"]["method"] == "cluster"
    assert judge["position"]["n"] == 40
    assert judge["position"]["flips"] == 14
    broken = report["judges"]["broken"]
    assert broken["n_failed"] == {"unparsed": 40}
    assert broken["by_verdict"]["agreement"] is None
    assert broken["position"] is None


def test_the_options_reach_the_report(pairs: Path):
    wrong = json.loads(run("agreement", pairs, "--json", "--unparsed", "wrong").stdout)
    assert wrong["judges"]["broken"]["by_verdict"]["agreement"]["estimate"] == 0.0
    ana = json.loads(run("agreement", pairs, "--json", "--reference", "ana").stdout)
    assert ana["humans"]["reference_counts"] == {"A": 30, "B": 0, "tie": 10}
    dropped = json.loads(
        run("agreement", pairs, "--json", "--reference", "ana", "--ties", "drop").stdout
    )
    assert dropped["judges"]["j"]["by_verdict"]["n"] == 60
    wide, narrow = (
        json.loads(run("agreement", pairs, "--json", "--confidence", level).stdout)["judges"]["j"]
        for level in (0.99, 0.5)
    )
    assert wide["by_label"]["agreement"]["low"] < narrow["by_label"]["agreement"]["low"]


def test_the_tables_put_people_first_and_name_the_clusters(pairs: Path):
    lines = run("agreement", pairs).stdout
    assert lines.index("People against people: the ceiling") < lines.index("AI judges")
    assert "Prompts repeat (20 prompts, 40 pairs): intervals are clustered by prompt." in lines
    assert "40 unparsed" in lines
    assert "Position bias" in lines
    assert "AC1" in lines
    assert max(len(line) for line in lines.splitlines()) <= 100


def test_rejected_rows_are_counted_with_their_lines(tmp_path: Path):
    path = written(tmp_path, ROWS)
    with path.open("a") as file:
        file.write("{not json\n")
        file.write(json.dumps({**ROWS[0], "id": "odd", "colour": "red"}) + "\n")
    result = run("agreement", path)
    assert "Left out 2 of 42 rows" in result.stdout
    assert "line 41" in result.stdout
    assert "line 42" in result.stdout
    quiet = run("agreement", path, "--json")
    assert json.loads(quiet.stdout)["n_pairs"] == 40
    assert "Left out 2 of 42 rows" in quiet.stderr


def test_a_file_without_ai_or_without_people_is_still_described(tmp_path: Path):
    no_ai = written(tmp_path, [{**row, "ai": []} for row in ROWS], "people.jsonl")
    assert "No AI verdicts" in run("agreement", no_ai).stdout
    no_people = written(tmp_path, [{**row, "human": []} for row in ROWS], "ai.jsonl")
    assert "no human labels" in run("agreement", no_people).stdout


def test_user_errors_are_ours(pairs: Path, tmp_path: Path):
    with pytest.raises(BadInput, match="no annotator"):
        run("agreement", pairs, "--reference", "zoe")
    with pytest.raises(BadInput, match="confidence"):
        run("agreement", pairs, "--confidence", "95")
    with pytest.raises(BadInput, match="nowhere"):
        run("agreement", tmp_path / "nowhere.jsonl")
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"prompt": 3, "response_a": "x", "response_b": "y"}\n')
    with pytest.raises(BadInput, match="line 1"):
        run("agreement", broken)
    with pytest.raises(BadInput, match="init"):
        run("agreement", tmp_path)


def test_an_error_is_one_line_and_exit_code_2(tmp_path: Path):
    program = subprocess.run(
        [
            sys.executable,
            "-c",
            "from workbench.cli.main import main; main()",
            "agreement",
            str(tmp_path / "nowhere.jsonl"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert program.returncode == 2
    assert program.stdout == ""
    assert program.stderr.count("\n") == 1
    assert program.stderr.startswith("workbench: ")


def test_an_imported_project_gives_the_figures_of_its_file(pairs: Path, tmp_path: Path):
    run("init", tmp_path / "project")
    run("import", pairs, "--project", tmp_path / "project")
    of_file = json.loads(run("agreement", pairs, "--json").stdout)
    of_project = json.loads(run("agreement", tmp_path / "project", "--json").stdout)
    assert of_project == of_file


def test_comparisons_without_a_prompt_are_not_one_cluster(tmp_path: Path):
    rows = [{k: v for k, v in row.items() if k != "prompt"} | {"prompt": ""} for row in ROWS]
    report = json.loads(run("agreement", written(tmp_path, rows), "--json").stdout)
    assert report["judges"]["j"]["by_label"]["agreement"]["method"] == "wilson"
