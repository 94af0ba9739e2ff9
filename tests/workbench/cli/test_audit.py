import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.cli.main import app, main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The program as a shell runs it: exit code, stdout, stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["workbench", *arguments])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def project(tmp_path: Path, run: Run) -> str:
    """A project of 100 pairs whose judge always says A."""
    folder = tmp_path / "p"
    assert run("init", str(folder))[0] == 0
    rows: list[dict[str, Any]] = [
        {
            "id": f"p-{k}",
            "prompt": f"question {k}",
            "response_a": f"one {k}",
            "response_b": f"two {k}",
            "ai": [{"judge": "j", "label": "A"}],
        }
        for k in range(100)
    ]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run("import", str(file), "--project", str(folder))[0] == 0
    return str(folder)


def labels(tmp_path: Path, label: str) -> str:
    file = tmp_path / "labels.csv"
    rows = [f"p-{k},ana,{label}" for k in range(100)]
    file.write_text("\n".join(["pair_id,annotator,label", *rows]) + "\n")
    return str(file)


def test_the_whole_way_ends_in_trust_and_a_certificate_that_verifies(
    project: str, tmp_path: Path, run: Run
) -> None:
    code, out, _ = run("audit", "draw", "--n", "60", "--line", "0.5", "--yes", "--project", project)
    assert code == 0
    assert "60 of 100 pairs; a single line at 0.5" in out
    assert run("audit", "certify", "--project", project)[0] == 1
    assert run("import", "--labels", labels(tmp_path, "A"), "--project", project)[0] == 0
    code, out, _ = run("audit", "status", "--project", project)
    assert code == 0
    assert "TRUST" in out
    assert "60 of 60 pairs read in draw order" in out
    file = tmp_path / "c.json"
    code, out, _ = run("audit", "certify", "--out", str(file), "--project", project)
    assert (code, out.splitlines()[0]) == (0, "TRUST: round round-1, labels of j")
    assert json.loads(file.read_text())["decision"] == "TRUST"
    code, out, _ = run("audit", "verify", str(file), "--project", project)
    assert (code, out.splitlines()[-1]) == (0, "the certificate matches")
    file.write_text(file.read_text().replace('"seed": 0', '"seed": 1', 1))
    code, out, _ = run("audit", "verify", str(file), "--project", project)
    assert code == 1
    assert "DIFFERS  design" in out


def test_disagreement_exits_with_one_and_says_warn(project: str, tmp_path: Path, run: Run) -> None:
    run("audit", "draw", "--n", "60", "--yes", "--project", project)
    run("import", "--labels", labels(tmp_path, "B"), "--project", project)
    code, out, _ = run("audit", "certify", "--json", "--project", project)
    assert (code, json.loads(out)["decision"]) == (1, "WARN")
    code, _, err = run("audit", "certify", "--out", ".", "--project", project)
    assert (code, err) == (2, "workbench: .: is a folder; name a file in it by --out\n")
    code, out, _ = run("audit", "status", "--json", "--project", project)
    assert (code, json.loads(out)["strata"]["main"]["decision"]) == (0, "WARN")


def test_without_a_terminal_a_draw_needs_yes(project: str, run: Run) -> None:
    code, out, err = run("audit", "draw", "--project", project)
    assert code == 2
    assert "10 of 100 pairs" in out
    assert err.count("\n") == 1
    assert "--yes" in err
    assert json.loads(run("audit", "list", "--json", "--project", project)[1]) == []


def test_a_draw_can_be_read_by_a_program(project: str, run: Run) -> None:
    arguments = ("--n", "7", "--seed", "4", "--name", "pilot", "--yes", "--json")
    code, out, _ = run("audit", "draw", *arguments, "--project", project)
    found = json.loads(out)
    assert (code, found["round"], found["n_new"], found["design"]["seed"]) == (
        0,
        "pilot",
        {"main": 7},
        4,
    )


def test_a_round_is_extended_listed_and_closed(project: str, run: Run) -> None:
    run("audit", "draw", "--n", "10", "--yes", "--project", project)
    code, out, _ = run("audit", "extend", "--share", "0.05", "--json", "--project", project)
    assert (code, json.loads(out)["n_new"]) == (0, {"main": 5})
    assert run("audit", "close", "--project", project)[1] == "round round-1 is closed\n"
    assert "closed  labels of j" in run("audit", "list", "--project", project)[1]
    code, _, err = run("audit", "extend", "--n", "1", "--project", project)
    assert (code, err.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("status",), "no round has been drawn"),
        (("certify", "nine"), "no round has been drawn"),
        (("draw", "--line", "0.8", "--warn-below", "0.7", "--yes"), "--line sets both"),
        (("draw", "--label", "k", "--yes"), "no judge is called 'k'"),
        (("draw", "--slice", "mood", "--yes"), "no slice is called"),
        (("extend",), "--n PAIRS or --share SHARE"),
        (("verify", "nothing.json"), "cannot be read"),
        (("verify", "."), "cannot be read"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_two(
    project: str, run: Run, arguments: tuple[str, ...], message: str
) -> None:
    code, _, err = run("audit", *arguments, "--project", project)
    assert code == 2
    assert err.count("\n") == 1
    assert message in err


def test_the_group_is_registered() -> None:
    assert "audit" in {group.name for group in app.registered_groups}
