"""The key-value cache of a preamble, computed once and used by every row of every batch."""

import logging
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from pipelines.models.local_memory import out_of_memory
from pipelines.models.local_model import Loaded

_LEAST_TOKENS = 16  # a shorter prefix is not worth its own pass
_KEPT = 8  # preambles: a judge has one, or one for each language or principle
# Layers whose keys and values stay as they are when more tokens follow.
_KEEPING_LAYERS = {"full_attention", "sliding_attention"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prefix:
    """Tokens that many prompts begin with, and what attention keeps of them.

    Attributes:
        ids: The tokens.
        layers: Keys and values of each layer, each of shape (1, n_kv_heads, n_tokens, head_size).
    """

    ids: list[int]
    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]

    def cut(self, n_tokens: int) -> "Prefix":
        """The first `n_tokens` of it."""
        layers = tuple((k[:, :, :n_tokens], v[:, :, :n_tokens]) for k, v in self.layers)
        return Prefix(self.ids[:n_tokens], layers)

    def borrowed(self) -> Cache:
        """A cache for one pass over any number of rows; it copies only for the layer at work."""
        return Cache(layers=[_BorrowedLayer(keys, values) for keys, values in self.layers])

    def copied(self, n_rows: int) -> DynamicCache:
        """A cache of its own for `n_rows` rows, which grows as tokens are written."""
        cache = DynamicCache()
        for number, (keys, values) in enumerate(self.layers):
            cache.update(_rows(keys, n_rows), _rows(values, n_rows), number)
        return cache


class _BorrowedLayer(DynamicLayer):
    """Puts the prefix before what a pass adds, and keeps none of that: nobody reads it again."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor):
        DynamicLayer.__init__(self)
        self.keys = self._shared_keys = keys
        self.values = self._shared_values = values
        self.is_initialized = True

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        *args: object,
        **kwargs: object,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of the prefix and of the new tokens, for every row of the batch."""
        n_rows = key_states.shape[0]
        return (
            torch.cat([_rows(self._shared_keys, n_rows), key_states], dim=-2),
            torch.cat([_rows(self._shared_values, n_rows), value_states], dim=-2),
        )


class Prefixes:
    """The prefixes of one model, by group; requests of one group begin with the same preamble."""

    def __init__(self, loaded: Loaded):
        self._loaded = loaded
        self._known: dict[Hashable, Prefix] = {}
        config = loaded.model.config.get_text_config()
        layers = getattr(config, "layer_types", None) or ["full_attention"]
        # Layers that read another layer's cache would not find theirs in a borrowed one.
        self.usable = _KEEPING_LAYERS.issuperset(layers) and not getattr(
            config, "num_kv_shared_layers", 0
        )

    def of(self, group: Hashable | None, rows: Sequence[list[int]]) -> Prefix | None:
        """The longest known prefix of all rows, or None when there is none worth having.

        It is found in tokens, not characters: a tokenizer may cut the preamble's end in one way
        or another, by what follows. A prompt that is shorter shortens the prefix of its group.

        Args:
            group: Which preamble; None for none.
            rows: The token ids of the prompts; each keeps at least one token of its own.
        """
        if group is None or not self.usable:
            return None
        prefix = self._known.get(group)
        if prefix is None and len(rows) < 2:
            return None
        n_common = len(rows[0]) if prefix is None else len(prefix.ids)
        first = rows[0] if prefix is None else prefix.ids
        for row in rows:
            n_common = min(_n_common(first, row, n_common), len(row) - 1)
        if n_common < _LEAST_TOKENS:
            return None
        if prefix is None:
            prefix = self._computed(rows[0][:n_common])
            if prefix is None:
                return None
        elif n_common < len(prefix.ids):
            prefix = prefix.cut(n_common)
        self._known.pop(group, None)
        self._known[group] = prefix
        while len(self._known) > _KEPT:
            self._known.pop(next(iter(self._known)))
        return prefix

    def give_up(self, why: str) -> None:
        """From now on every prompt is computed whole."""
        self.usable = False
        self._known.clear()
        _log.warning(
            "%s: the preamble is computed anew for every question, which is slower: %s",
            self._loaded.name,
            why,
        )

    @torch.inference_mode()
    def _computed(self, ids: list[int]) -> Prefix | None:
        cache = DynamicCache()  # without the config: sliding layers must keep all tokens too
        try:
            self._loaded.model(
                input_ids=torch.tensor([ids], device=self._loaded.device),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            return None
        layers: list[Any] = cache.layers
        return Prefix(ids, tuple((layer.keys, layer.values) for layer in layers))


def _rows(states: torch.Tensor, n_rows: int) -> torch.Tensor:
    return states.expand(n_rows, -1, -1, -1)


def _n_common(first: list[int], second: list[int], at_most: int) -> int:
    """How many tokens both begin with, `at_most` as many."""
    if first[:at_most] == second[:at_most]:
        return at_most
    return next(
        (n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b),
        min(len(first), len(second), at_most),
    )
