import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from workbench.cli.main import app

PAIR = {"prompt": "Is it?", "response_a": "Yes.", "response_b": "No, not at all."}


def written(folder: Path, rows) -> Path:
    path = folder / "my pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(*arguments):
    result = CliRunner().invoke(app, ["doctor", *(str(argument) for argument in arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def found(path: Path):
    report = json.loads(run(path, "--json").stdout)
    return {check["what"]: check["ok"] for check in report["checks"]}, report["next"]


def both_orders(number, p_a=None):
    return [
        {"judge": "model-x@1", "order": order, **({"p_a": p_a} if p_a else {"label": "A"})}
        for order in ("ab", "ba")
    ]


def test_a_file_of_bare_pairs_needs_verdicts(tmp_path: Path):
    checks, following = found(written(tmp_path, [PAIR]))
    assert not checks["AI verdicts"]
    assert not checks["human labels"]
    assert checks["review by people"]
    assert following.startswith('add AI verdicts under "ai"')


def test_a_judged_file_is_sent_to_an_audit_with_its_name_quoted(tmp_path: Path):
    path = written(tmp_path, [{**PAIR, "prompt": f"q{n}", "ai": both_orders(n)} for n in range(5)])
    checks, following = found(path)
    assert checks["AI verdicts"]
    assert checks["position bias"]
    assert not checks["AI-human agreement"]
    assert not checks["calibration of p_a"]
    assert following == f"workbench init audit && workbench import '{path}' --project audit"


def test_a_file_with_everything_supports_everything(tmp_path: Path):
    rows = [
        {
            **PAIR,
            "prompt": f"q{n}",
            "ai": both_orders(n, p_a=0.8),
            "human": [{"annotator": who, "label": "A"} for who in ("ana", "ben")],
            "model_a": "model-x",
            "model_b": "model-y",
            "subset": "easy" if n % 2 else "hard",
        }
        for n in range(40)
    ]
    checks, following = found(written(tmp_path, rows))
    assert all(checks.values())
    assert following.startswith("workbench agreement")


def test_repeated_prompts_and_bad_rows_are_said(tmp_path: Path):
    path = written(tmp_path, [PAIR, {**PAIR, "response_a": "Perhaps."}, {"prompt": 1}])
    told = run(path).stdout
    assert "1 prompt in 2 pairs" in told
    assert "Left out 1 of 3 rows" in told
    assert "line 3" in told
    assert told.splitlines()[-1].startswith("next: ")


def test_the_machine_is_described_in_plain_sentences(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run()
    assert result.exit_code == 0
    for what in ("Python", "free disk", "extra [train]", "extra [scale]", "project"):
        assert re.search(rf"(ok|missing) +{re.escape(what)}", result.stdout)
    checks = json.loads(run("--json").stdout)["checks"]
    assert all(set(check) == {"what", "ok", "detail"} for check in checks)


def test_the_database_of_a_project_is_tried(tmp_path: Path, monkeypatch):
    CliRunner().invoke(app, ["init", str(tmp_path / "project")])
    monkeypatch.chdir(tmp_path / "project")
    result = run()
    assert result.exit_code == 0
    assert re.search(r"ok +database +sqlite answers", result.stdout)


@pytest.mark.parametrize(
    ("line", "what", "code"),
    [
        ('[database]\nurl = "sqlite:////nowhere/at/all/workbench.db"', "database", 3),
        ('[database]\nurl = "nonsense"', "database", 3),
        ('[database]\nurl = "oracle+cx_oracle://a/b"', "database", 3),
        ("[colour]\nred = 1", "project", 2),
    ],
)
def test_a_broken_project_is_one_sentence_and_an_exit_code(
    tmp_path: Path, monkeypatch, line, what, code
):
    (tmp_path / "project.toml").write_text(line)
    monkeypatch.chdir(tmp_path)
    result = run()
    assert result.exit_code == code
    assert re.search(rf"missing +{what}", result.stdout)
    assert "Traceback" not in result.output
