"""Soft labels and weights on their way through TRL, past its collators and trainers."""

from typing import Any

import torch

EXTRA = ("p_chosen", "weight")


class WithLabels:
    """Mixed into a collator: the pairs' soft labels and weights stand beside TRL's batch."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Lists of token ids to padded tensors: chosen in the first half, then rejected."""
        batch: dict[str, Any] = super().torch_call(examples)  # type: ignore[misc]  # the collator's
        for name in EXTRA:
            batch[name] = torch.tensor([example[name] for example in examples])
        return batch


class KeepsLabels:
    """Mixed into a trainer: our columns are not taken for ones that it has no use for."""

    _signature_columns: Any  # names of columns, or None before the first batch

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()  # type: ignore[misc]  # the trainer's
        known: list[str] = self._signature_columns or []
        self._signature_columns = known + [name for name in EXTRA if name not in known]
