"""Rows of like length together: less padding, so less work, and each row still once an epoch."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler

_POOL = 50  # batches that are drawn at random together and then sorted


class LengthGrouped(Sampler[int]):
    """A shuffled order in which the rows of a batch are about as long as each other.

    Rows are drawn at random into pools of 50 batches, sorted by length within their pool, and the
    batches are shuffled again. The batch with the longest row comes first: memory that does not
    suffice shows at once. The order follows from the seed and the epoch, so that a run which was
    cut off goes on with the batches that it has not seen.
    """

    def __init__(self, n_tokens: Sequence[int], batch_size: int, seed: int):
        """Args: tokens of each row; rows of an optimizer step, over all processes; the seed."""
        self.n_tokens, self.batch_size, self.seed, self.epoch = n_tokens, batch_size, seed, 0

    def __len__(self) -> int:
        return len(self.n_tokens)

    def set_epoch(self, epoch: int) -> None:
        """Called by `accelerate` before each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
        n, size = len(self.n_tokens), self.batch_size
        drawn = torch.randperm(n, generator=generator).tolist()
        batches: list[list[int]] = []
        for at in range(0, n, _POOL * size):
            pool = sorted(drawn[at : at + _POOL * size], key=lambda row: -self.n_tokens[row])
            batches += [pool[k : k + size] for k in range(0, len(pool), size)]
        whole = [batch for batch in batches if len(batch) == size]
        order = torch.randperm(len(whole), generator=generator).tolist()
        if order:  # a pool's first batch holds its longest row
            first = max(order, key=lambda k: self.n_tokens[whole[k][0]])
            order.remove(first)
            order.insert(0, first)
        rest = [batch for batch in batches if len(batch) < size]  # one at most: the last stays last
        for batch in [*(whole[k] for k in order), *rest]:
            yield from batch


def alike(lengths: torch.Tensor, size: int) -> list[tuple[torch.Tensor, int]]:
    """Rows in groups of up to `size` of about the same length, and each group's longest: little of
    such a group is padding.
    """
    order = lengths.argsort(stable=True)
    return [(part, int(lengths[part[-1]])) for part in order.split(size)]


class ByLength:
    """Mixed into a trainer: its training batches are length-grouped once `n_tokens` is set."""

    n_tokens: Sequence[int] = ()
    args: Any
    accelerator: Any

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        data = self.train_dataset if train_dataset is None else train_dataset
        if len(self.n_tokens) != len(data):  # packed rows, or not asked for
            return super()._get_train_sampler(train_dataset)  # type: ignore[misc]  # the trainer's
        a_step = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return LengthGrouped(self.n_tokens, a_step * self.args.world_size, self.args.seed)

    train_dataset: Any
