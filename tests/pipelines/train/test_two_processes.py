"""Two processes of `accelerate launch` come to the losses of one, which is this process."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch.testing import assert_close

from pipelines.train.curves import read_curves
from pipelines.train.run_folder import RunFolder

METHODS = ("sft", "reward", "dpo")
SCRIPT = Path(__file__).with_name("three_trainers.py")


@pytest.fixture(scope="module")
def project(tmp_path_factory, tiny_folder, make_rows, lines):
    folder = tmp_path_factory.mktemp("project")
    lines(folder / "exports" / "trl-train.jsonl", make_rows(32))
    lines(folder / "exports" / "trl-test.jsonl", make_rows(7, "test"))
    (folder / "project.toml").write_text(
        f'[train]\nmodel = "{tiny_folder}"\nmax_length = 96\nlog_every = 1\naccumulate = 2\n'
        'device = "cpu"\ntensorboard = false\n'
        + "".join(
            f"[train.{name}]\nlearning_rate = 1e-3\nbatch_size = 4\nepochs = 2\n"
            for name in METHODS
        )
    )
    return folder


def test_two_processes_come_to_the_losses_of_one(project, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["", str(project), "-one", *METHODS])
    runpy.run_path(str(SCRIPT))
    said = subprocess.run(
        [
            sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2",
            "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
            str(SCRIPT), str(project), "-two", *METHODS,
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout.count("dpo of ") == 1  # one of the two speaks
    for method in METHODS:
        one, two = (
            RunFolder(project / "runs" / "train" / (method + end)) for end in ("-one", "-two")
        )
        points, expected = read_curves(two.path), read_curves(one.path)
        assert [point["step"] for point in points] == list(range(1, 9))
        for point, other in zip(points, expected, strict=True):
            assert point["loss"] == pytest.approx(other["loss"], rel=1e-4)
            assert point["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=1e-3)
        weights = [load_file(each.model / "model.safetensors") for each in (two, one)]
        assert_close(*weights, rtol=1e-3, atol=1e-5)
        result, alone = two.result(), one.result()
        assert result is not None
        assert alone is not None
        assert result["n_held_out"] == 7
        for name in ("held_out_accuracy", "held_out_margin"):
            if name in alone:
                assert result[name] == pytest.approx(alone[name], rel=1e-3, abs=1e-5)
