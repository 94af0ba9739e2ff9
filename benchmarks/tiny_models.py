"""Small random models with a tokenizer of their own, saved as folders that `from_pretrained` loads.

No model hub is needed. Shared by the tests of the local engine and by its benchmark.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
REFUSES_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}" + CHATML
)
DROPS_SYSTEM = CHATML.replace("messages %}", "messages if m.role != 'system' %}")

_TEXT = (
    "which response is better helpful honest harmless answer question the a an of to and in is it "
    "that for kettle sings before boils because small bubbles collapse on way up judge first "
    "second A B tie reply with one letter only consider accuracy length tone safety reason think"
)
_WORDS = _TEXT.split()

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}


def sentence(number: int, n_words: int) -> str:
    """Words that follow from the number alone."""
    return " ".join(
        _WORDS[(number * 7919 + k * k * 31 + k * number) % len(_WORDS)] for k in range(n_words)
    )


def make_tokenizer(
    chat_template: str | None = CHATML, corpus: Iterable[str] | None = None, n_tokens: int = 600
) -> PreTrainedTokenizerFast:
    """A byte-level BPE trained on a few sentences: any text can be written in it."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=n_tokens,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<pad>", "<|im_start|>", "<|im_end|>"],
        show_progress=False,
    )
    texts = corpus if corpus is not None else (sentence(k, 30) for k in range(300))
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<pad>", eos_token="<|im_end|>"
    )
    tokenizer.chat_template = chat_template
    return tokenizer


def make_model(
    folder: Path,
    model_type: str = "llama",
    chat_template: str | None = CHATML,
    seed: int = 0,
    **shape: Any,
) -> Path:
    """Saves a random model of an architecture of `transformers` and its tokenizer.

    Args:
        folder: Made when it is not there.
        model_type: As in a config.json: "llama", "qwen2".
        chat_template: None for a tokenizer without one.
        seed: Of the weights.
        shape: Keys of the architecture's config, over those of `SMALL`.
    """
    tokenizer = make_tokenizer(chat_template)
    config = AutoConfig.for_model(
        model_type,
        **SMALL
        | {
            "vocab_size": len(tokenizer) + 8,  # some architectures' tokenizers add their own
            "initializer_range": 0.2,  # so that answers differ from question to question
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "bos_token_id": None,
        }
        | shape,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
