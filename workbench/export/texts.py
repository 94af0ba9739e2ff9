"""The texts of the imported pairs, read batch by batch from the store's narrow Parquet columns."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.store import PairStore

BATCH_ROWS = 1024
_COLUMNS = (
    "id", "prompt", "response_a", "response_b", "model_a", "model_b", "source", "subset", "meta",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PairTexts:
    """What a row of an export shows of a pair; `meta` is its JSON text."""

    id: str
    prompt: str | list[dict[str, str]]
    response_a: str
    response_b: str
    model_a: str | None = None
    model_b: str | None = None
    source: str | None = None
    subset: str | None = None
    meta: str | None = None


def iter_texts(store: PairStore, wanted: npt.NDArray[np.bool_]) -> Iterator[tuple[int, PairTexts]]:
    """The wanted pairs with their rows, in row order; one batch in memory at a time.

    Args:
        store: The project's pairs.
        wanted: Shape (n_pairs,).
    """
    first = 0
    for part in store.manifest().parts:
        with pq.ParquetFile(store.part_path("pairs", part.number)) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=list(_COLUMNS)):
                here = np.flatnonzero(wanted[first : first + len(batch)])
                columns = [batch.column(name).take(here).to_pylist() for name in _COLUMNS]
                for place, (pair_id, prompt, *rest) in zip(
                    here.tolist(), zip(*columns, strict=True), strict=True
                ):
                    yield first + place, PairTexts(pair_id, json.loads(prompt), *rest)
                first += len(batch)


def identical_flags(store: PairStore) -> npt.NDArray[np.bool_]:
    """Which pairs have the same text twice, shape (n_pairs,)."""
    found = [np.zeros(0, np.bool_)]
    for part in store.manifest().parts:
        table = pq.read_table(store.part_path("pairs", part.number), columns=["identical"])
        found.append(table.column("identical").to_numpy())
    return np.concatenate(found)


@dataclass(frozen=True)
class PromptForms:
    """How the prompts of the wanted pairs are written."""

    n_texts: int  # plain texts
    n_single: int  # one message
    n_conversations: int  # two messages or more


def prompt_forms(store: PairStore, wanted: npt.NDArray[np.bool_]) -> PromptForms:
    """Count the forms of the wanted pairs' prompts."""
    n_messages = n_conversations = first = 0
    for part in store.manifest().parts:
        with pq.ParquetFile(store.part_path("pairs", part.number)) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=["prompt", "turns"]):
                here = wanted[first : first + len(batch)]
                # The stored prompt is JSON: a text starts with a quote, messages with a bracket.
                listed = pc.starts_with(batch.column("prompt"), "[").to_numpy(zero_copy_only=False)
                several = batch.column("turns").to_numpy() > 1
                n_messages += int((here & listed).sum())
                n_conversations += int((here & listed & several).sum())
                first += len(batch)
    n = int(wanted.sum())
    return PromptForms(n - n_messages, n_messages - n_conversations, n_conversations)
