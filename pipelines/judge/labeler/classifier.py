"""A fine-tuned sequence classifier as a labeler: a score of each response, and their difference.

score(prompt, response) comes from one `transformers` model with one output, as in a reward model
(Bradley-Terry): p_a = 1 / (1 + exp(score_b - score_a)), so swapping the responses gives 1 - p_a.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from pipelines.agreement.annotations import FloatArray
from pipelines.errors import BadInput
from pipelines.judge.labeler.card import Labelled
from pipelines.models.local_model import quiet_loading
from pipelines.preferences.odd_logistic import prompt_folds
from pipelines.preferences.text_features import prompt_text
from pipelines.records import PreferencePair

MODEL = "model"  # folder beside the card: safetensors and tokenizer
_WARMUP = 0.1
_WEIGHT_DECAY = 0.01


@dataclass(frozen=True)
class Training:
    """How a classifier is fine-tuned."""

    base: str  # folder of the model to start from
    epochs: int = 2
    batch: int = 8  # pairs
    learning_rate: float = 2e-5
    max_tokens: int = 512
    n_folds: int = 3
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch, self.max_tokens) < 1 or self.n_folds < 2:
            raise BadInput("epochs, batch and max_tokens are at least 1, folds at least 2")
        if self.learning_rate <= 0.0:
            raise BadInput("the learning rate is above 0")


@dataclass(frozen=True)
class Classifier:
    """A fine-tuned model in memory."""

    model: Any
    tokenizer: Any
    max_tokens: int
    batch: int
    device: str

    def p_a(self, pairs: Sequence[PreferencePair]) -> FloatArray:
        """Uncalibrated probability that people prefer response_a, shape (n_pairs,)."""
        found = np.empty(len(pairs))
        self.model.eval()
        lengths = [len(pair.response_a) + len(pair.response_b) for pair in pairs]
        order = sorted(range(len(pairs)), key=lambda place: lengths[place])
        for start in range(0, len(order), self.batch):
            places = order[start : start + self.batch]
            with torch.inference_mode():
                margin = self.margins([pairs[place] for place in places])
            found[places] = torch.sigmoid(margin.double()).cpu().numpy()
        return found

    def margins(self, pairs: Sequence[PreferencePair]) -> torch.Tensor:
        """score_a - score_b of each pair, shape (n_pairs,)."""
        texts = [
            (prompt_text(pair), answer)
            for answers in ("response_a", "response_b")
            for pair in pairs
            for answer in (getattr(pair, answers),)
        ]
        rows = [self._tokens(prompt, answer) for prompt, answer in texts]
        tokens = self.tokenizer.pad({"input_ids": rows}, padding=True, return_tensors="pt")
        scores = self.model(**tokens.to(self.device)).logits[:, 0]
        return scores[: len(pairs)] - scores[len(pairs) :]  # type: ignore[no-any-return]  # untyped

    def _tokens(self, prompt: str, answer: str) -> list[int]:
        """Prompt and answer; the start of a long prompt and the end of a long answer are cut."""
        end = [] if self.tokenizer.eos_token_id is None else [self.tokenizer.eos_token_id]
        said = self.tokenizer(f"\n\n{answer}", add_special_tokens=False)["input_ids"]
        asked = self.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        said = said[: self.max_tokens - len(end)]
        room = self.max_tokens - len(end) - len(said)
        return [*(asked[-room:] if room else []), *said, *end]

    def save(self, folder: Path) -> None:
        """Write weights (safetensors) and tokenizer."""
        self.model.save_pretrained(folder / MODEL)
        self.tokenizer.save_pretrained(folder / MODEL)


def fit_classifier(labelled: Labelled, training: Training) -> tuple[Classifier, FloatArray]:
    """Fine-tune on all labelled pairs, and once more without each fold of prompts.

    Returns:
        The model of all pairs, and out-of-fold probabilities, shape (n_pairs,).

    Raises:
        Undefined: Too few prompts.
        BadInput: The base model cannot be loaded.
    """
    rng = np.random.default_rng(training.seed)
    fold = prompt_folds(labelled.prompt, training.n_folds, rng)
    out_of_fold = np.empty(len(labelled.pairs))
    for number in range(training.n_folds):
        here, others = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        model = _trained(labelled, others, training)
        out_of_fold[here] = model.p_a([labelled.pairs[k] for k in here.tolist()])
    return _trained(labelled, np.arange(len(labelled.pairs)), training), out_of_fold


def load_classifier(folder: Path, training: Training) -> Classifier:
    """A saved classifier, or a base model to start from.

    Args:
        folder: With the model and its tokenizer.
        training: Limits and device.

    Raises:
        BadInput: It cannot be loaded.
    """
    if not (folder / "config.json").is_file():
        raise BadInput(f"{folder}: no config.json, so no model; give a model's folder")
    try:
        torch.manual_seed(training.seed)  # a base model gets a new head
        with quiet_loading():
            tokenizer = AutoTokenizer.from_pretrained(folder)
            model = AutoModelForSequenceClassification.from_pretrained(
                folder, num_labels=1, dtype=torch.float32
            ).to(training.device)
    except (OSError, ValueError, RuntimeError, AssertionError) as error:  # the last: no CUDA here
        raise BadInput(f"{folder}: no classifier can be loaded ({error})") from error
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise BadInput(f"{folder}: its tokenizer has neither a pad nor an eos token; set one")
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    model.config.pad_token_id = tokenizer.pad_token_id
    limit = int(getattr(model.config, "max_position_embeddings", training.max_tokens))
    return Classifier(
        model,
        tokenizer,
        min(limit, training.max_tokens),
        training.batch,
        training.device,
    )


def _trained(labelled: Labelled, rows: np.ndarray[Any, Any], training: Training) -> Classifier:
    """The base model after its epochs on some of the pairs."""
    made = load_classifier(Path(training.base), training)
    rng = np.random.default_rng(training.seed)
    optimiser = torch.optim.AdamW(
        made.model.parameters(), lr=training.learning_rate, weight_decay=_WEIGHT_DECAY
    )
    n_steps = training.epochs * math.ceil(len(rows) / training.batch)
    n_warm = max(1, round(_WARMUP * n_steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / n_warm, (n_steps - step) / n_steps + 1e-3)
    )
    made.model.train()
    for _ in range(training.epochs):
        order = rng.permutation(rows)
        for start in range(0, len(order), training.batch):
            places = order[start : start + training.batch]
            margin = made.margins([labelled.pairs[k] for k in places.tolist()])
            target = torch.tensor(labelled.y[places], dtype=margin.dtype, device=margin.device)
            weight = torch.tensor(
                labelled.audited.weight[places], dtype=margin.dtype, device=margin.device
            )
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                margin, target, weight=weight
            )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own
            torch.nn.utils.clip_grad_norm_(made.model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
    return made
