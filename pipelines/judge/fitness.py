"""Whether a judge is fit for the policy that it labels.

A judge that is the policy itself, or no larger, is warned about: it cannot see what the policy
cannot, and known gains then plateau.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class JudgeWarning:
    """Why a judge may not be fit for the policy that it labels."""

    kind: Literal["same model", "not larger"]
    judge_model: str
    policy_model: str
    sentence: str


def judge_warnings(
    judge_model: str, policy_models: Iterable[str], sizes: Mapping[str, float] | None = None
) -> tuple[JudgeWarning, ...]:
    """What is to be said about a judge of these policies' responses.

    Args:
        judge_model: The judge's model.
        policy_models: The models that wrote the responses.
        sizes: Billions of parameters of models whose names do not say it, or say it wrong.
    """
    known = sizes or {}
    found = []
    for policy in sorted(set(policy_models)):
        mine, theirs = _size(judge_model, known), _size(policy, known)
        if model_name(judge_model) == model_name(policy):
            found.append(
                JudgeWarning(
                    "same model",
                    judge_model,
                    policy,
                    f'the judge "{judge_model}" is the policy that it labels; it favours its '
                    "own ways and known gains then plateau: take a stronger one, or audit more",
                )
            )
        elif mine is not None and theirs is not None and mine <= theirs:
            found.append(
                JudgeWarning(
                    "not larger",
                    judge_model,
                    policy,
                    f'the judge "{judge_model}" ({mine:g}B) is no larger than the policy '
                    f'"{policy}" ({theirs:g}B) that it labels; known gains then plateau: take a '
                    "stronger judge, or audit more",
                )
            )
    return tuple(found)


def parameters_in_name(model: str) -> float | None:
    """Billions of parameters that a model's name states ("Qwen2.5-7B", "8x7b", "350m"), if any."""
    found = _SIZE.findall(model_name(model))
    if len(found) != 1:
        return None  # none, or two that cannot both be it
    experts, number, unit = found[0]
    return float(experts or 1) * float(number) * {"b": 1.0, "m": 0.001, "t": 1000.0}[unit]


# Not the active parameters of a mixture ("30B-A3B"), nor a part of a word or version.
_SIZE = re.compile(r"(?<![a-z0-9.])(?:(\d{1,3})x)?(\d{1,4}(?:\.\d+)?)([bmt])(?![a-z0-9])")
_PACKED = re.compile(
    r"[-_.](?:awq|gptq|gguf|bnb|fp8|fp16|bf16|int[48]|[48]bit|q[2-8](?:_[a-z0-9_]+)?)$"
)


def _size(model: str, known: Mapping[str, float]) -> float | None:
    return known[model] if model in known else parameters_in_name(model)


def model_name(model: str) -> str:
    """The model without who publishes it, its revision, and how its weights are packed."""
    name = model.strip().casefold().split("@", 1)[0].rstrip("/").rsplit("/", 1)[-1]
    while (shorter := _PACKED.sub("", name)) != name:
        name = shorter
    return name
