"""The tiny language model without torch: its forward pass in numpy, from the same folder.

So that a base install, which carries no torch, lets a real model write. A Llama of
data/helpdesk/model's kind only: words as tokens, tied embeddings, as many key heads as heads. A
test holds its logits equal to those of `transformers`.
"""

import json
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.errors import BadInput
from pipelines.models.engine import Finish
from pipelines.records import Message

NAME = "helpdesk-tiny"  # as `workbench sandbox serve` offers it

# Double precision: which other rows are in a batch changes the last digits of a sum, and must not
# change a word.
Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

_TOKEN = re.compile(r"\w+|[^\w\s]")
_BEFORE_MARK = re.compile(r" (?=[.,?!])")


@dataclass(frozen=True)
class Ask:
    """One reply that is wanted: the prompt's tokens, and how to sample."""

    tokens: tuple[int, ...]
    seed: int
    temperature: float = 1.0  # 0 takes the likeliest word
    max_tokens: int = 64


@dataclass(frozen=True)
class Written:
    """What the model wrote. `n_tokens` counts the end token, where there is one."""

    text: str
    finish: Finish
    n_tokens: int


class TinyWriter:
    """The model in memory."""

    def __init__(self, folder: Path):
        """Load a folder that `workbench sandbox train-model` made.

        Raises:
            BadInput: A file is missing, or it is another kind of model.
        """
        config = _read_json(folder / "config.json")
        words = _read_json(folder / "tokenizer.json").get("model", {}).get("vocab", {})
        if config.get("model_type") != "llama" or not config.get("tie_word_embeddings"):
            raise BadInput(f"{folder}: is not a tiny model of the sandbox; name such a folder")
        self.context = int(config["max_position_embeddings"])
        self._words: dict[str, int] = words
        self._names = {place: word for word, place in words.items()}
        self._end = int(config["eos_token_id"])
        self._weights = _read_weights(folder / "model.safetensors")
        self._layers = range(int(config["num_hidden_layers"]))
        self._heads = int(config["num_attention_heads"])
        self._wide = int(config["head_dim"])
        self._epsilon = float(config["rms_norm_eps"])
        rates = np.arange(0, self._wide, 2) / self._wide
        turns = np.outer(np.arange(self.context), config["rope_parameters"]["rope_theta"] ** -rates)
        turns = np.concatenate([turns, turns], axis=1)  # (context, head_dim)
        self._cos, self._sin = np.cos(turns), np.sin(turns)
        self.n_parameters = sum(one.size for one in self._weights.values())

    def encode(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """The tokens of a conversation, ready for the desk's reply; as the chat template has it."""
        tokens: list[int] = []
        for turn in messages:
            said = [
                self._words.get(one, self._words["<unk>"]) for one in _TOKEN.findall(turn.content)
            ]
            if turn.role == "assistant":
                tokens += [self._words["<desk>"], *said, self._end]
            else:
                tokens += [self._words["<customer>"], *said]
        return (*tokens, self._words["<desk>"])

    def decode(self, tokens: Sequence[int]) -> str:
        """Words as text, with no space before a full stop."""
        return _BEFORE_MARK.sub("", " ".join(self._names[one] for one in tokens))

    def check(self, ask: Ask) -> None:
        """Whether a prompt leaves room for a reply.

        Raises:
            BadInput: It does not.
        """
        if len(ask.tokens) >= self.context:
            raise BadInput(
                f"the prompt has {len(ask.tokens):,} tokens, over the context length of "
                f"{self.context} with a reply; shorten it"
            )

    def write(self, asks: Sequence[Ask]) -> list[Written]:
        """One reply to each. It follows from the prompt and its seed, whatever else is asked.

        Raises:
            BadInput: A prompt leaves no room for a reply.
        """
        for ask in asks:
            self.check(ask)
        width = max(len(ask.tokens) for ask in asks)
        gaps = np.array([width - len(ask.tokens) for ask in asks])
        tokens = np.array([[0] * gap + list(a.tokens) for gap, a in zip(gaps, asks, strict=True)])
        sources = [np.random.default_rng(ask.seed) for ask in asks]
        rows: list[list[int]] = [[] for _ in asks]
        finish: list[Finish | None] = [None] * len(asks)
        most = max(min(ask.max_tokens, self.context - len(ask.tokens)) for ask in asks)
        kept = _Kept(len(self._layers), len(asks), self._heads, width + most, self._wide)
        for _ in range(most):
            logits = self._forward(tokens, gaps, kept)[:, -1]
            for row, ask in enumerate(asks):
                if finish[row] is None:
                    chosen = _choose(logits[row], ask.temperature, sources[row])
                    rows[row].append(chosen)
                    room = min(ask.max_tokens, self.context - len(ask.tokens))
                    if chosen == self._end:
                        finish[row] = "stop"
                    elif len(rows[row]) == room:
                        finish[row] = "length"
            if all(finish):
                break
            tokens = np.array([[row[-1]] for row in rows])
        return [
            Written(
                self.decode([one for one in row if one != self._end]), end or "length", len(row)
            )
            for row, end in zip(rows, finish, strict=True)
        ]

    def logits(self, tokens: Sequence[int]) -> Floats:
        """Of the next word after each token of one text, shape (n_tokens, n_words)."""
        kept = _Kept(len(self._layers), 1, self._heads, len(tokens), self._wide)
        found: Floats = self._forward(np.array([tokens]), np.array([0]), kept)[0]
        return found

    def _forward(self, tokens: Ids, gaps: Ids, kept: "_Kept") -> Floats:
        """Logits, shape (n_rows, n_tokens, n_words).

        Args:
            tokens: What comes next in each row, shape (n_rows, n_tokens).
            gaps: How many places at the head of each row are filling, shape (n_rows,).
            kept: Keys and values of what came before; these are added.
        """
        start, length = kept.length, tokens.shape[1]
        places = np.maximum(np.arange(start, start + length)[None] - gaps[:, None], 0)
        cos, sin = self._cos[places][:, None], self._sin[places][:, None]
        seen = np.arange(start + length)
        hidden = (seen[None] > np.arange(start, start + length)[:, None])[None] | (
            seen[None, None] < gaps[:, None, None]
        )
        x = self._weights["model.embed_tokens.weight"][tokens]
        for layer in self._layers:
            w = f"model.layers.{layer}."
            h = self._norm(x, f"{w}input_layernorm")
            q, k, v = (self._split(h @ self._matrix(f"{w}self_attn.{one}_proj")) for one in "qkv")
            keys, values = kept.add(layer, k * cos + _half_turned(k) * sin, v)
            scores = (q * cos + _half_turned(q) * sin) @ keys.swapaxes(2, 3) / np.sqrt(self._wide)
            scores = np.where(hidden[:, None], -1e30, scores)
            mixed = (_softmax(scores) @ values).swapaxes(1, 2).reshape(x.shape)
            x = x + mixed @ self._matrix(f"{w}self_attn.o_proj")
            h = self._norm(x, f"{w}post_attention_layernorm")
            gate = h @ self._matrix(f"{w}mlp.gate_proj")
            up = h @ self._matrix(f"{w}mlp.up_proj")
            x = x + (gate / (1.0 + np.exp(-gate)) * up) @ self._matrix(f"{w}mlp.down_proj")
        kept.length += length
        out: Floats = self._norm(x, "model.norm") @ self._weights["model.embed_tokens.weight"].T
        return out

    def _matrix(self, name: str) -> Floats:
        return self._weights[f"{name}.weight"].T

    def _norm(self, x: Floats, name: str) -> Floats:
        scale = np.sqrt((x * x).mean(-1, keepdims=True) + self._epsilon)
        normed: Floats = x / scale * self._weights[f"{name}.weight"]
        return normed

    def _split(self, x: Floats) -> Floats:
        """(rows, tokens, hidden) to (rows, heads, tokens, head_dim)."""
        return x.reshape(*x.shape[:2], self._heads, self._wide).swapaxes(1, 2)


class _Kept:
    """The key-value cache of a batch."""

    def __init__(self, layers: int, rows: int, heads: int, most: int, wide: int):
        self._keys = np.zeros((layers, rows, heads, most, wide))
        self._values = np.zeros_like(self._keys)
        self.length = 0

    def add(self, layer: int, keys: Floats, values: Floats) -> tuple[Floats, Floats]:
        """Puts a layer's new ones behind those of before; all of them."""
        end = self.length + keys.shape[2]
        self._keys[layer, :, :, self.length : end] = keys
        self._values[layer, :, :, self.length : end] = values
        return self._keys[layer, :, :, :end], self._values[layer, :, :, :end]


def _choose(logits: Floats, temperature: float, source: np.random.Generator) -> int:
    """A word: the likeliest, or a sample, as the greatest logit with Gumbel noise."""
    if temperature > 0.0:
        logits = logits / temperature + source.gumbel(size=logits.shape)
    return int(logits.argmax())


def _half_turned(x: Floats) -> Floats:
    half = x.shape[-1] // 2
    return np.concatenate([-x[..., half:], x[..., :half]], axis=-1)


def _softmax(x: Floats) -> Floats:
    raised = np.exp(x - x.max(-1, keepdims=True))
    share: Floats = raised / raised.sum(-1, keepdims=True)
    return share


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: cannot be read; it belongs to a model's folder") from error
    if not isinstance(found, dict):
        raise BadInput(f"{path}: is no object; it belongs to a model's folder")
    return found


def _read_weights(path: Path) -> dict[str, Floats]:
    """The arrays of a safetensors file of 32-bit numbers.

    Source: the format's description, github.com/huggingface/safetensors: eight bytes say how long
    the JSON is that says where each array lies in what follows it.
    """
    try:
        raw = path.read_bytes()
        (length,) = struct.unpack_from("<Q", raw)
        listed = json.loads(raw[8 : 8 + length])
    except (OSError, ValueError, struct.error) as error:
        raise BadInput(f"{path}: cannot be read; make the model again") from error
    found: dict[str, Floats] = {}
    for name, about in listed.items():
        if name == "__metadata__":
            continue
        if about["dtype"] != "F32":
            raise BadInput(f"{path}: {name} is {about['dtype']}, not F32; make the model again")
        start, end = (8 + length + offset for offset in about["data_offsets"])
        array = np.frombuffer(raw[start:end], dtype="<f4").astype(np.float64)
        found[name] = array.reshape(about["shape"])
    return found


@cache
def shipped_writer(folder: Path) -> TinyWriter:
    """The model of a folder, loaded once."""
    return TinyWriter(folder)
