"""A real language model that is tiny: plain `transformers`, a third of a million parameters.

A Llama of three layers over words instead of word pieces, which `from_pretrained` loads like any
other. `tiny_model_training` trains it, `tiny_model_sampling` lets it answer.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from pipelines.models.local_model import quiet_loading
from pipelines.sandbox.grammar import (
    BROKEN_OFF,
    HARMS,
    ISSUES,
    ITEMS,
    MESSAGES,
    NAMES,
    ODDS,
    ORDERS,
    REMEDIES,
    REPLIES,
)

CUSTOMER, DESK = "<customer>", "<desk>"
_CONTROL = ("<pad>", "<end>", "<unk>", CUSTOMER, DESK)
CONTEXT = 256  # tokens; a message and its reply have some 45

# `generation` marks what an assistant says, for losses on that alone (assistant_only_loss).
CHAT_TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ '<desk> ' }}"
    "{% generation %}{{ m['content'] + ' ' + eos_token }}{% endgeneration %}{{ ' ' }}"
    "{% else %}{{ '<customer> ' + m['content'] + ' ' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<desk> ' }}{% endif %}"
)


@dataclass(frozen=True)
class Shape:
    """The size of a model."""

    hidden: int = 96
    layers: int = 3
    mlp: int = 256
    heads: int = 4


def vocabulary() -> list[str]:
    """Every word and mark that the grammar can write, sorted."""
    texts: list[str] = [*NAMES, *ITEMS, *ORDERS, *REMEDIES.values(), *BROKEN_OFF]
    texts += [*HARMS.values(), *ODDS.values()]
    for several in (*ISSUES.values(), *MESSAGES.values(), *REPLIES.values()):
        texts += several
    return sorted({word for text in texts for word in _words(text)})


def _words(text: str) -> Iterable[str]:
    return re.findall(r"\w+|[.,?]", re.sub(r"\{\w+\}", " ", text))


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word; a word that the world does not have is <unk>."""
    words = {word: place for place, word in enumerate([*_CONTROL, *vocabulary()])}
    by_word = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    by_word.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]
    )
    # No token begins with its prefix: it joins words by spaces, with none before a full stop.
    by_word.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=by_word,
        pad_token="<pad>",
        eos_token="<end>",
        unk_token="<unk>",
        extra_special_tokens=[CUSTOMER, DESK],
        model_max_length=CONTEXT,
        padding_side="left",
        clean_up_tokenization_spaces=False,  # the decoder has done it
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def new_model(n_tokens: int, shape: Shape, seed: int) -> LlamaForCausalLM:
    """A model with random weights; `n_tokens` is the size of its vocabulary."""
    config = LlamaConfig(
        vocab_size=n_tokens,
        hidden_size=shape.hidden,
        intermediate_size=shape.mlp,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        pad_token_id=_CONTROL.index("<pad>"),
        eos_token_id=_CONTROL.index("<end>"),
        bos_token_id=None,
        initializer_range=0.05,  # what the usual 0.02 is to models that are ten times wider
    )
    with torch.random.fork_rng(devices=[]):  # the library draws from torch's own generator
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    # What `transformers serve` goes by: without it every reply is the likeliest one, whose faults
    # are few; and all words may come.
    model.generation_config.do_sample = True
    model.generation_config.top_k = 0
    return model


def encode_prompt(tokenizer: Any, message: str) -> list[int]:
    """The tokens of a customer's message, ready for the reply; as the chat template has them."""
    words = tokenizer(message, add_special_tokens=False)["input_ids"]
    customer, desk = tokenizer.convert_tokens_to_ids([CUSTOMER, DESK])
    return [customer, *words, desk]


def encode_reply(tokenizer: Any, reply: str) -> list[int]:
    """The tokens of a reply and its end."""
    return [*tokenizer(reply, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write both as a folder that `from_pretrained` loads."""
    with quiet_loading():  # it quietens saving as well
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
