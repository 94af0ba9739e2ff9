"""Lets a small model on a CPU answer many prompts at once, as fast as a CPU allows.

For training and its checks; `pipelines.models.local` runs the same model where requests come one
by one. A seed fixes all replies of a call together, not each of them.
"""

from collections.abc import Sequence
from typing import Any

import torch

from pipelines.sandbox.tiny_model import encode_prompt

MAX_NEW_TOKENS = 64  # the longest reply of the grammar has 52


@torch.inference_mode()
def sample_ids(
    model: Any,
    prompts: Sequence[Sequence[int]],
    generator: torch.Generator,
    *,
    pad_id: int,
    end_id: int,
    temperature: float = 1.0,
    max_new_tokens: int = MAX_NEW_TOKENS,
) -> list[list[int]]:
    """One continuation of each prompt, without its end token.

    Args:
        model: A causal language model in evaluation mode.
        prompts: Token ids; they are padded on the left. All of them make one batch.
        generator: The source of chance.
        pad_id: Fills shorter rows.
        end_id: Ends a reply.
        temperature: Above 0; 0 takes the likeliest token.
        max_new_tokens: A reply is cut off there.
    """
    width = max(len(ids) for ids in prompts)
    tokens = torch.tensor([[pad_id] * (width - len(ids)) + list(ids) for ids in prompts])
    gaps = torch.tensor([width - len(ids) for ids in prompts])[:, None]
    seen = (torch.arange(width)[None] >= gaps).long()  # (n_prompts, n_tokens so far)
    places = (torch.arange(width)[None] - gaps).clamp(min=0)
    done = torch.zeros(len(prompts), dtype=torch.bool)
    written: list[torch.Tensor] = []
    cache = None
    for _ in range(max_new_tokens):
        out = model(
            input_ids=tokens,
            attention_mask=seen,
            position_ids=places,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache = out.past_key_values
        logits = out.logits[:, -1].float()  # (n_prompts, n_words)
        if temperature > 0:
            chances = torch.softmax(logits / temperature, -1)
            tokens = torch.multinomial(chances, 1, generator=generator)
        else:
            tokens = logits.argmax(-1, keepdim=True)
        tokens[done] = end_id
        written.append(tokens)
        done |= tokens[:, 0] == end_id
        if done.all():
            break
        seen = torch.cat([seen, torch.ones_like(tokens)], 1)
        places = places[:, -1:] + 1
    rows = torch.cat(written, 1).tolist()
    return [row[: row.index(end_id)] if end_id in row else row for row in rows]


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
    was_training = model.training
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    replies: list[str] = []
    for start in range(0, len(messages), batch):
        prompts = [encode_prompt(tokenizer, one) for one in messages[start : start + batch]]
        rows = sample_ids(
            model,
            prompts,
            generator,
            pad_id=tokenizer.pad_token_id,
            end_id=tokenizer.eos_token_id,
            temperature=temperature,
            max_new_tokens=max_new_tokens,
        )
        replies += tokenizer.batch_decode(rows, skip_special_tokens=True)
    model.train(was_training)
    return replies
