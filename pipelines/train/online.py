"""One run of PPO, from settings to a model: what goes in, the loop, checkpoints, the watch.

A checkpoint holds policy, critic, optimizer, prices and the state of chance, so that a run that
was cut off goes on and ends in the same place.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

from pipelines.errors import BadInput
from pipelines.models.local_model import (
    LOADING_FAILS_WITH,
    quiet_loading,
    source_of,
    tokenizer_of,
    why_not,
)
from pipelines.models.sampling import sample_ids
from pipelines.train.curves import read_curves
from pipelines.train.hacking import Watched, parted
from pipelines.train.lengths import fit
from pipelines.train.loading import (
    Start,
    check_memory,
    load_model,
    lora_config,
    need,
    start_from,
)
from pipelines.train.ppo import ActorCritic, State, end_ids, ppo_step, token_logps
from pipelines.train.reward_functions import Function, Reward, named_function, of_model
from pipelines.train.rows import PromptRow, Rows, read_rows
from pipelines.train.run_folder import RunFolder, content_hash, write_json
from pipelines.train.settings import PpoSettings, TrainSettings
from pipelines.train.watch import Progress, nobody, open_writer, write_point

_STATE = "state.pt"


@dataclass(frozen=True)
class PreparedOnline:
    """Everything checked; only small things loaded."""

    settings: TrainSettings
    section: PpoSettings
    start: Start
    prompts: tuple[PromptRow, ...]
    held_out: tuple[PromptRow, ...]
    constitution: Function | None
    violation: Function | None
    watch: Function | None
    judge: Function | None
    base: Path
    asked: dict[str, Any]


def prepare_online(
    name: str, settings: TrainSettings, base: Path, prompts: Path, judge: Function | None = None
) -> PreparedOnline:
    """Read and check what goes in.

    Args:
        name: "ppo" or "a2c".
        settings: `[train]`, resolved.
        base: What relative folders are relative to: the project's folder.
        prompts: A file of prompts, or of rows whose prompts are answered.
        judge: Scores responses 0 to 1, instead of a reward model.

    Raises:
        BadInput: Settings, prompts and models do not fit each other or this machine.
    """
    section = settings.a2c() if name == "a2c" else settings.ppo
    start = start_from(settings, base)
    limit = settings.max_length - section.max_new_tokens
    if limit < 1:
        raise BadInput(
            f"max_new_tokens = {section.max_new_tokens} leaves no room for a prompt in max_length "
            f"= {settings.max_length}; raise max_length"
        )
    read = read_rows(prompts, "prompt")
    rows = fit(_distinct(read), start.tokenizer, limit, _no_cut(settings.over_length))
    if not (section.reward_model or judge or section.constitution):
        raise BadInput(
            "[train.ppo] names nothing to be rewarded for; set reward_model, judge or constitution"
        )
    if section.constitution and section.shaping == 0.0:
        raise BadInput("[train.ppo] names a constitution with shaping = 0; set shaping")
    if section.violation_bound < 1.0 and not section.violation:
        raise BadInput("[train.ppo] bounds violations and names no function violation")
    tokens = section.batch_size // section.minibatches * settings.max_length
    needed = need(start, settings, tokens, copies=5)  # a critic that is trained, a reference
    check_memory(start, needed)
    constitution, violation, watch = (
        named_function(one, base) if one else None
        for one in (section.constitution, section.violation, section.watch)
    )
    source, reward_model = Path(start.source), base / section.reward_model
    asked = {
        "method": name,
        "settings": {
            key: value
            for key, value in settings.model_dump(mode="json").items()
            if not isinstance(value, dict) and key not in ("data", "tensorboard", "save_every")
        },
        "section": section.model_dump(mode="json"),
        "lora": settings.lora.model_dump(mode="json"),
        "model": start.name,
        "model_hash": content_hash(source) if source.is_dir() else None,
        "reward_model_hash": (
            content_hash(reward_model) if section.reward_model and reward_model.is_dir() else None
        ),
        "data": str(prompts),
        "data_hash": content_hash(prompts),
        "n_rows": {split: len(several) for split, several in rows.splits.items()},
        "left_out": dict(rows.left_out),
        "memory_estimate_bytes": needed.total,
    }
    return PreparedOnline(
        settings, section, start, tuple(rows.train), tuple(rows.held_out), constitution, violation,
        watch, judge, base, asked,
    )  # fmt: skip


def train_online(
    prepared: PreparedOnline, folder: RunFolder, on_progress: Progress = nobody
) -> dict[str, Any]:
    """Train, or go on with training, and write the policy to the run's folder.

    Raises:
        BadInput: The folder holds another run, or a function of the user's fails.
    """
    settings, section, start = prepared.settings, prepared.section, prepared.start
    accelerator = Accelerator(
        cpu=start.device.type == "cpu", mixed_precision="bf16" if start.bfloat16 else "no"
    )
    with accelerator.main_process_first():
        folder.begin(prepared.asked)
    done = folder.result()
    if done is not None:
        return done
    torch.manual_seed(settings.seed)
    model, reference = _models(prepared, accelerator)
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in model.actor.parameters() if p.requires_grad],
             "lr": section.learning_rate},
            {"params": model.critic.parameters(), "lr": section.value_learning_rate},
        ],
        betas=(0.9, 0.95),
        weight_decay=settings.weight_decay,
    )  # fmt: skip
    reward = _reward(prepared, accelerator)
    generator = torch.Generator(device=accelerator.device)
    generator.manual_seed(settings.seed + accelerator.process_index)
    state = State(kl_price=section.beta)
    _resume(folder, model, optimizer, generator, state)
    wrapped, optimizer = accelerator.prepare(model, optimizer)
    rates = [group["lr"] for group in optimizer.param_groups]
    encoded = [_encode(start.tokenizer, row) for row in prepared.prompts]
    main = accelerator.is_main_process
    writer = open_writer(folder.path) if main and settings.tensorboard else None
    while state.step < section.steps:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * _schedule(settings, state.step, section.steps)
        rows = _batch(prepared, state.step, accelerator)
        figures = ppo_step(
            wrapped, optimizer, reference, start.tokenizer, [encoded[i] for i in rows],
            partial(reward, [prepared.prompts[i].prompt for i in rows]),
            section, state, generator, accelerator, settings.max_grad_norm,
        )  # fmt: skip
        if section.watch_every and state.step % section.watch_every == 0:
            figures |= _watched(prepared, model, reward)
        if main:
            write_point(folder.path, writer, state.step, figures)
            on_progress(state.step, section.steps)
            if state.step % settings.save_every == 0 and state.step < section.steps:
                _save(folder, model, optimizer, generator, state)
    if writer is not None:
        writer.close()
    if main:
        _finish(prepared, folder, model, figures if state.step else {})
    accelerator.wait_for_everyone()
    return folder.result() or {}


def _models(prepared: PreparedOnline, accelerator: Accelerator) -> tuple[ActorCritic, Any]:
    """Policy with critic, and the log-probabilities of the frozen start."""
    settings, start = prepared.settings, prepared.start
    actor = load_model(start, settings, "language").to(accelerator.device)
    try:
        with quiet_loading():
            critic: Any = AutoModelForTokenClassification.from_pretrained(
                start.source, num_labels=1, dtype=torch.float32
            )
    except LOADING_FAILS_WITH as error:
        raise BadInput(why_not(start.name, "the critic", error)) from error
    critic = critic.to(accelerator.device)
    head = critic.get_output_embeddings() or critic.score
    torch.nn.init.zeros_(head.weight)  # it begins by knowing nothing, not by guessing
    if head.bias is not None:
        torch.nn.init.zeros_(head.bias)
    adapter = lora_config(settings, "language")
    if adapter is not None:
        from peft import get_peft_model

        actor = get_peft_model(actor, adapter)

        def reference(*inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            with actor.disable_adapter():
                return token_logps(actor, *inputs)
    else:
        frozen = load_model(start, settings, "language").to(accelerator.device)
        frozen.eval().requires_grad_(False)

        def reference(*inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return token_logps(frozen, *inputs)

    model = ActorCritic(actor, critic)
    model.eval()  # no dropout: the ratio of new to old must come from the step alone
    return model, reference


def _reward(prepared: PreparedOnline, accelerator: Accelerator) -> Reward:
    section = prepared.section
    scored: Function | None = None
    if section.reward_model:
        name = section.reward_model
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
        scored = of_model(model.to(accelerator.device), tokenizer, prepared.settings.max_length)
    return Reward(
        scored, prepared.judge, prepared.constitution, section.shaping, prepared.violation
    )


def _batch(prepared: PreparedOnline, step: int, accelerator: Accelerator) -> list[int]:
    """Rows of this step and process: the prompts in a new order each time round."""
    n, size = len(prepared.prompts), prepared.section.batch_size
    n_processes = accelerator.num_processes
    first = step * size * n_processes + accelerator.process_index * size
    rows, orders = [], {}
    for at in range(first, first + size):
        turn = at // n
        if turn not in orders:
            chance = torch.Generator().manual_seed(prepared.settings.seed + 7919 * turn)
            orders[turn] = torch.randperm(n, generator=chance).tolist()
        rows.append(orders[turn][at % n])
    return rows


def _schedule(settings: TrainSettings, step: int, n_steps: int) -> float:
    """Warm-up, then the rate's schedule down to a tenth."""
    warm = max(1, round(settings.warmup_share * n_steps))
    left = 1.0 - step / n_steps if settings.schedule != "constant" else 1.0
    return min(1.0, (step + 1) / warm) * max(0.1, left)


def _watched(prepared: PreparedOnline, model: ActorCritic, reward: Reward) -> dict[str, float]:
    """What the reward and, apart from it, a held-out judge think of answers to held-out prompts."""
    rows = (prepared.held_out or prepared.prompts)[: prepared.section.watch_prompts]
    tokenizer = prepared.start.tokenizer
    generator = torch.Generator(device=model.actor.device).manual_seed(prepared.settings.seed)
    ids = sample_ids(
        model.actor, [_encode(tokenizer, row) for row in rows], generator,
        pad_id=tokenizer.pad_token_id, end_ids=end_ids(model.actor, tokenizer),
        temperature=prepared.section.temperature, max_new_tokens=prepared.section.max_new_tokens,
    )  # fmt: skip
    texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
    prompts = [row.prompt for row in rows]
    figures = {"held_out_reward": float(reward(prompts, texts).reward.mean())}
    if prepared.watch is not None:
        judged = prepared.watch(prompts, texts)
        figures["held_out_win_rate"] = sum(judged) / len(judged)
    return figures


def _save(
    folder: RunFolder, model: ActorCritic, optimizer: Any, generator: torch.Generator, state: State
) -> None:
    """A checkpoint; its last file says that it is whole, and then older ones go."""
    place = folder.checkpoints / f"checkpoint-{state.step}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    torch.save(
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "generator": generator.get_state(),
        },
        place / _STATE,
    )
    write_json(place / "trainer_state.json", asdict(state))
    for other in folder.checkpoints.glob("checkpoint-*"):
        if other != place:
            shutil.rmtree(other, ignore_errors=True)


def _resume(
    folder: RunFolder, model: ActorCritic, optimizer: Any, generator: torch.Generator, state: State
) -> None:
    place = folder.checkpoint()
    if place is None:
        return
    kept = torch.load(place / _STATE, weights_only=True, map_location=model.actor.device)
    model.load_state_dict(kept["model"])
    optimizer.load_state_dict(kept["optimizer"])
    generator.set_state(kept["generator"].cpu())
    said = json.loads((place / "trainer_state.json").read_text(encoding="utf-8"))
    for key, value in said.items():
        setattr(state, key, value)


def _finish(
    prepared: PreparedOnline, folder: RunFolder, model: ActorCritic, figures: dict[str, float]
) -> None:
    actor = model.actor
    if prepared.settings.lora.use:
        actor = actor.merge_and_unload()
    with quiet_loading():
        actor.save_pretrained(folder.model)
    prepared.start.tokenizer.save_pretrained(folder.model)
    points = [
        Watched(p["held_out_reward"], p["held_out_win_rate"], p["kl"], p["length"])
        for p in read_curves(folder.path)
        if p.get("held_out_win_rate") is not None
    ]
    n = len((prepared.held_out or prepared.prompts)[: prepared.section.watch_prompts])
    folder.finish(
        {
            "method": prepared.asked["method"],
            "steps": prepared.section.steps,
            **figures,
            "warning": parted(points, n),
        }
    )


def _encode(tokenizer: Any, row: PromptRow) -> list[int]:
    ids: list[int] = tokenizer.apply_chat_template(
        [turn.model_dump() for turn in row.prompt], add_generation_prompt=True, return_dict=False
    )
    return ids


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


def _no_cut(over_length: str) -> str:
    """A prompt that is cut at its end asks something else, so it is dropped instead."""
    return "refuse" if over_length == "refuse" else "drop"
