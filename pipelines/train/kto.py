"""KTO (Ethayarajh et al. 2024): single responses, wanted or not. TRL's trainer as it is."""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from trl.trainer.kto_config import KTOConfig
from trl.trainer.kto_trainer import KTOTrainer

from pipelines.errors import BadInput
from pipelines.train.loading import Start
from pipelines.train.rows import ReplyRow
from pipelines.train.settings import KtoSettings


def check_replies(rows: Sequence[ReplyRow], batch_size: int) -> None:
    """What KTO cannot learn from.

    Args:
        rows: To train on.
        batch_size: Of each process.

    Raises:
        BadInput: All are wanted, or none: there is nothing to tell apart; or a batch holds one,
            in which the divergence cannot be estimated.
    """
    n_wanted = sum(row.wanted for row in rows)
    if n_wanted in (0, len(rows)):
        what = "unwanted" if n_wanted else "wanted"
        raise BadInput(
            f"KTO needs wanted and unwanted responses, and none of the {len(rows)} rows is {what}; "
            "`workbench export kto` writes both of each pair"
        )
    if batch_size < 2:
        raise BadInput(
            "KTO estimates its divergence within a batch, and one of a single row has none; set "
            "batch_size to 2 or more for each process"
        )


def reply_dataset(rows: Sequence[ReplyRow]) -> Dataset:
    """Rows for TRL."""
    return Dataset.from_list(
        [
            {
                "prompt": [turn.model_dump() for turn in row.prompt],
                "completion": [{"role": "assistant", "content": row.completion}],
                "label": row.wanted,
            }
            for row in rows
        ]
    )


def kto_trainer(
    settings: KtoSettings, model: Any, start: Start, data: Dataset, held_out: Dataset | None,
    max_length: int, arguments: dict[str, Any], adapter: Any,
) -> KTOTrainer:  # fmt: skip
    """The trainer, ready to train."""
    args = KTOConfig(
        beta=settings.beta,
        desirable_weight=settings.desirable_weight,
        undesirable_weight=settings.undesirable_weight,
        max_length=max_length,
        # Each batch's divergence comes from neighbours in the data, so TRL wants them as they are.
        train_sampling_strategy="sequential",
        precompute_ref_log_probs=True,
        **arguments,
    )
    shuffled = data.shuffle(seed=args.seed)
    return KTOTrainer(
        model=model, args=args, processing_class=start.tokenizer, train_dataset=shuffled,
        eval_dataset=held_out, peft_config=adapter,
    )  # fmt: skip
