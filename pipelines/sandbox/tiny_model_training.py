"""Trains the tiny model from scratch on demonstrations, each seen once."""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch.nn.functional import cross_entropy
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
_IGNORED = -100  # as a target: what the customer wrote, and padding
_POOLED = 10  # batches that are drawn together and sorted by length


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
    losses: list[float] = []
    for step, examples in enumerate(_batches(tokenizer, recipe)):
        loss = _loss(model, examples)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if on_step is not None:
            on_step(step + 1, losses[-1])
    model.eval()
    return Trained(model, tokenizer, tuple(losses))


def _batches(tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> Iterator[list[Example]]:
    """A batch for each step; its examples are of like length, so that little of it is padding."""
    rng = random.Random(f"batches {recipe.seed}")
    n_all = recipe.steps * recipe.batch
    examples = (
        (encode_prompt(tokenizer, one.situation.text), encode_reply(tokenizer, one.reply))
        for one in draw_demonstrations(n_all, recipe.seed, recipe.skill)
    )
    while pool := list(islice(examples, _POOLED * recipe.batch)):
        pool.sort(key=lambda example: len(example[0]) + len(example[1]))
        starts = list(range(0, len(pool), recipe.batch))
        rng.shuffle(starts)
        for start in starts:
            yield pool[start : start + recipe.batch]


def _rate(step: int, recipe: Recipe) -> float:
    """The share of the learning rate that a step gets."""
    warmed = min(1.0, (step + 1) / recipe.warm_up)
    return warmed * 0.5 * (1.0 + math.cos(math.pi * step / recipe.steps))


def _loss(model: LlamaForCausalLM, examples: list[Example]) -> torch.Tensor:
    """Mean cross-entropy of the replies' tokens.

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
    return cross_entropy(model.lm_head(hidden[said]), wanted[said])
