"""RLOO and GRPO, on TRL's trainers: no critic, a prompt's samples are compared with one another.

RLOO (Ahmadian et al. 2024, arXiv:2402.14740): the baseline of a sample is the mean of the others.
GRPO (Shao et al. 2024, arXiv:2402.03300): of the whole group. Rewards, prompts and looks are those
of PPO; sampling, loss and checkpoints are TRL's. A response whose reward is NaN teaches nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import torch
import transformers
from accelerate import PartialState
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.rloo_config import RLOOConfig
from trl.trainer.rloo_trainer import RLOOTrainer

from pipelines.errors import BadInput, ServiceFailed
from pipelines.models.sampling import end_ids
from pipelines.records import Message
from pipelines.train.arguments import batch_of_a_process, training_arguments
from pipelines.train.curves import append_point
from pipelines.train.hacking import repetition
from pipelines.train.loading import load_model, lora_config
from pipelines.train.online_setup import PreparedOnline, look_of, online_result, reward_of
from pipelines.train.online_watch import Look
from pipelines.train.reward_functions import Reward
from pipelines.train.run import quiet_libraries
from pipelines.train.run_folder import RunFolder
from pipelines.train.saving import save_trained
from pipelines.train.settings import GroupSettings, GrpoSettings, MethodSettings
from pipelines.train.watch import Progress, Watch, nobody


def train_groups(
    prepared: PreparedOnline, folder: RunFolder, on_progress: Progress = nobody
) -> dict[str, Any]:
    """Train by RLOO or GRPO, or go on with training, and write the policy to the run's folder.

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
    section, start, settings = prepared.section, prepared.start, prepared.settings
    if not isinstance(section, GroupSettings):
        raise BadInput(f"{prepared.asked['method']} is not trained in groups")
    state = PartialState(cpu=start.device.type == "cpu")
    with state.main_process_first():
        folder.begin(prepared.asked)
    done = folder.result()
    if done is not None:
        return done
    with quiet_libraries():
        torch.manual_seed(settings.seed)
        model = load_model(start, settings, "language")
        reward = reward_of(prepared, start.device)
        trainer = _trainer(prepared, section, folder, model, reward)
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.add_callback(_Curves(folder.path, on_progress, settings.tensorboard))
        look = look_of(prepared, reward, folder)
        trainer.add_callback(_Looks(look, section.passes))
        checkpoint = folder.checkpoint()
        if state.is_main_process and checkpoint is None:
            look.first(trainer.accelerator.unwrap_model(trainer.model))
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        save_trained(trainer, start, settings, "language", folder)
        if state.is_main_process:
            folder.finish(online_result(prepared, folder))
    state.wait_for_everyone()
    return folder.result() or {}


def _trainer(
    prepared: PreparedOnline, section: GroupSettings, folder: RunFolder, model: Any, reward: Reward
) -> Any:
    settings, start = prepared.settings, prepared.start
    shared = MethodSettings(learning_rate=section.learning_rate, batch_size=section.batch_size)
    # A step of the trainer is a pass; ours is a batch of responses.
    arguments = training_arguments(settings, shared, start, folder) | {
        "max_steps": section.steps * section.passes,
        "save_steps": settings.save_every * section.passes,
        "logging_steps": 1,
        "eval_strategy": "no",
        "eval_steps": None,
        "num_generations": section.samples,
        "num_iterations": section.passes,
        "max_completion_length": section.max_new_tokens,
        "temperature": section.temperature,
        "beta": section.beta,
        "epsilon": section.clip,
        "per_device_train_batch_size": batch_of_a_process(section.batch_size),
    }
    options = {
        "model": model,
        "reward_funcs": _Rewarded(
            reward, end_ids(model, start.tokenizer), section.unfinished_penalty
        ),
        "train_dataset": datasets.Dataset.from_list(
            [{"prompt": [turn.model_dump() for turn in row.prompt]} for row in prepared.prompts]
        ),
        "processing_class": start.tokenizer,
        "peft_config": lora_config(settings, "language"),
    }
    if isinstance(section, GrpoSettings):
        return GRPOTrainer(
            args=GRPOConfig(
                loss_type=section.loss, scale_rewards=section.scale_rewards, **arguments
            ),
            **options,
        )
    return RLOOTrainer(args=RLOOConfig(**arguments), **options)


class _Rewarded:
    """Our reward in the form that TRL calls, with its parts as metrics."""

    __name__ = "reward"  # TRL names its metrics by it

    def __init__(self, reward: Reward, ends: Sequence[int], unfinished_penalty: float):
        self.reward, self.ends, self.penalty = reward, frozenset(ends), unfinished_penalty

    def __call__(
        self, prompts: Sequence[Sequence[Mapping[str, str]]],
        completions: Sequence[Sequence[Mapping[str, str]]],
        completion_ids: Sequence[Sequence[int]], log_metric: Any, **_: Any,
    ) -> list[float]:  # fmt: skip
        turns = [tuple(Message.model_validate(turn) for turn in prompt) for prompt in prompts]
        scores = self.reward(turns, [completion[0]["content"] for completion in completions])
        scored = ~scores.reward.isnan()
        if not scored.any():
            raise ServiceFailed(
                f"the judge scored none of {len(prompts)} responses; look at its server, then "
                "give the same command again"
            )
        finished = torch.tensor([ids[-1] in self.ends for ids in completion_ids])
        figures = {
            **scores.parts,
            "finished": float(finished.float().mean()),
            "repetition": repetition(completion_ids),
            "unscored": 1.0 - float(scored.float().mean()),
        }
        if scores.violation is not None:
            figures["violation_rate"] = float(scores.violation.mean())
        for name, value in figures.items():
            log_metric(name, value)
        rewards: list[float] = (scores.reward - self.penalty * ~finished).tolist()
        return rewards


class _Curves(Watch):
    """TRL's figures under our names and units: the divergence of a response, not of a token."""

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
        logs: dict[str, Any] | None = None, **options: Any,
    ) -> None:  # fmt: skip
        """One point of every curve."""
        said = dict(logs or {})
        if "kl" in said and "completions/mean_length" in said:
            said["kl"] *= said["completions/mean_length"]
        if "clip_ratio/region_mean" in said:
            said["clip_fraction"] = said["clip_ratio/region_mean"]
        kept = {
            name: value
            for name, value in said.items()
            if name == "completions/mean_length" or "/" not in name
        }
        super().on_log(args, state, control, kept, **options)


class _Looks(TrainerCallback):
    """Looks at the same prompts after the steps that are due."""

    def __init__(self, look: Look, passes: int):
        self.look, self.passes = look, passes

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
        model: Any = None, **_: Any,
    ) -> None:  # fmt: skip
        """A point of the looks' curves."""
        step, rest = divmod(state.global_step, self.passes)
        if rest == 0 and state.is_world_process_zero and self.look.due(step):
            append_point(self.look.folder.path, state.global_step, self.look(model))
