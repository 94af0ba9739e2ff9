"""SIGKILL in the middle of each trainer, then the same command: the run ends in the same place."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch.testing import assert_close

from pipelines.train.curves import read_curves
from pipelines.train.run import METHODS
from pipelines.train.run_folder import RunFolder
from workbench.cli.main import main

WAIT_S = 180.0
N_STEPS = 16


@pytest.fixture(scope="module")
def project(tmp_path_factory, tiny_folder, make_rows, lines):
    """A project with an export in two files, and a run file that saves every other step."""
    folder = tmp_path_factory.mktemp("project")
    lines(folder / "exports" / "trl-train.jsonl", make_rows(24))
    lines(folder / "exports" / "trl-test.jsonl", make_rows(6, "test"))
    (folder / "project.toml").write_text(
        f'[train]\nmodel = "{tiny_folder}"\nmax_length = 96\nmax_steps = {N_STEPS}\n'
        'save_every = 2\nlog_every = 2\ndevice = "cpu"\nlabels = "hard"\nweights = "ignore"\n'
        "tensorboard = false\n"
        + "".join(f"[train.{name}]\nlearning_rate = 1e-3\nbatch_size = 4\n" for name in METHODS)
    )
    return folder


def arguments(project: Path, method: str, name: str) -> list[str]:
    return ["workbench", "train", method, "--project", str(project), "--name", name]


def run_here(project: Path, method: str, name: str) -> RunFolder:
    """The command in this process."""
    before, sys.argv = sys.argv, arguments(project, method, name)
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
    finally:
        sys.argv = before
    return RunFolder(project / "runs" / "train" / name)


def kill_after(pid: int, folder: RunFolder, n_steps: int) -> None:
    """SIGKILL once there is a checkpoint of that many steps."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        whole = folder.checkpoint()
        if whole is not None and int(whole.name.rpartition("-")[2]) >= n_steps:
            os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.005)
    pytest.fail(f"no checkpoint within {WAIT_S:.0f} s")


def assert_same_end(cut: RunFolder, whole: RunFolder) -> None:
    ours, theirs = load_file(cut.model / "model.safetensors"), load_file(
        whole.model / "model.safetensors"
    )  # fmt: skip
    assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    result, expected_result = cut.result(), whole.result()
    assert result is not None
    assert expected_result is not None
    assert result.keys() == expected_result.keys()
    for name, value in expected_result.items():
        if isinstance(value, float):
            assert result[name] == pytest.approx(value, rel=1e-4)
    points, expected = read_curves(cut.path), read_curves(whole.path)
    assert [point["step"] for point in points] == [point["step"] for point in expected]
    for point, other in zip(points, expected, strict=True):
        assert point["loss"] == pytest.approx(other["loss"], rel=1e-4)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "reward"])
def test_a_killed_trainer_ends_in_the_same_place(method, project):
    whole = run_here(project, method, f"{method}-whole")
    cut = RunFolder(project / "runs" / "train" / f"{method}-cut")
    # A fork has everything imported already; what is killed is a process of its own.
    child = multiprocessing.get_context("fork").Process(
        target=run_here, args=(project, method, cut.path.name)
    )
    child.start()
    assert child.pid is not None
    kill_after(child.pid, cut, n_steps=4)
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert cut.result() is None
    assert run_here(project, method, cut.path.name) == cut
    assert_same_end(cut, whole)


def test_a_killed_command_ends_in_the_same_place_and_is_done_once(project, capsys):
    """The same with the command as people start it, twice."""
    command = [sys.executable, "-m", "workbench.cli", *arguments(project, "reward", "cut")[1:]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    cut = RunFolder(project / "runs" / "train" / "cut")
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        kill_after(process.pid, cut, n_steps=4)
    assert process.returncode == -signal.SIGKILL
    torn = cut.checkpoints / "checkpoint-14"  # what a kill while saving leaves
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half")
    run_here(project, "reward", "cut")
    assert "pairwise accuracy, held-out human labels" in capsys.readouterr().out
    assert_same_end(cut, run_here(project, "reward", "reward-whole"))
    n_points = len((cut.path / "curves.jsonl").read_text().splitlines())
    run_here(project, "reward", "cut")
    assert len((cut.path / "curves.jsonl").read_text().splitlines()) == n_points
    changed = (project / "project.toml").read_text().replace(f"= {N_STEPS}", "= 9")
    (project / "project.toml").write_text(changed)
    with pytest.raises(SystemExit, match="2"):
        run_here(project, "reward", "cut")
    assert "was begun with another [train] max_steps" in capsys.readouterr().err
