"""Which way a pair is judged, and whether the judge is fit for the policy that it labels.

Safety-critical prompts go to the constitutional path (a judge per principle), the rest to plain
judging. A judge that is the policy itself, or no larger, is warned about: it cannot see what the
policy cannot, and known gains then plateau.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

from pydantic import JsonValue

from pipelines.records import PreferencePair

Route = Literal["constitutional", "plain"]


class CriticalRule(Protocol):
    """What makes a pair safety-critical; `[audit.safety]` of the project is one."""

    @property
    def subsets(self) -> tuple[str, ...]:
        """Values of `subset`."""
        ...

    @property
    def tags(self) -> tuple[str, ...]:
        """Values in `meta.tags` or `meta.tag`."""
        ...

    @property
    def pattern(self) -> str:
        """A regular expression, searched in the prompt, upper and lower case alike."""
        ...


@dataclass(frozen=True)
class JudgeWarning:
    """Why a judge may not be fit for the policy that it labels."""

    kind: Literal["same model", "not larger"]
    judge_model: str
    policy_model: str
    sentence: str


def route(pair: PreferencePair, critical: CriticalRule) -> Route:
    """The path of a pair: constitutional when any part of the rule holds for it."""
    return "constitutional" if is_critical(pair, critical) else "plain"


def is_critical(pair: PreferencePair, rule: CriticalRule) -> bool:
    """Whether a pair is safety-critical, as the audit's own stratum reads the same rule."""
    if pair.subset is not None and pair.subset in rule.subsets:
        return True
    if rule.tags and any(
        tag in rule.tags for key in ("tags", "tag") for tag in _texts(pair.meta.get(key))
    ):
        return True
    return bool(rule.pattern) and _compiled(rule.pattern).search(_prompt_text(pair)) is not None


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
        if _model_name(judge_model) == _model_name(policy):
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
    found = _SIZE.findall(_model_name(model))
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


def _model_name(model: str) -> str:
    """The model without who publishes it, its revision, and how its weights are packed."""
    name = model.strip().casefold().split("@", 1)[0].rstrip("/").rsplit("/", 1)[-1]
    while (shorter := _PACKED.sub("", name)) != name:
        name = shorter
    return name


@lru_cache(maxsize=16)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _texts(value: JsonValue) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str)]


def _prompt_text(pair: PreferencePair) -> str:
    if isinstance(pair.prompt, str):
        return pair.prompt
    return "\n".join(turn.content for turn in pair.prompt)
