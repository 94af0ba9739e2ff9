"""Lets a small model on a CPU answer many prompts at once, as fast as a CPU allows.

For training and its checks; `pipelines.models.local` runs the same model where requests come one
by one. A seed fixes all replies of a call together, not each of them.
"""

from collections.abc import Sequence
from typing import Any

import torch

from pipelines.models.sampling import sample_ids
from pipelines.sandbox.tiny_model import encode_prompt

MAX_NEW_TOKENS = 64  # the longest reply of the grammar has 52


def sample_replies(
    model: Any,
    tokenizer: Any,
    messages: Sequence[str],
    seed: int,
    *,
    temperature: float = 1.0,
    max_new_tokens: int = MAX_NEW_TOKENS,
    batch: int = 256,
) -> list[str]:
    """One reply to each customer's message; equal calls give equal replies.

    Args:
        model: The tiny model, or one made of it.
        tokenizer: Its tokenizer.
        messages: The customers' messages.
        seed: Of the chance of this call.
        temperature: Above 0; 0 takes the likeliest token.
        max_new_tokens: A reply is cut off there.
        batch: Messages answered at once.
    """
    generator = torch.Generator().manual_seed(seed)
    replies: list[str] = []
    for start in range(0, len(messages), batch):
        prompts = [encode_prompt(tokenizer, one) for one in messages[start : start + batch]]
        rows = sample_ids(
            model,
            prompts,
            generator,
            pad_id=tokenizer.pad_token_id,
            end_ids=(tokenizer.eos_token_id,),
            temperature=temperature,
            max_new_tokens=max_new_tokens,
        )
        replies += tokenizer.batch_decode(rows, skip_special_tokens=True)
    return replies
