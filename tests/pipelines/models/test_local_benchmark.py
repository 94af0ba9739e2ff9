"""The benchmark of the local engine runs, and says what it could not measure."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.mark.skipif(torch.cuda.is_available(), reason="a 7B model would really be measured")
def test_the_benchmark_prints_its_table() -> None:
    done = subprocess.run(
        [sys.executable, "judge_local.py", "--questions", "8", "--shapes", "tiny,7B"],
        cwd=BENCHMARKS,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    generate, forward, engine, seven_billion = rows[2:]
    assert [row[2] for row in (generate, forward, engine)] == [
        "`generate(max_new_tokens=1)`",
        "batched forward pass",
        "**local engine**",
    ]
    for row in (forward, engine):
        assert float(row[6].rstrip(" |")) < 1e-4  # all three say the same
    assert seven_billion[0] == "| 7B, long answers"
    assert seven_billion[2:] == ["not measured"] * 4 + ["not measured |"]
