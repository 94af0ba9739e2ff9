"""What goes into online training: prompts, what responses are rewarded for, and the models.

Whatever is wrong with settings, prompts and functions is said before a weight is loaded.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from pipelines.errors import BadInput
from pipelines.models.local_model import (
    LOADING_FAILS_WITH,
    quiet_loading,
    source_of,
    tokenizer_of,
    why_not,
)
from pipelines.train.curves import read_curves
from pipelines.train.hacking import warnings_of, watched_in
from pipelines.train.lengths import fit
from pipelines.train.loading import Start, check_memory, check_positions, need, start_from
from pipelines.train.online_watch import Look
from pipelines.train.reward_functions import Function, Reward, Scorer, named_function, of_model
from pipelines.train.rows import PromptRow, Rows, read_rows
from pipelines.train.run import quiet_libraries
from pipelines.train.run_folder import RunFolder, content_hash
from pipelines.train.settings import OnlineSettings, PpoSettings, TrainSettings

JudgeOf = Callable[[str], Scorer]
_JUDGE = "judge:"


@dataclass(frozen=True)
class PreparedOnline:
    """Everything checked; only small things loaded.

    Attributes:
        settings: `[train]`.
        section: The method's, as `asked` has it.
        start: The model that training begins with.
        prompts: To answer.
        held_out: To look at while it trains; may be empty.
        functions: What rewards and watches, by the key of the section that names it.
        base: What relative folders are relative to.
        asked: What the run's folder keeps, and what a run that goes on must ask again.
    """

    settings: TrainSettings
    section: OnlineSettings
    start: Start
    prompts: tuple[PromptRow, ...]
    held_out: tuple[PromptRow, ...]
    functions: dict[str, Scorer]
    base: Path
    asked: dict[str, Any]

    @property
    def watches_training_prompts(self) -> bool:
        """Whether looks are at prompts that it is trained on, for want of others."""
        return self.section.watch_every > 0 and not self.held_out


def prepare_online(
    name: str, settings: TrainSettings, base: Path, prompts: Path, judge_of: JudgeOf | None = None
) -> PreparedOnline:
    """Read and check what goes in.

    Args:
        name: "ppo", "a2c", "rloo" or "grpo".
        settings: `[train]`, resolved.
        base: What relative folders are relative to: the project's folder.
        prompts: A file of prompts, or of rows whose prompts are answered.
        judge_of: The judge of that name; None where there are none.

    Raises:
        BadInput: Settings, prompts and models do not fit each other or this machine.
    """
    section = settings.online(name)
    key = "ppo" if name == "a2c" else name
    where = f"[train.{key}]"
    _check_rewarded(section, where)
    start = start_from(settings, base)
    limit = settings.max_length - section.max_new_tokens
    if limit < 1:
        raise BadInput(
            f"{where} max_new_tokens = {section.max_new_tokens} leaves no room for a prompt in "
            f"max_length = {settings.max_length}; raise max_length"
        )
    # A prompt that is cut at its end asks something else, so it is dropped instead.
    over = "refuse" if settings.over_length == "refuse" else "drop"
    with quiet_libraries():
        rows = fit(_distinct(read_rows(prompts, "prompt")), start.tokenizer, limit, over)
    check_positions(start, max(rows.n_tokens) + section.max_new_tokens, f"{where} max_new_tokens")
    beside = _reward_model_weights(section.reward_model, base) if section.reward_model else 0
    functions = {
        one: _scorer(said, one, where, base, judge_of)
        for one in ("judge", "constitution", "violation", "watch")
        if (said := getattr(section, one))
    }
    at_once = section.batch_size
    if isinstance(section, PpoSettings):
        at_once = min(math.ceil(at_once / section.minibatches), section.microbatch_size)
    tokens = at_once * settings.max_length
    # Beside the policy a reference, which adapters make needless, and PPO's critic: four numbers
    # for each weight that is trained.
    copies = 0 if settings.lora.use else 1
    if isinstance(section, PpoSettings):
        copies += 1 if settings.lora.use else 4
    needed = need(start, settings, tokens, copies=copies, beside=beside)
    check_memory(start, needed)
    asked = {
        "method": name,
        "settings": settings.of_method(name) | {key: section.of_run()},
        "functions": {one: scorer.said for one, scorer in functions.items()},
        "model": start.name,
        "model_hash": _hash_of(Path(start.source)),
        "reward_model_hash": _hash_of(base / section.reward_model)
        if section.reward_model
        else None,
        "data": str(prompts),
        "data_hash": content_hash(prompts),
        "n_rows": {split: len(several) for split, several in rows.splits.items()},
        "left_out": dict(rows.left_out),
        "memory_estimate_bytes": needed.total,
    }
    return PreparedOnline(
        settings, section, start, tuple(rows.train), tuple(rows.held_out), functions, base, asked
    )


def reward_of(prepared: PreparedOnline, device: torch.device) -> Reward:
    """The reward, with its model loaded.

    Raises:
        BadInput: The reward model cannot be loaded.
    """
    section, functions = prepared.section, prepared.functions
    model = _reward_model(prepared, device) if section.reward_model else None
    return Reward(
        model, functions.get("judge"), functions.get("constitution"), section.shaping,
        functions.get("violation"),
    )  # fmt: skip


def look_of(prepared: PreparedOnline, reward: Reward, folder: RunFolder) -> Look:
    """How the run is watched."""
    section = prepared.section
    return Look(
        folder, (prepared.held_out or prepared.prompts)[: section.watch_prompts],
        bool(prepared.held_out), prepared.start.tokenizer, section, reward,
        prepared.functions.get("watch"), prepared.settings.seed,
    )  # fmt: skip


def online_result(prepared: PreparedOnline, folder: RunFolder) -> dict[str, Any]:
    """Final figures: those of the last step, of the last look, and what looks like hacking."""
    curves = read_curves(folder.path)
    figures = {key: value for point in curves for key, value in point.items() if key != "at"}
    figures["steps"] = figures.pop("step", 0)
    warnings = warnings_of(watched_in(curves))
    return {"method": prepared.asked["method"], **figures, "warnings": warnings}


def _check_rewarded(section: OnlineSettings, where: str) -> None:
    if section.reward_model and section.judge:
        raise BadInput(f"{where} names a reward_model and a judge; leave one out")
    if not (section.reward_model or section.judge or section.constitution):
        raise BadInput(
            f"{where} names nothing to be rewarded for; set reward_model, judge or constitution"
        )
    if section.constitution and section.shaping == 0.0 and section.reward_model == section.judge:
        raise BadInput(f"{where} names a constitution alone with shaping = 0; set shaping")
    if section.shaping > 0.0 and not section.constitution:
        raise BadInput(f"{where} has shaping = {section.shaping:g} and no constitution; name one")
    bounded = isinstance(section, PpoSettings) and section.violation_bound < 1.0
    if bounded and not section.violation:
        raise BadInput(f"{where} bounds violations and names no function violation")
    if section.watch and not section.watch_every:
        raise BadInput(f"{where} names a watch with watch_every = 0; set watch_every")


def _scorer(said: str, key: str, where: str, base: Path, judge_of: JudgeOf | None) -> Scorer:
    name = said if key == "judge" else said.removeprefix(_JUDGE)
    if key != "judge" and not said.startswith(_JUDGE):
        return named_function(said, base)
    if key == "violation":
        raise BadInput(f"{where} violation is a judge; name a function that says 1 or 0")
    if judge_of is None:
        raise BadInput(f'{where} {key} names the judge "{name}", and there are none here')
    return judge_of(name)


def _reward_model_weights(name: str, base: Path) -> int:
    """How many weights a reward model has, none of them read.

    Raises:
        BadInput: It is none. Any model loads as a reward model, with a head of chance.
    """
    source = source_of(name, base)
    try:
        with quiet_loading():
            config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    except LOADING_FAILS_WITH as error:
        raise BadInput(why_not(name, "the reward model", error)) from error
    kinds = config.architectures or []
    if config.num_labels != 1 or not any(k.endswith("ForSequenceClassification") for k in kinds):
        raise BadInput(
            f"{name}: is no reward model ({', '.join(kinds) or 'of no known kind'}, "
            f"{config.num_labels} outputs); name one, such as what `workbench train reward` wrote"
        )
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config)
    return sum(weight.numel() for weight in model.parameters())


def _reward_model(prepared: PreparedOnline, device: torch.device) -> Function:
    name = prepared.section.reward_model
    source = source_of(name, prepared.base)
    try:
        with quiet_loading():
            tokenizer = tokenizer_of(name, source)
            model: Any = AutoModelForSequenceClassification.from_pretrained(
                source, num_labels=1, dtype=torch.float32
            )
    except LOADING_FAILS_WITH as error:
        raise BadInput(why_not(name, "the reward model", error)) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    return of_model(model.to(device), tokenizer, prepared.settings.max_length)


def _hash_of(folder: Path) -> str | None:
    return content_hash(folder) if folder.is_dir() else None


def _distinct(rows: Rows) -> Rows:
    """Each prompt once: a file of pairs has it several times."""
    splits: dict[str, list[Any]] = {}
    n_again = 0
    for split, several in rows.splits.items():
        seen: dict[Any, Any] = {}
        for row in several:
            n_again += row.prompt in seen
            seen.setdefault(row.prompt, row)
        splits[split] = list(seen.values())
    left_out = {**rows.left_out, "the same prompt again": n_again} if n_again else rows.left_out
    return Rows(rows.kind, splits, rows.n_in, left_out)
