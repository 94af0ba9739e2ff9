"""`workbench advise` as its user meets it: flags, questions, JSON, and one line when it cannot."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.errors import BadInput
from workbench.cli.main import app
from workbench.project import Project

TASTE = ["--judge", "pairs", "--attacks", "no", "--rules", "none", "--simplest", "yes"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No project is near."""
    monkeypatch.chdir(tmp_path)


def test_flags_give_a_recipe_its_reasons_and_the_next_command() -> None:
    said = CliRunner().invoke(app, ["advise", *TASTE])
    assert said.exit_code == 0
    lines = said.stdout.splitlines()
    assert lines[0] == "rlaif-dpo: RLAIF with DPO"
    assert lines[1].startswith("  - there are no rules to go by")
    assert "what it costs is unknown: there is no project here" in said.stdout
    assert "workbench run --recipe rlaif-dpo" in lines[-1]


def test_what_is_not_answered_is_asked_and_asked_again() -> None:
    said = CliRunner().invoke(
        app, ["advise", "--attacks", "no", "--rules", "none"], input="a big one\nrating\n"
    )
    assert said.exit_code == 0
    assert '"a big one" is no answer to --judge' in said.stdout
    assert said.stdout.count("Which judge can you afford") == 2
    assert "ratings-dpo: " in said.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--judge", "god"], '"god" is no answer to --judge; say none or rating or pairs'),
        (["--json"], "--judge is not answered; say none or rating or pairs"),
        ([], "--judge is not answered; say none or rating or pairs"),  # and nobody is there to ask
        ([*TASTE, "--project", "nowhere"], "no project.toml here or in a folder above"),
    ],
)
def test_what_cannot_be_advised_is_one_line(arguments: list[str], told: str) -> None:
    said = CliRunner().invoke(app, ["advise", *arguments])
    assert isinstance(said.exception, BadInput)
    assert told in str(said.exception)
    assert "\n" not in str(said.exception)


def test_json_holds_each_step_and_null_for_what_is_unknown(tmp_path: Path) -> None:
    Project.create(tmp_path / "mine")
    said = CliRunner().invoke(
        app, ["advise", *TASTE, "--project", "mine", "--budget", "5", "--json"]
    )
    assert said.exit_code == 0
    found = json.loads(said.stdout)
    assert found["recipe"] == "rlaif-dpo"
    assert found["total"]["usd"] is None
    assert found["budget"].startswith("whether 5.00 USD suffice is unknown")
    assert [one["step"] for one in found["steps"]][:2] == ["train sft", "generate"]
    assert all(one["rests_on"] for one in found["steps"])
