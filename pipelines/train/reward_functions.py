"""What online training is rewarded for: R = sigma(reward model) + shaping x R_const, or a judge.

A function of the user's own is named "file.py:name" (a file of the project) or
"package.module:name". It is called as

    function(prompts: list[list[dict]], responses: list[str]) -> list[float]

with each prompt as chat messages. `constitution` returns how well the rules are kept, 0 to 1;
`violation` returns 1 where one is broken; `watch` returns what a held-out judge thinks, higher for
better. A judge in place of a function gives NaN where it failed: nobody learns from that response.
"""

import importlib
import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipelines.errors import BadInput
from pipelines.records import Message
from pipelines.train.ppo import Scores
from pipelines.train.reward import rewards
from pipelines.train.run_folder import content_hash

Prompt = tuple[Message, ...]
Function = Callable[[Sequence[Prompt], Sequence[str]], list[float]]


@dataclass(frozen=True)
class Scorer:
    """A function or judge, and what the run's folder keeps of it.

    Attributes:
        function: Scores responses to prompts.
        said: Its name with a hash of what it does, where that is known.
    """

    function: Function
    said: str

    def __call__(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
        """The score of each response."""
        return self.function(prompts, responses)


@dataclass(frozen=True)
class Reward:
    """The reward of a response, put together from its parts: NaN where one of them is.

    Attributes:
        model: A reward model's raw score; it enters as sigma(score). None without one.
        judge: A judge's own score, 0 to 1, instead of a reward model.
        constitution: R_const; None without shaping.
        shaping: Its weight.
        violation: 1 where a rule is broken; None where nobody looks.
    """

    model: Function | None = None
    judge: Function | None = None
    constitution: Function | None = None
    shaping: float = 0.0
    violation: Function | None = None

    def __call__(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> Scores:
        """The scores of a batch, and the mean of each part."""
        total = torch.zeros(len(responses))
        parts: dict[str, float] = {}
        for name, function, weight in (
            ("reward_model", self.model, 1.0),
            ("judge", self.judge, 1.0),
            ("constitution", self.constitution, self.shaping),
        ):
            if function is None:
                continue
            part = torch.tensor(function(prompts, responses), dtype=torch.float32)
            part = torch.sigmoid(part) if name == "reward_model" else part
            parts[name] = float(part.nanmean())
            total = total + weight * part
        broken = None
        if self.violation is not None:
            broken = (torch.tensor(self.violation(prompts, responses)) > 0.5).float()
        return Scores(total, broken, parts)


def of_model(model: Any, tokenizer: Any, max_length: int) -> Function:
    """A reward model's raw scores."""

    def function(prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
        return rewards(model, tokenizer, list(zip(prompts, responses, strict=True)), max_length)

    return function


def named_function(name: str, base: Path) -> Scorer:
    """The user's function of that name, its answers checked.

    Raises:
        BadInput: There is no such file, module or function.
    """
    place, colon, attribute = name.rpartition(":")
    if not colon:
        raise BadInput(f'"{name}": write a function as file.py:name or package.module:name')
    path = base / place if place.endswith(".py") else None
    try:
        module = importlib.import_module(place) if path is None else _from_file(path)
        function = getattr(module, attribute)
    except (ImportError, OSError, SyntaxError, AttributeError) as error:
        raise BadInput(f'"{name}": this function cannot be loaded ({error})') from error

    def checked(prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
        turns = [[turn.model_dump() for turn in prompt] for prompt in prompts]
        found = [float(value) for value in function(turns, list(responses))]
        if len(found) != len(responses) or not all(map(math.isfinite, found)):
            raise BadInput(
                f'"{name}": gave {len(found)} numbers for {len(responses)} responses, or one that '
                "is not finite; return one finite number for each"
            )
        return found

    return Scorer(checked, name if path is None else f"{name} {content_hash(path)}")


def _from_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
