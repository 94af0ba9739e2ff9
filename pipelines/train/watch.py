"""Writes a trainer's figures to the run's curves while it runs, and tells who draws progress."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from pipelines.train.curves import append_point

Progress = Callable[[int, int], None]

# What trainers call their figures -> the names on our pages. Others keep their own.
_NAMES = {
    "grad_norm": "gradient_norm",
    "rewards/accuracies": "accuracy",
    "rewards/margins": "margin",
    "completions/mean_length": "length",
    "mean_length": "length",
}
_NOT_CURVES = (
    "total_flos",
    "train_",
    "epoch",
    "num_",
    "step_time",
    "eval_runtime",
    "eval_samples_",
    "eval_steps_",
)


def curve_name(name: str) -> str:
    """The name of a trainer's figure on our pages; `held_out_...` for those of evaluation."""
    if name.startswith("eval_"):
        return "held_out_" + curve_name(name.removeprefix("eval_"))
    return _NAMES.get(name, name)


def figures_of(logs: Mapping[str, Any]) -> dict[str, float]:
    """A trainer's log under our names, without what says nothing of the model."""
    return {
        curve_name(name): float(value)
        for name, value in logs.items()
        if isinstance(value, int | float) and not name.startswith(_NOT_CURVES)
        and not name.startswith("eval_num_")
    }  # fmt: skip


def nobody(step: int, n_steps: int) -> None:
    """Progress that nobody draws."""


class Watch(TrainerCallback):
    """Curves to `curves.jsonl` and, where wanted, to TensorBoard. Only the main process writes."""

    def __init__(self, folder: Path, on_progress: Progress = nobody, tensorboard: bool = True):
        self.folder, self.on_progress = folder, on_progress
        self.tensorboard = tensorboard
        self.writer: Any = None
        self.began = time.monotonic()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Open TensorBoard's file."""
        if self.tensorboard and state.is_world_process_zero:
            self.writer = open_writer(self.folder)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Progress; the last step is logged too, whichever it is."""
        if state.global_step >= state.max_steps:
            control.should_log = True
        if state.is_world_process_zero:
            self.on_progress(state.global_step, state.max_steps)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """One point of every curve."""
        if not state.is_world_process_zero or not logs:
            return
        if values := figures_of(logs):
            write_point(self.folder, self.writer, state.global_step, values)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Close TensorBoard's file."""
        if self.writer is not None:
            self.writer.close()
            self.writer = None


def open_writer(folder: Path) -> Any:
    """A writer of TensorBoard's files: `tensorboard --logdir` shows them while the run goes on."""
    return SummaryWriter(str(folder / "tensorboard"), flush_secs=5)


def write_point(folder: Path, writer: Any, step: int, values: dict[str, float]) -> None:
    """One step's figures to the curves and, with a writer, to TensorBoard."""
    append_point(folder, step, values)
    if writer is not None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)
