"""ORPO (Hong et al. 2024): fine-tuning and preference in one loss, without a reference."""

import os
from typing import Any

from datasets import Dataset

from pipelines.train.batching import ByLength
from pipelines.train.loading import Start
from pipelines.train.settings import OrpoSettings

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # its place in TRL may change: pinned


def orpo_trainer(
    settings: OrpoSettings, model: Any, start: Start, data: Dataset, held_out: Dataset | None,
    max_length: int, arguments: dict[str, Any], adapter: Any,
) -> Any:  # fmt: skip
    """The trainer, ready to train. It knows no soft labels and no weights."""
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    class LengthGroupedORPO(ByLength, ORPOTrainer):
        """TRL's trainer, with batches of rows of like length."""

    columns = ["prompt", "chosen", "rejected"]
    args = ORPOConfig(
        beta=settings.beta, max_length=max_length, max_completion_length=max_length, **arguments
    )
    return LengthGroupedORPO(
        model=model, args=args, processing_class=start.tokenizer,
        train_dataset=data.select_columns(columns),
        eval_dataset=held_out.select_columns(columns) if held_out is not None else None,
        peft_config=adapter,
    )  # fmt: skip
