"""`workbench train ppo|rloo` as its user runs it: a judge as the reward, sweeps, bad input."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import online_world
import pytest
from protocol_server import ServerHandle

from workbench.cli import main
from workbench.project import Project

SMALL = {
    "batch_size": 8, "steps": 2, "max_new_tokens": 6, "learning_rate": 1e-3,
    "unfinished_penalty": 0.1,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with a model of a few thousand weights and prompts of the sandbox."""
    project = Project.create(tmp_path / "project")
    online_world.build(project.dir)
    return project.dir


@pytest.fixture
def run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Exit code, standard output and standard error of a command."""

    def call(*arguments: str, **section: Any) -> tuple[int, str, str]:
        name = arguments[0]
        small = SMALL if name in ("ppo", "rloo") else {}
        sets = [f"{name}.{key}={value}" for key, value in (small | section).items()]
        sets += ["max_length=64", "tensorboard=false", "device=cpu"]
        options = [word for one in sets for word in ("--set", one)]
        monkeypatch.chdir(folder)
        monkeypatch.setattr(
            "sys.argv",
            ["workbench", "train", *arguments, "--model", "start", "--data", "prompts", *options],
        )
        with pytest.raises(SystemExit) as end:
            main.main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return call


def add_judge(folder: Path, url: str, **keys: Any) -> None:
    section = {"name": "rates", "model": "m", "base_url": url, "mode": "rating", **keys}
    lines = [f"{key} = {json.dumps(value)}" for key, value in section.items()]
    with (folder / "project.toml").open("a") as config:
        config.write("\n".join(["[[judges]]", *lines, ""]))


def test_a_judge_of_the_project_is_the_reward(
    folder: Path, run: Callable[..., Any], protocol_server: ServerHandle
) -> None:
    protocol_server.set(text="Rating: 7")
    add_judge(folder, protocol_server.url)
    code, out, err = run("ppo", "--json", judge="rates")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert result["judge"] == pytest.approx(6 / 9)  # 7 of 1 to 10
    assert result["steps"] == 2
    kept = json.loads((folder / "runs" / "train" / "ppo" / "run.json").read_text())
    assert kept["functions"]["judge"].startswith("rates ")


def test_a_judge_whose_server_is_gone_ends_the_run_with_one_line(
    folder: Path, run: Callable[..., Any], protocol_server: ServerHandle
) -> None:
    protocol_server.set(text="I would rather not.")
    add_judge(folder, protocol_server.url)
    code, _, err = run("ppo", judge="rates")
    assert code == 3
    assert "scored none of 8 responses" in err
    assert "Traceback" not in err


def test_a_sweep_of_lambda_is_a_run_each_and_a_table(folder: Path, run: Callable[..., Any]) -> None:
    (folder / "mine.py").write_text("def half(p, r):\n    return [0.5 for _ in r]\n")
    code, out, _ = run("rloo", "--lambda", "0.5,1", constitution="mine.py:half", samples=2)
    assert code == 0
    table = out.split("lambda")[-1].splitlines()
    assert [line.split()[0] for line in table[1:3]] == ["0.5", "1"]
    assert "constitution" in table[0]
    names = sorted(one.name for one in (folder / "runs" / "train").iterdir())
    assert names == ["rloo-lambda-0.5", "rloo-lambda-1"]
    rewards = [
        json.loads((folder / "runs" / "train" / name / "result.json").read_text())["reward"]
        for name in names
    ]
    assert rewards[1] - rewards[0] == pytest.approx(0.25, abs=0.1)  # less what is cut off


@pytest.mark.parametrize(
    ("arguments", "section", "why"),
    [
        (("ppo", "--lambda", "0,x"), {}, "write numbers"),
        (("ppo", "--lambda", "-1"), {}, "a weight is 0 or more"),
        (("ppo", "--lambda", "0,1"), {}, "names no constitution"),
        (("dpo", "--lambda", "1"), {}, "has no reward to shape"),
        (("ppo",), {"judge": "nobody"}, 'no judge is called "nobody"'),
        (("ppo", "--name", "../elsewhere"), {}, "cannot be the name of a training run"),
        (("rloo",), {"samples": 3}, "not a multiple of samples"),
    ],
)
def test_bad_input_is_one_line(
    run: Callable[..., Any], arguments: tuple[str, ...], section: dict[str, Any], why: str
) -> None:
    code, _, err = run(*arguments, **section)
    assert code == 2
    assert why in err
    assert len(err.strip().splitlines()) == 1
