"""Reward models from pairs with soft labels, margins and weights, on TRL's trainer.

TRL's loss knows a margin and hard labels; ours is `losses.soft_reward_loss`. What a reward model
is worth is said by pairs that people decided and that it never saw (`score`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import DataCollatorForPreference, RewardTrainer

from pipelines.records import Message
from pipelines.train.batching import ByLength
from pipelines.train.loading import Start
from pipelines.train.losses import soft_reward_loss
from pipelines.train.rows import PreferenceRow
from pipelines.train.settings import RewardSettings
from pipelines.train.soft_batch import KeepsLabels, WithLabels


@dataclass
class SoftCollator(WithLabels, DataCollatorForPreference):
    """TRL's batch with the pairs' soft labels and weights beside it."""


class SoftRewardTrainer(ByLength, KeepsLabels, RewardTrainer):
    """TRL's reward trainer with `soft_reward_loss`."""

    def __init__(self, centring: float, **options: Any):
        self.centring = centring
        collator = SoftCollator(pad_token_id=options["processing_class"].pad_token_id)
        super().__init__(data_collator=collator, **options)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The weighted mean loss of a batch."""
        outputs = model(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False
        )
        chosen, rejected = outputs.logits.squeeze(-1).float().chunk(2)
        p, weight = inputs["p_chosen"].to(chosen), inputs["weight"].to(chosen)
        losses = soft_reward_loss(chosen, rejected, p, inputs.get("margin"), self.centring)
        mode = "train" if model.training else "eval"
        self._note(self._metrics[mode], chosen.detach(), rejected.detach())
        loss = (weight * losses).mean()
        return (loss, outputs) if return_outputs else loss

    def _note(self, metrics: Any, chosen: Tensor, rejected: Tensor) -> None:
        figures = torch.stack(
            [(chosen > rejected).float(), chosen - rejected, (chosen + rejected) / 2.0], dim=1
        )
        # A pair at a time, so that the last batch of an evaluation counts by its size.
        gathered = self.accelerator.gather_for_metrics(figures).T.tolist()
        for name, values in zip(("accuracy", "margin", "reward"), gathered, strict=True):
            metrics[name].extend(values)


def reward_trainer(
    settings: RewardSettings, model: Any, start: Start, data: Dataset, held_out: Dataset | None,
    max_length: int, arguments: dict[str, Any], adapter: Any,
) -> SoftRewardTrainer:  # fmt: skip
    """The trainer, ready to train."""
    args = RewardConfig(max_length=max_length, **arguments)
    return SoftRewardTrainer(
        settings.centring, model=model, args=args, processing_class=start.tokenizer,
        train_dataset=data, eval_dataset=held_out, peft_config=adapter,
    )  # fmt: skip


def reward_dataset(
    rows: Sequence[PreferenceRow], tokenizer: Any, max_length: int, labels: str, margin: bool
) -> Dataset:
    """Rows as token ids, cut at `max_length`: rows over it that TRL sees it would leave out.

    Args:
        rows: Pairs; weights are scaled to mean 1.
        tokenizer: With a chat template.
        max_length: Tokens of prompt and response together.
        labels: "soft" keeps the probabilities, "hard" makes them 1.
        margin: Whether the rows' margins go in (0 where a row has none).
    """
    mean = sum(row.weight for row in rows) / len(rows)
    columns: dict[str, list[Any]] = {
        "chosen_ids": [_ids(tokenizer, row.prompt, row.chosen)[:max_length] for row in rows],
        "rejected_ids": [_ids(tokenizer, row.prompt, row.rejected)[:max_length] for row in rows],
        "p_chosen": [row.p_chosen if labels == "soft" else 1.0 for row in rows],
        "weight": [row.weight / mean for row in rows],
    }
    if margin:
        columns["margin"] = [row.margin or 0.0 for row in rows]
    return Dataset.from_dict(columns)


@torch.no_grad()
def rewards(
    model: Any, tokenizer: Any, conversations: Sequence[tuple[tuple[Message, ...], str]],
    max_length: int, batch_size: int = 16,
) -> list[float]:  # fmt: skip
    """The reward of each (prompt, response), in order.

    Rows are sorted by length for the forward passes, so that little is padding; what is longer than
    `max_length` tokens is cut at its end.
    """
    ids = [_ids(tokenizer, prompt, response)[:max_length] for prompt, response in conversations]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    found = [0.0] * len(ids)
    was_training = model.training
    model.eval()
    for at in range(0, len(order), batch_size):
        chunk = order[at : at + batch_size]
        batch = tokenizer.pad(
            {"input_ids": [ids[i] for i in chunk]}, padding_side="right", return_tensors="pt"
        ).to(model.device)
        scores = model(**batch, use_cache=False).logits.squeeze(-1).float().tolist()
        for i, score in zip(chunk, scores, strict=True):
            found[i] = score
    model.train(was_training)
    return found


def _ids(tokenizer: Any, prompt: tuple[Message, ...], response: str) -> list[int]:
    turns = [turn.model_dump() for turn in prompt] + [{"role": "assistant", "content": response}]
    ids: list[int] = tokenizer.apply_chat_template(turns, return_dict=False)
    return ids
