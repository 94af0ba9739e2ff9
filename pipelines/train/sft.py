"""Supervised fine-tuning on demonstrations: TRL's trainer, the prompt masked from the loss."""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from pipelines.train.batching import ByLength
from pipelines.train.loading import Start
from pipelines.train.rows import DemonstrationRow
from pipelines.train.settings import SftSettings


def demonstration_dataset(rows: Sequence[DemonstrationRow]) -> Dataset:
    """Rows for TRL; with prompt and completion apart it learns the completion only."""
    return Dataset.from_list(
        [
            {
                "prompt": [turn.model_dump() for turn in row.prompt],
                "completion": [{"role": "assistant", "content": row.completion}],
            }
            for row in rows
        ]
    )


class MaskedSFTTrainer(ByLength, SFTTrainer):
    """TRL's trainer, with batches of rows of like length."""


def sft_trainer(
    settings: SftSettings, model: Any, start: Start, data: Dataset, held_out: Dataset | None,
    max_length: int, arguments: dict[str, Any], adapter: Any,
) -> MaskedSFTTrainer:  # fmt: skip
    """The trainer, ready to train."""
    args = SFTConfig(
        max_length=max_length, packing=settings.packing, completion_only_loss=True, **arguments
    )
    return MaskedSFTTrainer(
        model=model, args=args, processing_class=start.tokenizer, train_dataset=data,
        eval_dataset=held_out, peft_config=adapter,
    )  # fmt: skip
