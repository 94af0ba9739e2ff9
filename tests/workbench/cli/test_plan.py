import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.agreement.plan import PlanRow
from pipelines.errors import BadInput
from workbench.cli.main import app
from workbench.cli.plan_text import bar


def run(*arguments):
    result = CliRunner().invoke(app, ["audit", "plan", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_plan_needs_no_project(tmp_path: Path):
    text = run("--project", tmp_path, "--pairs", 1000, "--ties", "strict").stdout
    assert "100 of 1,000 pairs, uniform; TRUST above 80%, WARN below 75%" in text
    assert "Warning: 100 of 1,000 pairs will rarely decide" in text
    assert "TRUST with probability 13%" in text


def test_json_has_the_rows_and_every_assumption(tmp_path: Path):
    options = ("--pairs", 2000, "--n", 300, "--line", 0.8, "--agreement", 0.9, "--agreement", 0.7)
    plan = json.loads(run("--project", tmp_path, *options, "--json").stdout)
    assert (plan["n_population"], plan["n_drawn"], plan["mode"]) == (2000, 300, "uniform")
    assert plan["gate"] == {
        "trust_above": 0.8,
        "warn_below": 0.8,
        "alpha": 0.05,
        "ties": "decisive",
    }
    assert [row["theta"] for row in plan["rows"]] == [0.7, 0.9]
    assert plan["tie_share"] == 0.1
    assert plan["rows"][1]["trust"] > 0.9


def test_the_chart_is_one_file_that_needs_no_network(tmp_path: Path):
    chart = tmp_path / "plan.html"
    run("--project", tmp_path, "--pairs", 500, "--agreement", 0.9, "--chart", chart)
    html = chart.read_text(encoding="utf-8")
    assert "plotly.js v" in html
    assert "<script src=" not in html
    assert "How a round of 50 of 500 pairs ends" in html
    with pytest.raises(BadInput, match="cannot be written"):
        run("--pairs", 500, "--agreement", 0.9, "--chart", tmp_path / "none" / "plan.html")


def test_a_project_gives_what_the_command_line_leaves_out(tmp_path: Path):
    settings = "[audit]\nshare = 0.5\nties = 'strict'\nseconds_per_pair = 30\ntrust_above = 0.9\n"
    (tmp_path / "project.toml").write_text(settings)
    options = ("--project", tmp_path, "--json", "--agreement", 0.95)
    plan = json.loads(run("--pairs", 200, *options).stdout)
    assert (plan["n_drawn"], plan["seconds_per_pair"]) == (100, 30.0)
    assert (plan["gate"]["trust_above"], plan["gate"]["ties"]) == (0.9, "strict")
    (tmp_path / "project.toml").write_text("[audit]\nshares = 0.5\n")
    with pytest.raises(BadInput, match="shares"):
        run("--pairs", 200, *options)


def test_the_pairs_of_a_project_are_those_with_an_ai_label(tmp_path: Path):
    rows = [
        {"id": str(k), "prompt": f"q{k}", "response_a": "x", "response_b": "y", "ai": [verdict]}
        for k, verdict in enumerate(
            [{"judge": "j", "label": "A"}] * 30 + [{"judge": "j", "failure": "refused"}] * 5
        )
    ]
    source = tmp_path / "pairs.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder = tmp_path / "project"
    CliRunner().invoke(app, ["init", str(folder)])
    CliRunner().invoke(app, ["import", str(source), "--project", str(folder)])
    plan = json.loads(run("--project", folder, "--json", "--agreement", 0.9).stdout)
    assert plan["n_population"] == 30


def test_wrong_options_are_one_sentence(tmp_path: Path):
    with pytest.raises(BadInput, match="--line sets both"):
        run("--pairs", 10, "--line", 0.8, "--warn-below", 0.7)
    with pytest.raises(BadInput, match="give one of them"):
        run("--pairs", 10, "--n", 5, "--share", 0.5)
    with pytest.raises(BadInput, match="workbench init"):
        run("--project", tmp_path)


@pytest.mark.parametrize(
    ("chances", "letters"),
    [
        ((1.0, 0.0, 0.0, 0.0), "T" * 20),
        ((0.0, 0.0, 0.5, 0.5), "=" * 10 + "." * 10),
        ((0.25, 0.5, 0.25, 0.0), "T" * 5 + "=" * 5 + "W" * 10),
        ((0.0, 0.0, 0.0, 1.0), "." * 20),
    ],
)
def test_a_bar_is_twenty_letters(chances, letters):
    trust, warn, between, undecided = chances
    row = PlanRow(0.8, trust, warn, between, undecided, *(9.0, 9, 9, 0.1, "TRUST", None, None))
    assert bar(row) == letters
