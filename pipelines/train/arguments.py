"""What our settings are called by `transformers.TrainingArguments`."""

from typing import Any

from accelerate import PartialState

from pipelines.errors import BadInput
from pipelines.train.loading import Start
from pipelines.train.run_folder import RunFolder
from pipelines.train.settings import MethodSettings, TrainSettings


def training_arguments(
    settings: TrainSettings, method: MethodSettings, start: Start, folder: RunFolder
) -> dict[str, Any]:
    """Keyword arguments for the configuration of any trainer of TRL.

    Args:
        settings: `[train]`.
        method: The section of the method.
        start: Device and precision.
        folder: Where checkpoints go.
    """
    a_process = batch_of_a_process(method.batch_size)
    return {
        "output_dir": str(folder.checkpoints),
        "per_device_train_batch_size": a_process,
        "per_device_eval_batch_size": a_process,
        "gradient_accumulation_steps": settings.accumulate,
        "num_train_epochs": method.epochs,
        "max_steps": settings.max_steps or -1,
        "learning_rate": method.learning_rate,
        "lr_scheduler_type": settings.schedule,
        "warmup_steps": settings.warmup_share,  # below 1 it is a share of all steps
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "seed": settings.seed,
        "bf16": start.bfloat16,
        "use_cpu": start.device.type == "cpu",
        "activation_checkpointing": settings.gradient_checkpointing,
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


def batch_of_a_process(batch_size: int) -> int:
    """A batch's rows in each process: how many processes there are changes no result.

    Raises:
        BadInput: The batch cannot be shared out evenly.
    """
    n: int = PartialState().num_processes
    if batch_size % n:
        raise BadInput(
            f"batch_size = {batch_size} cannot be shared by {n} processes; make it a multiple of "
            f"{n}"
        )
    return batch_size // n
