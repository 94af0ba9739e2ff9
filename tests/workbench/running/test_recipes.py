"""Recipes from end to end in the sandbox: real stages, a tiny real model, simulated judges.

What is unchanged is skipped, what was killed goes on, what goes in otherwise is done again.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.evaluate.result import read_result
from workbench.cli import main
from workbench.data_files import data_dir

WORKBENCH = (sys.executable, "-c", "from workbench.cli.main import main; main()")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit code, standard output and standard error of `workbench run`."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["workbench", "run", *arguments])
        try:
            main.main()
        except SystemExit as end:
            code = int(end.code or 0)
        else:
            code = 0
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def with_suites(run: Run, asked: list[str], suites: str) -> None:
    """The recipe's project with these suites only: each is more to sample."""
    code, _, err = run(*asked, "--dry-run")  # makes the project
    assert code == 0, err
    settings = Path(asked[-1]) / "project.toml"
    lines = settings.read_text().splitlines(keepends=True)
    lines = [f"suites = [{suites}]\n" if one.startswith("suites =") else one for one in lines]
    settings.write_text("".join(lines))


def killed_after_the_first_step(arguments: list[str], history: Path) -> None:
    """Run a recipe in a process of its own and kill it while the second step is being done."""
    process = subprocess.Popen(
        [*WORKBENCH, "run", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        if history.exists() and len(json.loads(history.read_text())["steps"]) > 1:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.005)
    process.wait(60)
    assert process.returncode == -signal.SIGKILL


def test_a_recipe_that_was_killed_goes_on_and_then_skips_what_is_done(
    run: Run, tmp_path: Path
) -> None:
    project = tmp_path / "try"
    asked = ["--recipe", "ratings-dpo", "--sandbox", "--quick", "--project", str(project)]
    with_suites(run, asked, "")
    killed_after_the_first_step(asked, project / "runs" / "recipes" / "ratings-dpo.json")
    candidates = project / "runs" / "generate" / "policy" / "candidates.jsonl"
    before = candidates.stat().st_mtime_ns

    code, out, _ = run(*asked)
    assert code == 0, out
    assert "[1/7] generate: nothing that goes into it has changed, skipped" in out
    assert out.endswith("done: 6 steps done, 1 unchanged and skipped\n")
    assert candidates.stat().st_mtime_ns == before
    found = read_result(project / "evaluations" / "ratings-dpo")
    assert found is not None
    assert [one.name for one in found.policies] == ["policy", "dpo"]
    assert "in truth: dpo against policy" in out

    code, out, _ = run(*asked, "--json")
    assert code == 0
    steps = json.loads(out)["steps"]
    assert [one["skipped"] for one in steps] == [True] * 7
    assert steps[-1]["figures"]["true_win_rates"][0]["rate"]["n"] == found.n_prompts

    # Another seed makes another policy: what was there is kept aside, what is before it stays.
    settings = project / "project.toml"
    settings.write_text(settings.read_text().replace("[train]\n", "[train]\nseed = 1\n", 1))
    code, out, _ = run(*asked)
    assert code == 0, out
    assert out.count("skipped") - 1 == 5  # of the last line
    assert "what was there before is kept as runs/train/dpo.1" in out
    assert "what was there before is kept as evaluations/ratings-dpo.1" in out
    assert (project / "runs" / "train" / "dpo.1" / "result.json").exists()


def test_rounds_build_on_one_another_and_stay_done(run: Run, tmp_path: Path) -> None:
    project = tmp_path / "try"
    asked = ["--recipe", "red-team", "--sandbox", "--quick", "--project", str(project)]
    with_suites(run, asked, '"sandbox-red-team"')
    code, out, _ = run(*asked, "--rounds", "1")
    assert code == 0, out
    first = (project / "exports" / "revised-1-pairs.jsonl").read_bytes()
    code, out, _ = run(*asked)  # two rounds where it is quick
    assert code == 0, out
    assert out.endswith("done: 4 steps done, 5 unchanged and skipped\n")
    assert (project / "exports" / "revised-1-pairs.jsonl").read_bytes() == first
    asked_of_it = json.loads((project / "runs/train/defender-2/run.json").read_text())
    assert asked_of_it["model"] == "runs/train/defender-1/model"
    assert asked_of_it["data"].endswith("exports/revised-2-pairs.jsonl")
    found = read_result(project / "evaluations" / "attack-2")
    assert found is not None
    assert found.unknown_data == ("defender-0",)  # demonstrations; who revised is known
    table = out[out.index("round  ") :].splitlines()
    assert "Red team (sandbox)" in table[0]
    assert [row.split()[0] for row in table[1:4]] == ["0", "1", "2"]
    code, out, _ = run(*asked)
    assert out.endswith("done: 0 steps done, 9 unchanged and skipped\n")


def test_a_plan_is_said_without_doing_anything(run: Run, tmp_path: Path) -> None:
    project = tmp_path / "try"
    code, out, _ = run(
        "--recipe", "alternating", "--sandbox", "--dry-run", "--project", str(project)
    )
    assert code == 0
    assert len(out.splitlines()) == 1 + 3 * 10
    assert not (project / "runs").exists()


def test_every_recipe_is_listed(run: Run) -> None:
    code, out, _ = run("--recipe", "list")
    assert code == 0
    names = [line.split()[0] for line in out.splitlines()]
    assert names == sorted(path.stem for path in (data_dir() / "recipes").glob("*.toml"))


def test_what_cannot_be_done_is_one_line(run: Run, tmp_path: Path) -> None:
    project = tmp_path / "mine"
    sandbox = ["--sandbox", "--project", str(project)]
    for arguments, said in (
        (["--recipe", "rlhf", *sandbox], '"rlhf" is no recipe and no file; there are: alternating'),
        (["bake", "--recipe", "rlaif-dpo", *sandbox], '"bake" is no stage; there are: generate'),
        (["--rounds", "2", *sandbox], "--rounds is for recipes"),
        (["export", "--recipe", "rlaif-dpo", *sandbox], "run `workbench pairs` first"),
    ):
        code, _, err = run(*arguments)
        assert code == 2
        assert said in err
        assert len(err.splitlines()) == 1
    own = tmp_path / "own"
    own.mkdir()
    (own / "project.toml").write_text("")
    code, _, err = run("--recipe", "rlaif-dpo", "--sandbox", "--project", str(own))
    assert (code, len(err.splitlines())) == (2, 1)
    assert "is a project of your own" in err
    code, _, err = run("--recipe", "rlaif-ppo", "--project", str(own))
    assert code == 2
    assert 'is like "policy", and project.toml has no such section' in err
