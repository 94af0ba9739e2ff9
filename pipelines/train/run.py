"""One training run, from settings to a model: the order in which things happen.

Whatever is wrong with data or settings is said before a weight is loaded. A run that was cut off
goes on from its last whole checkpoint when the same is asked again, and ends in the same place.
"""

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from accelerate import PartialState

from pipelines.errors import BadInput
from pipelines.train.arguments import batch_of_a_process, training_arguments
from pipelines.train.batching import ByLength
from pipelines.train.dpo import dpo_trainer, preference_dataset
from pipelines.train.kto import check_replies, kto_trainer, reply_dataset
from pipelines.train.lengths import fit
from pipelines.train.loading import (
    Head,
    Need,
    Start,
    check_memory,
    check_positions,
    load_model,
    lora_config,
    need,
    start_from,
)
from pipelines.train.orpo import orpo_trainer
from pipelines.train.reward import reward_dataset, reward_trainer, rewards
from pipelines.train.reward_score import reward_score
from pipelines.train.row_files import row_files
from pipelines.train.rows import Kind, Rows, read_rows
from pipelines.train.run_folder import RunFolder, content_hash
from pipelines.train.saving import save_trained
from pipelines.train.settings import (
    DpoSettings,
    MethodSettings,
    SftSettings,
    TrainSettings,
)
from pipelines.train.sft import demonstration_dataset, sft_trainer
from pipelines.train.watch import Progress, Watch, figures_of, nobody


@dataclass(frozen=True)
class Method:
    """What sets one method apart."""

    kind: Kind
    head: Head
    trainer: Callable[..., Any]


METHODS: Mapping[str, Method] = {
    "sft": Method("demonstration", "language", sft_trainer),
    "reward": Method("preference", "reward", reward_trainer),
    "dpo": Method("preference", "language", dpo_trainer),
    "kto": Method("reply", "language", kto_trainer),
    "orpo": Method("preference", "language", orpo_trainer),
}


@dataclass(frozen=True)
class Prepared:
    """Everything checked, nothing loaded."""

    name: str
    method: Method
    settings: TrainSettings
    section: MethodSettings
    start: Start
    rows: Rows
    asked: dict[str, Any]


def prepare(name: str, settings: TrainSettings, base: Path, data: Path) -> Prepared:
    """Read and check what goes in.

    Args:
        name: One of `METHODS`.
        settings: `[train]`, resolved.
        base: What relative folders are relative to: the project's folder.
        data: A file or folder of rows.

    Raises:
        BadInput: Settings, data and model do not fit each other or this machine.
    """
    method = METHODS[name]
    section: MethodSettings = getattr(settings, name)
    start = start_from(settings, base)
    PartialState(cpu=start.device.type == "cpu")  # how many processes there are, and on what
    rows = _as_asked(settings, read_rows(data, method.kind))
    _check_labels(name, settings, rows)
    if method.kind == "reply":
        check_replies(rows.train, batch_of_a_process(section.batch_size))
    vocabulary = start.config.get_text_config().vocab_size
    with quiet_libraries():  # its own word on long rows says less than ours
        rows = fit(rows, start.tokenizer, settings.max_length, settings.over_length, vocabulary)
    check_positions(start, max(rows.n_tokens), "max_length")
    needed = _need(name, settings, section, start, rows)
    check_memory(start, needed)
    source = Path(start.source)
    asked = {
        "method": name,
        "settings": settings.of_method(name),
        "model": start.name,
        "model_hash": content_hash(source) if source.is_dir() else None,
        "data": str(data),
        "data_hash": content_hash(*(file for _, file in row_files(data))),
        "n_rows": {split: len(several) for split, several in rows.splits.items()},
        "left_out": dict(rows.left_out),
        "memory_estimate_bytes": needed.total,
    }
    return Prepared(name, method, settings, section, start, rows, asked)


def train(prepared: Prepared, folder: RunFolder, on_progress: Progress = nobody) -> dict[str, Any]:
    """Train, or go on with training, and write the model to the run's folder.

    Args:
        prepared: What goes in.
        folder: The run's; a finished run of the same is returned as it is.
        on_progress: Called with steps done and steps in all.

    Returns:
        The final figures, as in `result.json`.

    Raises:
        BadInput: The folder holds another run.
    """
    state = PartialState(cpu=prepared.start.device.type == "cpu")
    with state.main_process_first():
        folder.begin(prepared.asked)
    done = folder.result()
    if done is not None:
        return done
    torch.manual_seed(prepared.settings.seed)
    with quiet_libraries():
        model = load_model(prepared.start, prepared.settings, prepared.method.head)
        trainer = _trainer(prepared, folder, model)
        # What it prints by itself would stand between our own lines.
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.add_callback(Watch(folder.path, on_progress, prepared.settings.tensorboard))
        checkpoint = folder.checkpoint()
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        result = {"method": prepared.name, **_figures(prepared, trainer)}
        save_trained(trainer, prepared.start, prepared.settings, prepared.method.head, folder)
        if state.is_main_process:
            if prepared.name == "reward":
                result["held_out_pairs"] = _score(prepared, folder)
            folder.finish(result)
    state.wait_for_everyone()
    return folder.result() or result


def _figures(prepared: Prepared, trainer: Any) -> dict[str, Any]:
    """Loss over the last steps and figures on held-out rows; null where there are none."""
    # Not the trainer's mean over the run: it forgets the steps before a run was cut off.
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    held_out = figures_of(trainer.evaluate()) if prepared.rows.held_out else {}
    return {
        "steps": trainer.state.global_step,
        "n_train": len(prepared.rows.train),
        "n_held_out": len(prepared.rows.held_out),
        "loss": losses[-1] if losses else None,
        **held_out,
    }


def _score(prepared: Prepared, folder: RunFolder) -> dict[str, Any]:
    """How the saved reward model ranks the held-out pairs."""
    start, rows = prepared.start, prepared.rows.held_out
    saved = replace(start, source=str(folder.model))
    model = load_model(saved, prepared.settings, "reward").to(start.device)
    texts = [(row.prompt, row.chosen) for row in rows]
    texts += [(row.prompt, row.rejected) for row in rows]
    with torch.autocast(start.device.type, torch.bfloat16, enabled=start.bfloat16):
        found = rewards(model, start.tokenizer, texts, prepared.settings.max_length)
    chosen, rejected = found[: len(rows)], found[len(rows) :]
    return reward_score(rows, [c - r for c, r in zip(chosen, rejected, strict=True)])


def _trainer(prepared: Prepared, folder: RunFolder, model: Any) -> Any:
    settings, section, rows = prepared.settings, prepared.section, prepared.rows
    data, held_out = (
        _dataset(prepared, several) if several else None for several in (rows.train, rows.held_out)
    )
    arguments = training_arguments(settings, section, prepared.start, folder)
    if held_out is None:
        arguments |= {"eval_strategy": "no", "eval_steps": None}
    adapter = lora_config(settings, prepared.method.head)
    trainer = prepared.method.trainer(
        section, model, prepared.start, data, held_out, settings.max_length, arguments, adapter
    )
    if (
        settings.group_by_length
        and isinstance(trainer, ByLength)
        and not _compares_batches(section)
    ):
        trainer.n_tokens = rows.n_tokens
    return trainer


def _dataset(prepared: Prepared, rows: list[Any]) -> datasets.Dataset:
    match prepared.method.kind:
        case "demonstration":
            return demonstration_dataset(rows)
        case "reply":
            return reply_dataset(rows)
    settings = prepared.settings
    if prepared.name == "reward":
        return reward_dataset(
            rows, prepared.start.tokenizer, settings.max_length, settings.labels,
            settings.reward.margin,
        )  # fmt: skip
    return preference_dataset(rows, settings.labels)


def _need(
    name: str, settings: TrainSettings, section: MethodSettings, start: Start, rows: Rows
) -> Need:
    """Memory for batches of the longest rows."""
    n_texts = 2 if rows.kind == "preference" else 1
    packed = isinstance(section, SftSettings) and section.packing
    longest = settings.max_length if packed else max(rows.n_tokens)
    tokens = n_texts * batch_of_a_process(section.batch_size) * longest
    beside = isinstance(section, DpoSettings) and not section.precompute_reference
    return need(start, settings, tokens, copies=int(beside and not settings.lora.use))


def _compares_batches(section: MethodSettings) -> bool:
    """Whether rows of a batch are compared with each other, so that it should be a fair sample."""
    return isinstance(section, DpoSettings) and section.loss in ("aot", "aot_unpaired")


def _as_asked(settings: TrainSettings, rows: Rows) -> Rows:
    """Pairs without their weights, or with hard labels, where that is asked.

    A tie as a hard label would teach that the one called chosen is surely better: it is left out.
    """
    if rows.kind != "preference":
        return rows
    splits, left_out = dict(rows.splits), dict(rows.left_out)
    if settings.weights == "ignore":
        splits = {
            split: [replace(row, weight=1.0) for row in several]
            for split, several in splits.items()
        }
    if settings.labels == "hard":
        n_before = sum(map(len, splits.values()))
        splits = {
            split: [row for row in several if row.p_chosen > 0.5]
            for split, several in splits.items()
        }
        if n_ties := n_before - sum(map(len, splits.values())):
            left_out["tie"] = left_out.get("tie", 0) + n_ties
    return replace(rows, splits=splits, left_out=left_out)


def _check_labels(name: str, settings: TrainSettings, rows: Rows) -> None:
    """Losses that cannot use soft labels or weights must not be given any in silence."""
    if rows.kind != "preference":
        return
    soft = settings.labels == "soft" and any(row.p_chosen != 1.0 for row in rows.train)
    weighted = len({row.weight for row in rows.train}) > 1
    if name == "orpo":
        what = "orpo"
    elif name == "dpo" and settings.dpo.loss in ("aot", "aot_unpaired"):
        what = f'loss "{settings.dpo.loss}"'
    else:
        return
    if soft:
        raise BadInput(
            f'{what} knows no soft labels and the data have them; set labels = "hard" under '
            "[train], or give --set labels=hard"
        )
    if weighted:
        raise BadInput(
            f'{what} knows no weights and the data have them; set weights = "ignore" under '
            "[train], or give --set weights=ignore"
        )


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """No bars and notes of the libraries on the terminal: progress is drawn by the command."""
    before = (
        transformers.logging.get_verbosity(),
        transformers.logging.is_progress_bar_enabled(),
        datasets.utils.logging.is_progress_bar_enabled(),
        logging.getLogger("trl").level,
        os.environ.get("TQDM_DISABLE"),
    )
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.utils.logging.disable_progress_bar()
    logging.getLogger("trl").setLevel(logging.ERROR)
    os.environ["TQDM_DISABLE"] = "1"  # TRL reads it when it computes reference log-probabilities
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, module=r"(trl|transformers)")
            yield
    finally:
        transformers.logging.set_verbosity(before[0])
        if before[1]:
            transformers.logging.enable_progress_bar()
        if before[2]:
            datasets.utils.logging.enable_progress_bar()
        logging.getLogger("trl").setLevel(before[3])
        del os.environ["TQDM_DISABLE"]
        if before[4] is not None:
            os.environ["TQDM_DISABLE"] = before[4]
