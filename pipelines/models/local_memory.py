"""Batches that fit into memory: planned by an estimate, halved when memory runs out anyway."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch

Row = TypeVar("Row")
Result = TypeVar("Result")

_UNKNOWN_MEMORY = 4 << 30  # bytes, on a system that does not say
# Tokens that keep a device busy in one forward pass: more is not faster, and on a CPU slower,
# because activations leave the cache.
_ENOUGH_TOKENS = {"cuda": 65_536}
_ENOUGH_TOKENS_ELSEWHERE = 2_048


@dataclass(frozen=True)
class TokenCost:
    """Bytes of memory that one token of a batch takes, and those kept for each of its rows."""

    activations: int
    cache: int

    @classmethod
    def of(cls, config: Any, dtype: torch.dtype) -> "TokenCost":
        """An estimate from the shape of the model.

        Args:
            config: The model's `PreTrainedConfig`; sizes that it lacks count as usual ones.
            dtype: Of the activations.
        """
        text = config.get_text_config()
        hidden = text.hidden_size
        heads = text.num_attention_heads
        head_size = getattr(text, "head_dim", None) or hidden // heads
        kv_heads = getattr(text, "num_key_value_heads", None) or heads
        inner = getattr(text, "intermediate_size", None) or 4 * hidden
        kv = 2 * kv_heads * head_size
        # At the widest point of a layer: its input, the residual, the norm's copy and the output;
        # gate, up and their product; or queries, keys and values with heads repeated.
        widest = 4 * hidden + max(3 * inner, 4 * heads * head_size + kv)
        return cls(dtype.itemsize * widest, dtype.itemsize * kv * text.num_hidden_layers)


class TokenBudget:
    """How many tokens, padding included, a batch may hold. It halves when memory runs out.

    Attributes:
        tokens: The present limit.
        n_halvings: How often it was halved.
    """

    def __init__(self, tokens: int, ceiling: int | None = None):
        """Starts at `tokens`; a batch above `ceiling` runs out of memory by definition."""
        self.tokens = max(1, tokens)
        self.n_halvings = 0
        self._ceiling = ceiling

    @classmethod
    def of_memory(
        cls, device: torch.device, bytes_per_token: int, share: float, ceiling: int | None
    ) -> "TokenBudget":
        """As many as a share of the memory that is free now holds."""
        return cls(int(share * free_bytes(device) / bytes_per_token), ceiling)

    def no_more_than_enough(self, device: torch.device) -> "TokenBudget":
        """The same, but no more than one forward pass makes good use of."""
        enough = _ENOUGH_TOKENS.get(device.type, _ENOUGH_TOKENS_ELSEWHERE)
        return TokenBudget(min(self.tokens, enough), self._ceiling)

    def check(self, n_tokens: int) -> None:
        """Refuses a batch above the ceiling as memory itself would.

        Raises:
            torch.OutOfMemoryError: It is above the ceiling.
        """
        if self._ceiling is not None and n_tokens > self._ceiling:
            raise torch.OutOfMemoryError(
                f"a batch of {n_tokens} tokens is above max_batch_tokens = {self._ceiling}"
            )

    def halve(self, n_tokens: int) -> None:
        """A batch of `n_tokens` did not fit: the limit is half of that from now on."""
        self.tokens = max(1, min(self.tokens, n_tokens) // 2)
        self.n_halvings += 1


@dataclass(frozen=True)
class Batch(Generic[Row, Result]):
    """Rows with their results; `results` is None for one row that does not fit into memory."""

    rows: list[Row]
    results: list[Result] | None

    def pairs(self) -> "Iterator[tuple[Row, Result | None]]":
        """Each row with its result, None for one that does not fit."""
        results = self.results if self.results is not None else [None] * len(self.rows)
        yield from zip(self.rows, results, strict=True)


def in_batches(
    rows: Sequence[Row],
    length: Callable[[Row], int],
    run: Callable[[list[Row]], list[Result]],
    budget: TokenBudget,
    max_rows: int,
) -> Iterator[Batch[Row, Result]]:
    """Runs all rows, longest first, in batches that fit.

    Longest first: the batch that needs most memory comes first, so what memory cannot hold is
    known at once, and later batches reuse the blocks of earlier ones.

    Args:
        rows: What is run.
        length: Tokens that a row takes; a batch takes its longest row's, times its rows.
        run: One result for each row.
        budget: Bounds a batch, and learns.
        max_rows: Bounds it too.
    """
    waiting = sorted(rows, key=length)  # stable: equal lengths stay in order
    waiting.reverse()
    start = 0
    while start < len(waiting):
        width = max(1, length(waiting[start]))
        n_rows = max(1, min(max_rows, budget.tokens // width, len(waiting) - start))
        batch = waiting[start : start + n_rows]
        try:
            budget.check(n_rows * width)
            results = run(batch)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            results = None
        if results is None:
            free_cached()  # outside of the handler: the traceback held the batch's tensors
            if n_rows > 1:
                budget.halve(n_rows * width)
                continue
        yield Batch(batch, results)
        start += n_rows


def out_of_memory(error: RuntimeError) -> bool:
    """Whether memory ran out; on a CPU torch has no class of its own for that."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def free_cached() -> None:
    """Gives blocks that torch keeps for later back to the GPU."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def free_bytes(device: torch.device) -> int:
    """Memory of the device that is free now, in bytes."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not on every system
        return _UNKNOWN_MEMORY
