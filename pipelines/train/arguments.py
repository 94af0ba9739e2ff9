"""What our settings are called by `transformers.TrainingArguments`."""

import math
from typing import Any

from pipelines.train.loading import Start
from pipelines.train.run_folder import RunFolder
from pipelines.train.settings import MethodSettings, TrainSettings


def training_arguments(
    settings: TrainSettings, method: MethodSettings, start: Start, folder: RunFolder, n_rows: int
) -> dict[str, Any]:
    """Keyword arguments for the configuration of any trainer of TRL.

    Args:
        settings: `[train]`.
        method: The section of the method.
        start: Device and precision.
        folder: Where checkpoints go.
        n_rows: Rows to learn from; says how many steps warm up.
    """
    steps = settings.max_steps or math.ceil(
        method.epochs * math.ceil(n_rows / (method.batch_size * settings.accumulate))
    )
    return {
        "output_dir": str(folder.checkpoints),
        "per_device_train_batch_size": method.batch_size,
        "per_device_eval_batch_size": method.batch_size,
        "gradient_accumulation_steps": settings.accumulate,
        "num_train_epochs": method.epochs,
        "max_steps": settings.max_steps or -1,
        "learning_rate": method.learning_rate,
        "lr_scheduler_type": settings.schedule,
        "warmup_steps": math.ceil(settings.warmup_share * steps),
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "seed": settings.seed,
        "bf16": start.bfloat16,
        "use_cpu": start.device.type == "cpu",
        "gradient_checkpointing": settings.gradient_checkpointing,
        "logging_steps": settings.log_every,
        "logging_first_step": True,
        "save_strategy": "steps",
        "save_steps": settings.save_every,
        "save_total_limit": 2,  # the one before stays until the next is whole
        "eval_strategy": "steps" if settings.eval_every else "no",
        "eval_steps": settings.eval_every or None,
        "disable_tqdm": True,  # the command line draws its own
        "report_to": "none",  # curves and TensorBoard are written by `pipelines.train.watch`
        "dataloader_pin_memory": start.device.type == "cuda",
    }
