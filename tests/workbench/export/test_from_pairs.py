"""What `workbench pairs` made leaves as it was made, and only while it is up to date."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from workbench.cli.main import app
from workbench.project import Project

SECTION = """
[pairs]
correct = false
recalibrate = "off"
min_confidence = 0.6
reweight = "prompt"
test_share = 0.2
validation_share = 0.2
"""


@pytest.fixture
def made(project: Project) -> Project:
    config = project.dir / "project.toml"
    text = config.read_text(encoding="utf-8")
    start, end = text.index("[pairs]"), text.index("[judging]")
    config.write_text(text[:start] + SECTION + "\n" + text[end:], encoding="utf-8")
    assert workbench(project, "pairs").exit_code == 0
    return project


def workbench(project: Project, *arguments: str) -> Any:
    return CliRunner().invoke(app, [*arguments, "--project", str(project.dir)])


def pairs_table(project: Project) -> dict[str, dict[str, Any]]:
    rows = pq.read_table(project.dir / "runs" / "pairs" / "pairs.parquet").to_pylist()
    return {row["id"]: row for row in rows if row["dropped"] is None}


def test_rows_are_the_made_pairs_with_their_weights_in_a_file_for_each_split(made: Project) -> None:
    said = workbench(made, "export", "trl", "--json")
    assert said.exit_code == 0, said.output
    done = json.loads(said.stdout)
    assert done["made"]["label"] == "sol"
    wanted = pairs_table(made)
    seen: dict[str, str] = {}
    for split in ("train", "validation", "test"):
        path = made.dir / "exports" / f"trl-{split}.jsonl"
        rows = [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]
        assert len(rows) == done["rows"][split] > 0
        for row in rows:
            pair = wanted[row["pair_id"]]
            seen[row["pair_id"]] = split
            assert (pair["split"], pair["weight"]) == (split, row["weight"])
            p_chosen = pair["p_a"] if pair["label"] == "A" else 1.0 - pair["p_a"]
            assert row["p_chosen"] == pytest.approx(p_chosen)
            assert row["chosen"].startswith("a" if pair["label"] == "A" else "b")
    assert seen.keys() == wanted.keys()
    assert len({row["weight"] for row in wanted.values()}) > 1
    card = (made.dir / "exports" / "trl.jsonl.card.md").read_text("utf-8")
    assert "These are the pairs that `workbench pairs` made" in card
    assert "reweight prompt" in card
    lost = sum(n for step in done["counts"]["steps"] for n in step["dropped"].values())
    assert done["counts"]["n_pairs"] == len(wanted) + lost


def test_a_folder_has_the_splits_and_datasets_reads_them(made: Project) -> None:
    said = workbench(made, "export", "hf-folder", "--from", "pairs")
    assert said.exit_code == 0, said.output
    assert "as `workbench pairs` made them" in said.output
    card = (made.dir / "exports" / "hf-folder" / "README.md").read_text("utf-8")
    for split in ("train", "validation", "test"):
        assert f"  - split: {split}" in card


@pytest.mark.parametrize(
    "arguments",
    [("--from", "labels"), ("--label", "sol"), ("--test-share", "0.1"), ("--ties", "half")],
)
def test_whoever_asks_for_something_else_gets_it(made: Project, arguments: tuple[str, str]) -> None:
    said = workbench(made, "export", "trl", "--dry-run", "--json", *arguments)
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["made"] is None


def run(project: Project, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "workbench.cli", *arguments, "--project", str(project.dir)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_changed_settings_or_labels_make_it_out_of_date_and_that_is_said(
    made: Project, draw: Any
) -> None:
    assert json.loads(run(made, "export", "trl", "--dry-run", "--json").stdout)["made"]
    opened = draw(made)
    opened.vote(opened.pair_ids()[0], "ana", "B")
    plain = run(made, "export", "trl", "--dry-run", "--json")
    assert json.loads(plain.stdout)["made"] is None
    assert "runs/pairs is out of date (people's labels changed)" in plain.stderr
    insisted = run(made, "export", "trl", "--from", "pairs")
    assert insisted.returncode == 2
    assert "people's labels changed; run `workbench pairs` again" in insisted.stderr
    assert run(made, "pairs").returncode == 0
    config = made.dir / "project.toml"
    config.write_text(config.read_text("utf-8").replace("min_confidence = 0.6", ""), "utf-8")
    assert "the section pairs of project.toml changed" in run(made, "export", "trl").stderr


def test_what_contradicts_it_is_refused_in_one_sentence(made: Project, tmp_path: Path) -> None:
    for arguments, says in (
        (("export", "pairs", "--from", "pairs"), "take another format"),
        (("export", "trl", "--from", "pairs", "--human-only"), "--human-only was decided when"),
    ):
        said = run(made, *arguments)
        assert said.returncode == 2
        assert says in said.stderr
        assert said.stderr.count("\n") == 1
    (made.dir / "runs" / "pairs" / "manifest.json").write_text("{}")
    assert "`workbench pairs` makes it again" in run(made, "export", "trl").stderr
    (made.dir / "runs" / "pairs" / "manifest.json").unlink()
    assert "run `workbench pairs` first" in run(made, "export", "trl", "--from", "pairs").stderr
