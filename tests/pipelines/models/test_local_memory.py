"""Batches: every row once, in bounds, whatever memory holds."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.models.local_memory import (
    TokenBudget,
    TokenCost,
    free_bytes,
    in_batches,
    out_of_memory,
)


@given(
    lengths=st.lists(st.integers(1, 50), max_size=60),
    tokens=st.integers(1, 500),
    ceiling=st.none() | st.integers(50, 300),
    max_rows=st.integers(1, 20),
)
def test_every_row_is_run_once_within_bounds(
    lengths: list[int], tokens: int, ceiling: int | None, max_rows: int
) -> None:
    budget = TokenBudget(tokens, ceiling)
    rows = list(enumerate(lengths))
    seen = []
    for batch in in_batches(rows, lambda row: row[1], lambda b: b, budget, max_rows):
        width = max(length for _, length in batch.rows)
        assert batch.results == batch.rows
        assert len(batch.rows) <= max_rows
        assert len(batch.rows) == 1 or len(batch.rows) * width <= min(tokens, ceiling or tokens)
        seen += batch.rows
    assert sorted(seen) == rows
    assert [length for _, length in seen] == sorted(lengths, reverse=True)


@given(lengths=st.lists(st.integers(1, 50), max_size=40), holds=st.integers(1, 60))
def test_only_rows_that_do_not_fit_alone_get_nothing(lengths: list[int], holds: int) -> None:
    budget = TokenBudget(10_000)

    def run(batch: list[int]) -> list[int]:
        if len(batch) * max(batch) > holds:
            raise torch.OutOfMemoryError("full")
        return batch

    results = [pair for b in in_batches(lengths, int, run, budget, 100) for pair in b.pairs()]
    assert {n for n, result in results if result is None} == {n for n in lengths if n > holds}
    assert len(results) == len(lengths)


def test_another_error_is_not_taken_for_lack_of_memory() -> None:
    def run(batch: list[int]) -> list[int]:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        list(in_batches([1, 2], int, run, TokenBudget(10), 2))


def test_a_batch_above_the_ceiling_runs_out_of_memory_as_torch_does() -> None:
    budget = TokenBudget(1000, ceiling=100)
    budget.check(100)
    with pytest.raises(torch.OutOfMemoryError, match="max_batch_tokens = 100"):
        budget.check(101)


def test_torch_on_a_cpu_says_that_memory_ended_in_words() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert out_of_memory(caught.value)


def test_cost_by_hand() -> None:
    from transformers import LlamaConfig

    config = LlamaConfig(
        hidden_size=8,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    # Keys and values: 2 x 1 head x 4 numbers = 8, in 3 layers, 2 bytes each.
    # A layer's widest point: 4 x 8 of the stream and 3 x 32 of the MLP = 128 numbers.
    assert TokenCost.of(config, torch.bfloat16) == TokenCost(activations=256, cache=48)


def test_a_budget_follows_from_the_memory_that_is_free() -> None:
    cpu = torch.device("cpu")
    free = free_bytes(cpu)
    assert free > 0
    assert 80 <= TokenBudget.of_memory(cpu, free // 200, 0.5, None).tokens <= 120
    whole = TokenBudget.of_memory(cpu, 1, 1.0, None)
    assert whole.no_more_than_enough(cpu).tokens == 2048
