"""What a trainer starts from: tokenizer first, then what it will cost, then the model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
)

from pipelines.errors import BadInput
from pipelines.models.local_memory import free_bytes
from pipelines.models.local_model import (
    LOADING_FAILS_WITH,
    quiet_loading,
    source_of,
    tokenizer_of,
    why_not,
)
from pipelines.train.settings import TrainSettings

Head = Literal["language", "reward"]
_CLASSES = {
    "language": AutoModelForCausalLM,
    "reward": AutoModelForSequenceClassification,
}


@dataclass(frozen=True)
class Start:
    """Where a model comes from and what fits it, before any weight is read."""

    name: str
    source: str
    tokenizer: Any
    config: Any
    device: torch.device
    bfloat16: bool


@dataclass(frozen=True)
class Need:
    """Memory that training will take, in bytes: an estimate, made without loading a weight."""

    n_parameters: int
    states: int  # weights, gradients, optimizer
    activations: int
    free: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.states + self.activations


def start_from(settings: TrainSettings, base: Path) -> Start:
    """Tokenizer and configuration of the model to train.

    Raises:
        BadInput: No model is named, it is not there, its tokenizer lacks a chat template or does
            not fit it, or the device is not there.
    """
    name = settings.model
    if not name:
        raise BadInput(
            "no model is named; write model under [train] in project.toml, or give --model"
        )
    source = source_of(name, base)
    with quiet_loading():
        tokenizer = tokenizer_of(name, source)
        try:
            config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        except LOADING_FAILS_WITH as error:
            raise BadInput(why_not(name, "the configuration", error)) from error
    vocabulary = config.get_text_config().vocab_size
    if tokenizer.vocab_size > vocabulary:
        raise BadInput(
            f"{name}: the tokenizer has {tokenizer.vocab_size:,} tokens and the model "
            f"{vocabulary:,}; take the tokenizer that the model was trained with"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    device = _device(name, settings.device)
    wants = settings.precision
    able = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if wants == "bfloat16" and not able:
        raise BadInput(
            f'{name}: precision = "bfloat16" needs a CUDA GPU that has it, and this run is on '
            f'{device.type}; set precision = "auto" or "float32"'
        )
    return Start(name, source, tokenizer, config, device, able and wants != "float32")


def need(
    start: Start,
    settings: TrainSettings,
    tokens_per_batch: int,
    *,
    copies: int = 0,
    beside: int = 0,
) -> Need:
    """What training takes, from the shape of the model alone.

    A trained number costs 16 bytes (weight, gradient, two moments of AdamW, in float32), a frozen
    one 4. Activations are those of a plain decoder: about 16 hidden and 3 inner widths a layer,
    one row of logits a token.

    Args:
        start: The model.
        settings: LoRA, precision and gradient checkpointing count.
        tokens_per_batch: Padding included.
        copies: Frozen models beside it, such as a reference.
        beside: Weights of other models, such as a reward model.
    """
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(start.config)
    n = sum(weight.numel() for weight in model.parameters())
    trained = n
    if settings.lora.use:  # at most two matrices of this rank for each linear layer
        trained = sum(
            settings.lora.rank * (layer.in_features + layer.out_features)
            for layer in model.modules()
            if isinstance(layer, torch.nn.Linear)
        )
    text = start.config.get_text_config()
    inner = getattr(text, "intermediate_size", None) or 4 * text.hidden_size
    width = 2 if start.bfloat16 else 4
    layers = 1 if settings.gradient_checkpointing else text.num_hidden_layers
    a_token = width * layers * (16 * text.hidden_size + 3 * inner) + 4 * text.vocab_size
    states = (
        16 * trained + 4 * (n - trained if settings.lora.use else 0) + 4 * (copies * n + beside)
    )
    return Need(n, states, tokens_per_batch * a_token, free_bytes(start.device))


def check_memory(start: Start, needed: Need) -> None:
    """Refuse what surely does not fit: weights and optimizer alone.

    Raises:
        BadInput: They need more than there is.
    """
    if needed.states > needed.free:
        raise BadInput(
            f"{start.name}: training {needed.n_parameters / 1e9:.2f} billion weights takes about "
            f"{needed.states / 2**30:.1f} GiB before any activation, and {needed.free / 2**30:.1f} "
            f"GiB are free on {start.device}; set use = true under [train.lora], or take a "
            "smaller model"
        )


def check_positions(start: Start, longest: int, key: str) -> None:
    """Refuse texts that are longer than the model can place.

    Args:
        start: The model.
        longest: Tokens of the longest text that it will be given.
        key: The setting that bounds them.

    Raises:
        BadInput: The model has fewer positions.
    """
    positions = getattr(start.config.get_text_config(), "max_position_embeddings", None)
    if isinstance(positions, int) and longest > positions:
        raise BadInput(
            f"{start.name}: knows {positions:,} positions, and a text may take {longest:,} tokens; "
            f"set {key} so that it takes {positions:,} at most"
        )


def load_model(start: Start, settings: TrainSettings, head: Head) -> Any:
    """The model in float32, ready to be trained (with adapters when LoRA is set).

    Raises:
        BadInput: It cannot be loaded.
    """
    options: dict[str, Any] = {"dtype": torch.float32, "trust_remote_code": False}
    if head == "reward":
        options["num_labels"] = 1
    try:
        with quiet_loading():
            model: Any = _CLASSES[head].from_pretrained(start.source, **options)
    except LOADING_FAILS_WITH as error:
        raise BadInput(why_not(start.name, "the model", error)) from error
    model.config.get_text_config().pad_token_id = start.tokenizer.pad_token_id
    return model


def lora_config(settings: TrainSettings, head: Head) -> Any:
    """PEFT's configuration, or None when whole weights are trained."""
    if not settings.lora.use:
        return None
    from peft import LoraConfig

    targets = settings.lora.targets
    return LoraConfig(
        r=settings.lora.rank,
        lora_alpha=settings.lora.alpha,
        lora_dropout=settings.lora.dropout,
        target_modules=targets[0] if targets == ("all-linear",) else list(targets),
        task_type="SEQ_CLS" if head == "reward" else "CAUSAL_LM",
    )


def _device(name: str, wanted: str) -> torch.device:
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise BadInput(f'{name}: torch sees no CUDA GPU; set device = "auto" or "cpu"')
    return torch.device("cuda" if there and wanted != "cpu" else "cpu")
