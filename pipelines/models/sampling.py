"""One batch of continuations with a key-value cache: what reinforcement learning samples with.

`pipelines.models.local` answers requests that come one by one; here a trainer holds the model and
all prompts of a step, and wants token ids back.
"""

from collections.abc import Sequence
from typing import Any

import torch


@torch.inference_mode()
def sample_ids(
    model: Any,
    prompts: Sequence[Sequence[int]],
    generator: torch.Generator,
    *,
    pad_id: int,
    end_ids: Sequence[int],
    temperature: float = 1.0,
    max_new_tokens: int,
) -> list[list[int]]:
    """One continuation of each prompt, with the token that ended it.

    Args:
        model: A causal language model; dropout is off while it samples.
        prompts: Token ids; they are padded on the left. All of them make one batch.
        generator: The source of chance, on the model's device.
        pad_id: Fills shorter rows.
        end_ids: Each of these ends a continuation.
        temperature: Above 0; 0 takes the likeliest token.
        max_new_tokens: A continuation is cut off there, and then has no end token.
    """
    device = model.device
    width = max(len(ids) for ids in prompts)
    tokens = torch.tensor([[pad_id] * (width - len(i)) + list(i) for i in prompts], device=device)
    gaps = torch.tensor([[width - len(ids)] for ids in prompts], device=device)
    attended = (torch.arange(width, device=device)[None] >= gaps).long()
    places = (torch.arange(width, device=device)[None] - gaps).clamp(min=0)
    ends = torch.tensor(list(end_ids), device=device)
    done = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    written: list[torch.Tensor] = []
    cache = None
    was_training = model.training
    model.eval()
    for _ in range(max_new_tokens):
        out = model(
            input_ids=tokens, attention_mask=attended, position_ids=places,
            past_key_values=cache, use_cache=True, logits_to_keep=1,
        )  # fmt: skip
        cache = out.past_key_values
        logits = out.logits[:, -1].float()  # (n_prompts, n_words)
        if temperature > 0:
            chances = torch.softmax(logits / temperature, -1)
            tokens = torch.multinomial(chances, 1, generator=generator)
        else:
            tokens = logits.argmax(-1, keepdim=True)
        tokens = tokens.masked_fill(done[:, None], pad_id)
        written.append(tokens)
        done |= torch.isin(tokens[:, 0], ends) & ~done
        if done.all():
            break
        attended = torch.cat([attended, torch.ones_like(tokens)], 1)
        places = places[:, -1:] + 1
    model.train(was_training)
    return [_up_to_end(row, set(end_ids)) for row in torch.cat(written, 1).tolist()]


def _up_to_end(row: list[int], end_ids: set[int]) -> list[int]:
    for at, token in enumerate(row):
        if token in end_ids:
            return row[: at + 1]
    return row
