"""Loads a model and its tokenizer with `from_pretrained`; whatever is missing is one sentence."""

import gc
import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.utils import logging as transformers_logging

from pipelines.errors import BadInput
from pipelines.models.local import LocalModel
from pipelines.models.local_memory import free_cached

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
LOADING_FAILS_WITH = (OSError, ValueError, RuntimeError, ImportError, KeyError, SafetensorError)
# What the tokenizer gives as its longest input when nobody said.
_NO_LIMIT = 10**9


@dataclass(frozen=True)
class Loaded:
    """A model that is ready.

    Attributes:
        name: As errors name it.
        model: In evaluation mode, on `device`.
        tokenizer: With a chat template.
        context: The most tokens of prompt and answer together; None when nobody knows.
        n_tokens: Token ids below this have an embedding.
        eos_ids: Tokens that end an answer.
        pad_id: Fills rows of a batch; never attended to.
    """

    name: str
    model: Any
    tokenizer: Any
    device: torch.device
    context: int | None
    n_tokens: int
    eos_ids: tuple[int, ...]
    pad_id: int


def load(settings: LocalModel) -> Loaded:
    """Loads what `settings` describes.

    Raises:
        BadInput: Something is missing or unfit.
    """
    name = settings.model
    source = source_of(name, settings.base)
    device = _device(name, settings.device)
    # The judge before this one may have left a model that nobody holds any more.
    gc.collect()
    free_cached()
    with quiet_loading():
        tokenizer = tokenizer_of(name, source)
        model = _model(settings, source, device)
        if settings.adapter:
            model = adapted(settings, model)
    model.eval()
    model.requires_grad_(False)
    n_tokens = _n_tokens(name, model, tokenizer)
    eos_ids = _eos_ids(model, tokenizer)
    pad_id = tokenizer.pad_token_id
    if pad_id is None or pad_id >= n_tokens:
        pad_id = eos_ids[0] if eos_ids else 0
    # Its own may set a temperature or a repetition penalty, which would change what is asked.
    model.generation_config = GenerationConfig(
        eos_token_id=list(eos_ids) or None, pad_token_id=pad_id
    )
    context = _context(model, tokenizer)
    tokenizer.model_max_length = _NO_LIMIT  # the engine tells what is too long, in words of ours
    return Loaded(name, model, tokenizer, device, context, n_tokens, eos_ids, pad_id)


def source_of(name: str, base: Path) -> str:
    """The folder, or the name on the hub.

    Raises:
        BadInput: It looks like a folder, and there is none.
    """
    folder = base / Path(name).expanduser()
    if folder.is_dir():
        return str(folder)
    looks_like_a_folder = name.startswith((".", "/", "~")) or name.count("/") > 1
    if looks_like_a_folder or folder.exists():
        raise BadInput(f"{folder}: there is no such folder; model names a folder or a hub model")
    return name


def _device(name: str, wanted: str) -> torch.device:
    if wanted == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise BadInput(
            f'{name}: device "{wanted}" is not one that torch knows; write auto, cpu or cuda'
        ) from None
    n_present = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }.get(device.type, 0)
    if (device.index or 0) >= n_present:
        raise BadInput(
            f'{name}: device "{wanted}" is not there (torch sees {torch.cuda.device_count()} CUDA '
            'GPUs); set device = "auto" or "cpu"'
        )
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda:0")
    return device


def _dtype(settings: LocalModel, device: torch.device) -> torch.dtype:
    if settings.dtype != "auto":
        return _DTYPES[settings.dtype]
    if device.type == "cpu":
        return torch.float32
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return torch.bfloat16


def tokenizer_of(name: str, source: str) -> Any:
    """The tokenizer of a folder or hub model, with a chat template.

    Raises:
        BadInput: There is none, or it has no chat template.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except LOADING_FAILS_WITH as error:
        raise BadInput(why_not(name, "the tokenizer", error)) from error
    # A folder with a model and no tokenizer files gives an empty one, without a word.
    if not tokenizer.encode("A", add_special_tokens=False):
        raise BadInput(f"{name}: there is no tokenizer; put the model's tokenizer.json beside it")
    if not tokenizer.chat_template:
        raise BadInput(
            f"{name}: the tokenizer has no chat template, and models are asked in messages; take "
            "the model's instruct version, or put its chat_template.jinja beside the tokenizer"
        )
    return tokenizer


def _model(settings: LocalModel, source: str, device: torch.device) -> Any:
    name = settings.model
    options: dict[str, Any] = {
        "dtype": _dtype(settings, device),
        "output_loading_info": True,
        "trust_remote_code": False,  # nor is anybody asked whether to
    }
    if (Path(source) / "adapter_config.json").exists():
        raise BadInput(
            f"{name}: this is an adapter, not a model; name it under adapter, and the model that "
            "it adapts under model"
        )
    if settings.four_bit:
        options |= _four_bit(name, device, options["dtype"])
    if device.type == "cuda":
        _require("accelerate", name, "a model on a GPU")
        options["device_map"] = {"": device}
    try:
        found: Any = AutoModelForCausalLM.from_pretrained(source, **options)
        model, info = found
        # Else weights that the folder lacks would be random numbers, and so every verdict.
        absent = sorted(info["missing_keys"]) + sorted(str(key) for key in info["mismatched_keys"])
        if absent:
            raise BadInput(
                f"{name}: {len(absent)} weights of this language model are missing or of another "
                f"shape ({absent[0]}); take a folder with all weights of a causal language model"
            )
        return model if device.type == "cuda" else model.to(device)
    except LOADING_FAILS_WITH as error:
        raise BadInput(why_not(name, "the model", error)) from error


def _four_bit(name: str, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    _require("bitsandbytes", name, "four_bit")
    if device.type != "cuda":
        raise BadInput(f"{name}: four_bit needs a CUDA GPU; set four_bit = false")
    from transformers import BitsAndBytesConfig

    return {
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
        )
    }


def adapted(settings: LocalModel, model: Any) -> Any:
    """The model with its adapter; merged, so that it costs no time, unless weights have 4 bits.

    Raises:
        BadInput: The adapter is not there, or another model's.
    """
    _require("peft", settings.model, "an adapter")
    from peft import PeftModel

    source = source_of(settings.adapter, settings.base)
    try:
        with warnings.catch_warnings():
            # peft 0.21 reads a property that transformers 5.23 has renamed; nobody here can help.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated")
            found: Any = PeftModel.from_pretrained(model, source)
    except LOADING_FAILS_WITH as error:
        raise BadInput(why_not(settings.adapter, "the adapter", error)) from error
    return found.get_base_model() if settings.four_bit else found.merge_and_unload()


def _n_tokens(name: str, model: Any, tokenizer: Any) -> int:
    # Added tokens may go beyond: folders exist whose tokenizer has some that are never used.
    n_rows = model.get_input_embeddings().weight.shape[0]
    if tokenizer.vocab_size > n_rows:
        raise BadInput(
            f"{name}: the tokenizer has {tokenizer.vocab_size:,} tokens and the model {n_rows:,}; "
            "take the tokenizer that the model was trained with"
        )
    return int(n_rows)


def _eos_ids(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """What ends an answer, by anybody's word: generation_config, config and tokenizer."""
    said = (
        model.generation_config.eos_token_id,
        model.config.get_text_config().eos_token_id,
        tokenizer.eos_token_id,
    )
    ids: dict[int, None] = {}
    for value in said:
        for token in value if isinstance(value, list) else [value]:
            if token is not None:
                ids[int(token)] = None
    return tuple(ids)


def _context(model: Any, tokenizer: Any) -> int | None:
    config = model.config.get_text_config()
    context = getattr(config, "max_position_embeddings", None)
    if context is None and tokenizer.model_max_length < _NO_LIMIT:
        context = tokenizer.model_max_length
    return None if context is None else int(context)


def _require(package: str, name: str, what: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise BadInput(f"{name}: {what} needs the package {package}; pip install {package}")


def why_not(name: str, what: str, error: BaseException) -> str:
    """One sentence of what a library said in many lines."""
    if isinstance(error, KeyError):
        said = f"unknown {error}"
    else:
        said = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason")
    if isinstance(error, OSError) and "connect" in said:
        return f"{name}: no such folder, and the hub cannot be reached; name a folder with a model"
    return f"{name}: {what} cannot be loaded ({said.rstrip('.')[:200]}); check the folder or name"


@contextmanager
def quiet_loading() -> Iterator[None]:
    """No bars and no notes of the library while it loads; what is wrong is raised anyway."""
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
