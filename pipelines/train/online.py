"""One run of PPO: models, the loop over its steps, checkpoints and looks, the model it ends with.

A run that was cut off goes on from its last whole checkpoint and ends in the same place.
"""

import hashlib
import math
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from transformers import AutoModelForTokenClassification

from pipelines.errors import BadInput, ServiceFailed
from pipelines.models.local_model import LOADING_FAILS_WITH, quiet_loading, why_not
from pipelines.train.arguments import batch_of_a_process
from pipelines.train.loading import load_model, lora_config
from pipelines.train.online_checkpoint import resume, save
from pipelines.train.online_setup import PreparedOnline, look_of, online_result, reward_of
from pipelines.train.online_watch import prompt_ids
from pipelines.train.ppo import (
    ActorCritic,
    LogProbabilities,
    Players,
    State,
    ppo_step,
    token_logps,
)
from pipelines.train.run import quiet_libraries
from pipelines.train.run_folder import RunFolder
from pipelines.train.settings import PpoSettings, TrainSettings
from pipelines.train.watch import Progress, nobody, open_writer, write_point


def train_online(
    prepared: PreparedOnline, folder: RunFolder, on_progress: Progress = nobody
) -> dict[str, Any]:
    """Train by PPO, or go on with training, and write the policy to the run's folder.

    Args:
        prepared: What goes in.
        folder: The run's; a finished run of the same is returned as it is.
        on_progress: Called with steps done and steps in all.

    Returns:
        The final figures, as in `result.json`.

    Raises:
        BadInput: The folder holds another run, or a function of the user's fails.
        ServiceFailed: The judge that rewards does not answer.
    """
    settings, start = prepared.settings, prepared.start
    section = prepared.section
    if not isinstance(section, PpoSettings):
        raise BadInput(f"{prepared.asked['method']} is not trained by PPO's loop")
    accelerator = Accelerator(
        cpu=start.device.type == "cpu", mixed_precision="bf16" if start.bfloat16 else "no"
    )
    with accelerator.main_process_first():
        folder.begin(prepared.asked)
    done = folder.result()
    if done is not None:
        return done
    with quiet_libraries():
        model, reference = _models(prepared, section, accelerator)
    optimizer = _optimizer(model, section, settings)
    # Before a checkpoint comes in: it holds the rates of its last step, not those to be scheduled.
    rates = [group["lr"] for group in optimizer.param_groups]
    reward = reward_of(prepared, accelerator.device)
    look = look_of(prepared, reward, folder)
    main = accelerator.is_main_process
    state = resume(folder, model, optimizer, State(kl_price=section.beta))
    if main and state.step == 0:
        look.first(model.actor)
    wrapped, optimizer = accelerator.prepare(model, optimizer)
    players = Players(
        wrapped, optimizer, reference, start.tokenizer, accelerator, settings.max_grad_norm
    )
    encoded = [prompt_ids(start.tokenizer, row) for row in prepared.prompts]
    writer = open_writer(folder.path) if main and settings.tensorboard else None
    generator = torch.Generator(device=accelerator.device)
    while state.step < section.steps:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * scheduled(settings, state.step, section.steps)
        generator.manual_seed(_seed(settings.seed, state.step, accelerator.process_index))
        rows = _batch(prepared, state.step, accelerator)
        score = partial(reward, [prepared.prompts[i].prompt for i in rows])
        try:
            figures = ppo_step(
                players, [encoded[i] for i in rows], score, section, state, generator
            )
        except ServiceFailed:  # before anything was learnt: what was paid for is kept
            if main:
                save(folder, model, optimizer, state)
            raise
        if not main:
            continue
        if look.due(state.step):
            figures |= look(model.actor)
        write_point(folder.path, writer, state.step, figures)
        on_progress(state.step, section.steps)
        # The last one too: a kill while the model is written must not cost the last steps.
        if state.step % settings.save_every == 0 or state.step == section.steps:
            save(folder, model, optimizer, state)
    if writer is not None:
        writer.close()
    if main:
        _finish(prepared, folder, model)
    accelerator.wait_for_everyone()
    return folder.result() or {}


def _models(
    prepared: PreparedOnline, section: PpoSettings, accelerator: Accelerator
) -> tuple[ActorCritic, LogProbabilities]:
    """Policy with critic, and the log-probabilities of the frozen start."""
    settings, start, device = prepared.settings, prepared.start, accelerator.device
    with torch.random.fork_rng(devices=[]):  # new weights are drawn from torch's own generator
        torch.manual_seed(settings.seed)
        actor = load_model(start, settings, "language")
        critic = _critic(prepared)
        adapter = lora_config(settings, "language")
        if adapter is not None:
            from peft import get_peft_model

            actor = get_peft_model(actor, adapter)
            # Its head has no adapter: it is trained whole, as that of a reward model.
            critic = get_peft_model(critic, lora_config(settings, "reward"))
    model = ActorCritic(actor.to(device), critic.to(device), section.temperature)
    model.eval()  # no dropout: the ratio of new to old must come from the step alone
    if adapter is not None:

        def without_adapter(
            ids: torch.Tensor, on: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor]:
            with model.actor.disable_adapter():
                return token_logps(model.actor, ids, on, section.temperature)

        return model, without_adapter
    frozen = load_model(start, settings, "language").to(device)
    frozen.eval().requires_grad_(False)
    return model, partial(token_logps, frozen, temperature=section.temperature)


def _critic(prepared: PreparedOnline) -> Any:
    """The start's trunk with a head of one number, which begins at 0: it knows nothing yet."""
    start = prepared.start
    try:
        with quiet_loading():
            critic: Any = AutoModelForTokenClassification.from_pretrained(
                start.source, num_labels=1, dtype=torch.float32
            )
    except LOADING_FAILS_WITH as error:
        raise BadInput(why_not(start.name, "the critic", error)) from error
    heads = [
        layer
        for layer in critic.modules()
        if isinstance(layer, torch.nn.Linear) and layer.out_features == 1
    ]
    for head in heads:
        torch.nn.init.zeros_(head.weight)
        if head.bias is not None:
            torch.nn.init.zeros_(head.bias)
    return critic


def _optimizer(model: ActorCritic, section: PpoSettings, settings: TrainSettings) -> Any:
    groups = ((model.actor, section.learning_rate), (model.critic, section.value_learning_rate))
    return torch.optim.AdamW(
        [
            {"params": [one for one in part.parameters() if one.requires_grad], "lr": rate}
            for part, rate in groups
        ],
        betas=(0.9, 0.95),
        fused=True,
        weight_decay=settings.weight_decay,
    )


def _batch(prepared: PreparedOnline, step: int, accelerator: Accelerator) -> list[int]:
    """Rows of this step and process: the prompts in a new order each time round."""
    n, size = len(prepared.prompts), batch_of_a_process(prepared.section.batch_size)
    first = (step * accelerator.num_processes + accelerator.process_index) * size
    rows: list[int] = []
    orders: dict[int, list[int]] = {}
    for at in range(first, first + size):
        turn = at // n
        if turn not in orders:
            chance = torch.Generator().manual_seed(_seed(prepared.settings.seed, "order", turn))
            orders[turn] = torch.randperm(n, generator=chance).tolist()
        rows.append(orders[turn][at % n])
    return rows


def scheduled(settings: TrainSettings, step: int, n_steps: int) -> float:
    """The share of the learning rate in a step: warm-up, then down to 0 as the schedule says."""
    warm = math.ceil(settings.warmup_share * n_steps)
    if step < warm:
        return (step + 1) / warm
    gone = (step - warm) / max(1, n_steps - warm)
    if settings.schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * gone))
    return 1.0 - gone if settings.schedule == "linear" else 1.0


def _seed(*about: object) -> int:
    """A seed of 32 bits, of which torch uses no more on a CPU."""
    digest = hashlib.sha256(" ".join(map(str, about)).encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _finish(prepared: PreparedOnline, folder: RunFolder, model: ActorCritic) -> None:
    actor = model.actor.merge_and_unload() if prepared.settings.lora.use else model.actor
    with quiet_loading():
        actor.save_pretrained(folder.model)
    prepared.start.tokenizer.save_pretrained(folder.model)
    folder.finish(online_result(prepared, folder))
