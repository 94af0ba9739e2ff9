"""Libraries that would tell their makers of our runs are told not to, before they are loaded."""

import os
import subprocess
import sys

import pytest

_SAYS = "from huggingface_hub import constants; print(constants.HF_HUB_DISABLE_TELEMETRY)"
_SWITCHES = ("HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY", "DO_NOT_TRACK")


@pytest.mark.parametrize("first", ["pipelines.train.settings", "workbench.cli.main"])
def test_trl_tells_the_hub_nothing_of_a_run(first):
    # TRL asks this constant in every trainer's __init__; in CI it is silent anyway.
    environment = {name: value for name, value in os.environ.items() if name not in _SWITCHES}
    said = subprocess.run(
        [sys.executable, "-c", f"import {first}; {_SAYS}"],
        check=True, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert said.stdout.strip() == "True"
