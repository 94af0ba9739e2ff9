"""One batch of continuations with a key-value cache: what reinforcement learning samples with.

`pipelines.models.local` answers requests that come one by one; here a trainer holds the model and
all prompts of a step, and wants token ids back.
"""

from collections.abc import Sequence
from typing import Any

import torch

_THIN = 0.8  # rows that ended are left out of the batch once no more than this share goes on


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
    device, n = model.device, len(prompts)
    width = max(len(ids) for ids in prompts)
    tokens = torch.tensor([[pad_id] * (width - len(i)) + list(i) for i in prompts], device=device)
    gaps = torch.tensor([[width - len(ids)] for ids in prompts], device=device)
    attended = (torch.arange(width, device=device)[None] >= gaps).long()
    places = (torch.arange(width, device=device)[None] - gaps).clamp(min=0)
    ends = torch.tensor(list(end_ids), device=device)
    rows = torch.arange(n, device=device)  # which prompts the tensors above still hold
    going = torch.ones(n, dtype=torch.bool, device=device)  # which of these have not ended
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
        logits = out.logits[:, -1].float()  # (n_rows, n_words)
        if temperature > 0:
            # Noise for all prompts: what one draws does not depend on which others have ended.
            chances = logits.new_ones(n, logits.shape[1])
            chances[rows] = torch.softmax(logits / temperature, -1)
            tokens = torch.multinomial(chances, 1, generator=generator)[rows]
        else:
            tokens = logits.argmax(-1, keepdim=True)
        written.append(tokens.new_full((n,), pad_id).scatter(0, rows[going], tokens[going, 0]))
        going = going & ~torch.isin(tokens[:, 0], ends)
        n_going = int(going.sum())
        if n_going == 0:
            break
        attended = torch.cat([attended, torch.ones_like(tokens)], 1)
        places = places[:, -1:] + 1
        if n_going <= _THIN * len(rows):
            kept = going.nonzero()[:, 0]
            cache.reorder_cache(kept)  # takes fewer rows too, and every kind of layer has it
            tokens, attended, places = tokens[kept], attended[kept], places[kept]
            rows, going = rows[kept], going[kept]
    model.train(was_training)
    return [_up_to_end(row, set(end_ids)) for row in torch.stack(written, 1).tolist()]


def _up_to_end(row: list[int], end_ids: set[int]) -> list[int]:
    for at, token in enumerate(row):
        if token in end_ids:
            return row[: at + 1]
    return row


def end_ids(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """What ends a response: the tokenizer's word, and the model's own."""
    said = [tokenizer.eos_token_id, model.generation_config.eos_token_id]
    flat = [one for each in said for one in (each if isinstance(each, list) else [each])]
    return tuple(dict.fromkeys(int(one) for one in flat if one is not None))
