"""Curves for the page and for TensorBoard are the same figures."""

import struct
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from pipelines.train.curves import read_curves
from pipelines.train.watch import figures_of, open_writer, write_point


def events(path: Path) -> list[Event]:
    """Of a file of records: length (8 bytes), its checksum (4), the record, its checksum (4)."""
    data, found, at = path.read_bytes(), [], 0
    while at < len(data):
        (n,) = struct.unpack_from("<Q", data, at)
        found.append(Event.FromString(data[at + 12 : at + 12 + n]))
        at += 12 + n + 4
    return found


def test_tensorboard_is_given_every_point_of_the_curves(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    for step in (1, 2, 5):
        write_point(tmp_path, writer, step, {"loss": 1.0 / step, "held_out_loss": 2.0})
    writer.close()
    (file,) = (tmp_path / "tensorboard").iterdir()
    said = [(one.step, value.tag, value.simple_value) for one in events(file)
            for value in one.summary.value]  # fmt: skip
    points = read_curves(tmp_path)
    assert [step for step, tag, _ in said if tag == "loss"] == [1, 2, 5]
    assert [value for _, tag, value in said if tag == "loss"] == pytest.approx(
        [point["loss"] for point in points]
    )
    assert {tag for _, tag, _ in said} == {"loss", "held_out_loss"}


def test_figures_have_the_names_of_the_pages_and_timings_are_left_out() -> None:
    logs = {
        "grad_norm": 1.5,
        "eval_rewards/accuracies": 0.7,
        "step_time": 3.0,
        "epoch": 1,
        "x": "y",
    }
    assert figures_of(logs) == {"gradient_norm": 1.5, "held_out_accuracy": 0.7}
