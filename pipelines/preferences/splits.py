"""Splits by prompt: a prompt is on one side only, and stays there when the data grow."""

import hashlib
import json

from pipelines.errors import BadInput

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)


def place_of(prompt_json: str, seed: int) -> float:
    """Where a prompt falls in 0..1, by a hash of the prompt and the seed alone.

    A text and a conversation of that one turn of the user are the same prompt, as in an export:
    the pairs below its --test-share with the same seed are this module's test pairs.

    Args:
        prompt_json: The prompt as canonical JSON (`PreferencePair.prompt_json`).
        seed: Another seed, another split.
    """
    prompt = json.loads(prompt_json)
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    text = json.dumps([seed, turns], ensure_ascii=False)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def split_of(place: float, test_share: float, validation_share: float) -> str:
    """The split of a prompt by its place: test below, then validation, the rest is for training."""
    if place < test_share:
        return TEST
    return VALIDATION if place < test_share + validation_share else TRAIN


def check_shares(test_share: float, validation_share: float) -> None:
    """Refuse shares that leave nothing to train on."""
    if min(test_share, validation_share) < 0.0 or test_share + validation_share >= 1.0:
        raise BadInput(
            f"test_share {test_share} and validation_share {validation_share} must not be below 0 "
            "and must leave something to train on"
        )
