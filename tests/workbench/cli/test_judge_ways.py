"""Checks, the hard rule and the route, from a real server's answers to labels that are stored."""

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from protocol_server import ServerHandle

from pipelines.importing import import_file
from pipelines.preferences.combine import combine_judge
from workbench.cli import main
from workbench.project import Project

N = 12


@pytest.fixture
def folder(tmp_path: Path, protocol_server: ServerHandle) -> Path:
    """Pairs, some about medicine, with an imported judge that always prefers A."""
    project = Project.create(tmp_path / "p")
    rows = [
        {
            "id": f"p{k}",
            "prompt": f"Question {k}",
            "response_a": f"Answer one of {k}.",
            "response_b": f"Answer two of {k}.",
            "subset": "medical" if k < 4 else "chat",
            "ai": [{"judge": "sol", "order": "ab", "p_a": 0.9}],
        }
        for k in range(N)
    ]
    pairs = tmp_path / "in.jsonl"
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    import_file(project.store, pairs, project.config)
    config = project.dir / "project.toml"
    text = config.read_text("utf-8").replace("subsets = []", 'subsets = ["medical"]')
    section = '[[judges]]\nname = "{}"\nmodel = "m"\nbase_url = "{}"\nmode = "{}"\n{}\n'
    for name, mode, more in (
        ("checker", "check", 'constitution = "brand-voice"'),
        ("careful", "verdict", 'route = "critical"\nabstain_below = 0'),
    ):
        text += section.format(name, protocol_server.url, mode, more)
    config.write_text(text, "utf-8")
    return project.dir


@pytest.fixture
def workbench(folder: Path, monkeypatch: Any, capsys: Any) -> Any:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["workbench", *arguments, "--project", str(folder)])
        with pytest.raises(SystemExit) as ended:
            main.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def test_checks_become_a_rule_that_can_be_audited_and_that_pairs_apply(
    workbench: Any, folder: Path, protocol_server: ServerHandle
) -> None:
    code, _, err = workbench("judge", "rule", "sol")
    assert (code, "nobody has checked a pair" in err) == (2, True)
    protocol_server.set(text="Violation: severe")
    code, out, err = workbench("judge", "checker")
    assert (code, err) == (0, "")
    assert f"checker: {N} of {N} judged" in out
    code, out, _ = workbench("judge", "rule", "sol", "--json")
    found = json.loads(out)
    # Everything is severe on both sides, so every pair is dropped, counted and flagged.
    assert (code, found["n_dropped"], found["checks"]) == (0, N, "checker")
    assert found["flags"] == {"both violate severely": N}
    code, out, _ = workbench("judge", "rule", "sol", "--both-severe", "judge", "--json")
    assert json.loads(out)["n_dropped"] == 0
    opened = Project.open(folder)
    assert (combine_judge(opened.annotations(), "rule:sol").label == 0).all()
    config = folder / "project.toml"
    text = config.read_text("utf-8")
    text = text.replace('constitution = "filter"', 'constitution = "rule"')
    config.write_text(text.replace('both_severe = "drop"', 'both_severe = "judge"'), "utf-8")
    code, out, err = workbench("pairs", "--label", "sol", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["flags"] == {"both violate severely": N}
    table = pq.read_table(folder / "runs" / "pairs" / "pairs.parquet")
    assert table["flag"].to_pylist() == ["both violate severely"] * N


def test_a_route_asks_each_judge_about_its_own_pairs_and_is_one_judge(
    workbench: Any, folder: Path, protocol_server: ServerHandle
) -> None:
    protocol_server.set(text="Winner: tie\nConfidence: 1")
    code, out, _ = workbench("judge", "careful", "--dry-run", "--json")
    assert json.loads(out)["judges"][0]["n_pending"] == 8
    code, out, _ = workbench("judge", "careful")
    assert (code, "careful: 8 of 8 judged" in out) == (0, True)
    assert protocol_server.stats()["requests"] == 8
    code, out, _ = workbench("judge", "route", "sol", "careful")
    assert code == 0
    assert "critical: 4 of 4 pairs labelled by careful" in out
    label = combine_judge(Project.open(folder).annotations(), "route:sol|careful").label
    assert label.tolist() == [2] * 4 + [0] * 8
