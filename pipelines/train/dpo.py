"""DPO and its kin on pairs with soft labels and weights, on TRL's trainer.

TRL knows neither soft labels nor weights, so the loss is ours (`losses.py`); data, reference
log-probabilities, checkpoints and adapters are TRL's. At p = 1 and weight 1 the loss is TRL's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer

from pipelines.train.batching import ByLength
from pipelines.train.losses import Side, batch_loss, soft_pair_loss
from pipelines.train.rows import PreferenceRow
from pipelines.train.settings import DpoSettings
from pipelines.train.soft_batch import EXTRA, KeepsLabels, WithLabels


@dataclass
class SoftCollator(WithLabels, DataCollatorForPreference):
    """TRL's batch with the pairs' soft labels and weights beside it."""


class SoftDPOTrainer(ByLength, KeepsLabels, DPOTrainer):
    """TRL's DPO with `soft_pair_loss`."""

    def __init__(self, settings: DpoSettings, **options: Any):
        self.settings = settings
        args, tokenizer = options["args"], options["processing_class"]
        collator = SoftCollator(pad_token_id=tokenizer.pad_token_id, max_length=args.max_length)
        super().__init__(data_collator=collator, **options)

    def compute_ref_log_probs(self, model: Any, inputs: dict[str, Any]) -> Any:
        """The reference's log-probabilities; the model is not given our columns."""
        return super().compute_ref_log_probs(
            model, {name: value for name, value in inputs.items() if name not in EXTRA}
        )

    def _precompute_ref_logps(self, dataset: Dataset, name: str, batch_size: int) -> Dataset:
        """The data with the reference's log-probabilities.

        In TRL's place: batches of rows of like length (no gradient is kept, so of twice the size),
        and no cache file, which processes that each hold the data in memory do not share.
        """
        if self.is_deepspeed_enabled or self.is_fsdp_enabled:  # all must call a sharded model alike
            return super()._precompute_ref_logps(dataset, name, batch_size)
        ids = dataset.select_columns(["prompt_ids", "chosen_ids", "rejected_ids", *EXTRA])
        lengths = [
            len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))
            for row in ids
        ]
        order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
        batches = [order[at : at + 2 * batch_size] for at in range(0, len(order), 2 * batch_size)]
        device = self.accelerator.device
        found = torch.zeros(len(lengths), 2, device=device)
        for batch in batches[self.accelerator.process_index :: self.accelerator.num_processes]:
            inputs = self.data_collator([ids[row] for row in batch])
            inputs = {name: value.to(device) for name, value in inputs.items()}
            both = self.compute_ref_log_probs(self.ref_model or self.model, inputs)
            found[batch] = torch.stack(both, dim=1).float()
        chosen, rejected = self.accelerator.reduce(found, "sum").T.tolist()
        dataset = dataset.add_column("ref_chosen_logps", chosen)
        return dataset.add_column("ref_rejected_logps", rejected)

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
        p, weight = inputs["p_chosen"], inputs["weight"]
        mask = inputs["completion_mask"]
        router = {"output_router_logits": True} if self.aux_loss_enabled else {}
        outputs = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            labels=inputs["input_ids"].masked_fill(mask == 0, -100),
            use_cache=False,
            fused_lm_head=True,  # log-probabilities without logits (TRL's patch of the model)
            **router,
        )
        logps = outputs.log_probs[:, -(mask.shape[1] - 1) :].sum(dim=1)
        reference = self._reference(inputs).to(logps.dtype)
        chosen, rejected = (
            Side(ratio, logp, length)
            for ratio, logp, length in zip(
                (logps - reference).chunk(2), logps.chunk(2), mask.sum(dim=1).chunk(2), strict=True
            )
        )
        loss = self._loss(chosen, rejected, p.to(logps.dtype), weight.to(logps.dtype))
        if self.aux_loss_enabled:  # of a mixture of experts, for balance
            loss = loss + self.router_aux_loss_coef * outputs.aux_loss
        mode = "train" if model.training else "eval"
        self._note(self._metrics[mode], chosen, rejected, p, outputs, mask)
        return (loss, outputs) if return_outputs else loss

    def _reference(self, inputs: dict[str, Any]) -> Tensor:
        """Log-probabilities under the reference, chosen first, shape (2 n_pairs,)."""
        if self.precompute_ref_logps:
            return torch.cat([inputs["ref_chosen_logps"], inputs["ref_rejected_logps"]])
        # With adapters the reference is the model without them; TRL switches them off here.
        model = self.ref_model if self.ref_model is not None else self.model
        return torch.cat(self.compute_ref_log_probs(model, inputs))

    def _loss(self, chosen: Side, rejected: Side, p: Tensor, weight: Tensor) -> Tensor:
        wanted = self.settings
        if wanted.loss in ("aot", "aot_unpaired"):
            return batch_loss(wanted.loss, chosen, rejected, wanted.beta).mean()
        loss = soft_pair_loss(wanted.loss, chosen, rejected, p, wanted.beta, wanted.label_smoothing)
        if wanted.sft_weight:
            loss = loss + wanted.sft_weight * soft_pair_loss("sft", chosen, rejected, p, 1.0)
        return (weight * loss).mean()

    def _note(
        self, metrics: Any, chosen: Side, rejected: Side, p: Tensor, outputs: Any, mask: Tensor
    ) -> None:
        """Figures for the curves, over all processes."""
        beta = self.settings.beta
        margin = beta * (chosen.ratio - rejected.ratio).detach()
        on = mask[:, 1:]
        of_rows = (outputs.entropy[:, -on.shape[1] :].detach() * on).sum(dim=1)
        first, second = (of_rows / on.sum(dim=1).clamp(min=1)).chunk(2)
        entropy = (first + second) / 2.0
        figures = torch.stack(
            [
                (margin > 0).float(),
                margin,
                beta * chosen.ratio.detach(),
                beta * rejected.ratio.detach(),
                chosen.logp.detach(),
                rejected.logp.detach(),
                p.float(),
                entropy,
            ],
            dim=1,
        )
        names = (
            "rewards/accuracies", "rewards/margins", "rewards/chosen", "rewards/rejected",
            "logps/chosen", "logps/rejected", "label_mean", "entropy",
        )  # fmt: skip
        # A pair at a time, so that the last batch of an evaluation counts by its size.
        gathered = self.accelerator.gather_for_metrics(figures).T.tolist()
        for name, values in zip(names, gathered, strict=True):
            metrics[name].extend(values)


def preference_dataset(rows: Sequence[PreferenceRow], labels: str) -> Dataset:
    """Rows for TRL, conversational; weights are scaled to mean 1.

    Args:
        rows: Pairs.
        labels: "soft" keeps the probabilities, "hard" makes them 1.
    """
    mean = sum(row.weight for row in rows) / len(rows)
    return Dataset.from_list(
        [
            {
                "prompt": [turn.model_dump() for turn in row.prompt],
                "chosen": [{"role": "assistant", "content": row.chosen}],
                "rejected": [{"role": "assistant", "content": row.rejected}],
                "p_chosen": row.p_chosen if labels == "soft" else 1.0,
                "weight": row.weight / mean,
            }
            for row in rows
        ]
    )


def dpo_trainer(
    settings: DpoSettings, model: Any, start: Any, data: Dataset, held_out: Dataset | None,
    max_length: int, arguments: dict[str, Any], adapter: Any,
) -> SoftDPOTrainer:  # fmt: skip
    """The trainer, ready to train."""
    args = DPOConfig(
        beta=settings.beta,
        max_length=max_length,
        precompute_ref_log_probs=settings.precompute_reference,
        **arguments,
    )
    return SoftDPOTrainer(
        settings, model=model, args=args, processing_class=start.tokenizer, train_dataset=data,
        eval_dataset=held_out, peft_config=adapter,
    )  # fmt: skip
