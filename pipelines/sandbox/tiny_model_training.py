"""Trains the tiny model from scratch on demonstrations, each seen once."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from pipelines.sandbox.tiny_model import (
    Shape,
    encode_prompt,
    encode_reply,
    make_tokenizer,
    new_model,
)
from pipelines.sandbox.world_prompts import DEMONSTRATION_SKILL, draw_demonstrations

Example = tuple[list[int], list[int]]  # tokens of a message and of its reply
_AVERAGE = 0.98  # of the weights: over the last 50 steps or so
_IGNORED = -100  # as a target: what the customer wrote, and padding


@dataclass(frozen=True)
class Recipe:
    """How the tiny model is trained.

    Attributes:
        steps: Updates of the weights.
        batch: Demonstrations in a step.
        learning_rate: At its highest, after `warm_up` steps; it falls to 0 by a cosine.
        skill: With which the demonstrations keep each principle.
        shape: Of the model.
        seed: Of the weights and the demonstrations.
    """

    steps: int = 500
    batch: int = 64
    learning_rate: float = 4e-3
    warm_up: int = 40
    skill: float = DEMONSTRATION_SKILL
    shape: Shape = field(default_factory=Shape)
    seed: int = 0


@dataclass(frozen=True)
class Trained:
    """A model, its tokenizer, and the mean loss of each step in nats per token of a reply."""

    model: LlamaForCausalLM
    tokenizer: PreTrainedTokenizerFast
    losses: tuple[float, ...]


def train(recipe: Recipe, on_step: Callable[[int, float], None] | None = None) -> Trained:
    """Train a model on fresh demonstrations of the sandbox's training half.

    Args:
        recipe: How.
        on_step: Called with the number of steps done and the last one's loss.
    """
    tokenizer = make_tokenizer()
    model = new_model(len(tokenizer), recipe.shape, recipe.seed)
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=recipe.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=0.01,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, recipe))
    averaged = AveragedModel(model, avg_fn=_average)
    losses: list[float] = []
    for step, examples in enumerate(_batches(tokenizer, recipe)):
        optimizer.zero_grad()
        loss = _backward(model, examples)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        averaged.update_parameters(model)
        losses.append(loss)
        if on_step is not None:
            on_step(step + 1, losses[-1])
    # The last steps' noise would show in how often each fault is made.
    model.load_state_dict(averaged.module.state_dict())
    model.eval()
    return Trained(model, tokenizer, tuple(losses))


def _batches(tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> Iterator[list[Example]]:
    """A batch for each step."""
    examples = (
        (encode_prompt(tokenizer, one.situation.text), encode_reply(tokenizer, one.reply))
        for one in draw_demonstrations(recipe.steps * recipe.batch, recipe.seed, recipe.skill)
    )
    while batch := list(islice(examples, recipe.batch)):
        yield batch


def _average(before: torch.Tensor, now: torch.Tensor, _n_before: object) -> torch.Tensor:
    return torch.lerp(now, before, _AVERAGE)


def _rate(step: int, recipe: Recipe) -> float:
    """The share of the learning rate that a step gets."""
    warmed = min(1.0, (step + 1) / recipe.warm_up)
    return warmed * 0.5 * (1.0 + math.cos(math.pi * step / recipe.steps))


def _backward(model: LlamaForCausalLM, examples: list[Example]) -> float:
    """Adds the gradient of the mean cross-entropy of the replies' tokens; returns that mean.

    The short half and the long half go through the model apart, since padding is most of what a
    mixed batch would compute. Sorting over several batches saves more, but then a batch holds long
    replies only, and the rates of what makes replies long (asking for a password) end up wrong.
    """
    examples = sorted(examples, key=lambda example: len(example[0]) + len(example[1]))
    half = len(examples) // 2
    n_tokens = sum(len(reply) for _, reply in examples)
    total = 0.0
    for part in (examples[:half], examples[half:]):
        if part:
            loss = _summed_loss(model, part) / n_tokens
            torch.autograd.backward(loss)
            total += loss.item()
    return total


def _summed_loss(model: LlamaForCausalLM, examples: list[Example]) -> torch.Tensor:
    """Summed cross-entropy of the replies' tokens, in nats.

    Rows are padded on the right, where a causal model sees nothing of it: no mask is needed. The
    output layer runs on the replies alone, half of all tokens.
    """
    width = max(len(prompt) + len(reply) for prompt, reply in examples)
    ids = torch.zeros(len(examples), width, dtype=torch.long)
    targets = torch.full((len(examples), width), _IGNORED)
    for row, (prompt, reply) in enumerate(examples):
        end = len(prompt) + len(reply)
        ids[row, :end] = torch.tensor(prompt + reply)
        targets[row, len(prompt) : end] = torch.tensor(reply)
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    wanted = targets[:, 1:]
    said = wanted != _IGNORED
    return cross_entropy(model.lm_head(hidden[said]), wanted[said], reduction="sum")
