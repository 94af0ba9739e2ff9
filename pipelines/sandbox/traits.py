"""What a simulated model is like: its skill, its biases, its faults. One table of a TOML file each.

Whatever is drawn from a trait follows from the seed, the model's name and the request.
"""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines.sandbox.grammar import REPLIES
from pipelines.sandbox.scoring import PRINCIPLES
from pipelines.toml_files import read_toml

MARK = "simulated"

Rate = Annotated[float, Field(ge=0.0, le=1.0)]
Seconds = Annotated[float, Field(ge=0.0, le=600.0)]


class JudgeTraits(BaseModel):
    """How a simulated model judges, criticises and revises.

    Attributes:
        skill: Probability that a principle is kept (when it writes), seen rightly (when it judges
            or criticises) or repaired (when it revises): one for all, or by principle; one that is
            not named is 1.
        accuracy: Share of decisive pairs of the sandbox on which it would say the better reply,
            were it seen rightly and nothing else swayed it; larger gaps are told more surely.
        position_bias: Points, -100 to 100: in this share of pairs the reply shown first (if
            negative, second) wins whatever it says, so P(a wins | a is first) - P(a wins | a is
            second) is this.
        length_bias: Added to the logit of a win for each unit of log length ratio.
        self_preference: Added to the logit for a reply that carries its own `phrase`.
        phrase: A closing sentence that its own replies end with; by it, it knows them again.
        weights: By principle, a factor on its weight: 0 is blind to it, -1 has it upside down.
        confidence_slope: Factor on the logit of the confidence that it states: 1 is calibrated,
            2 too sure, 0.5 not sure enough.
        consistency: Share of questions that it answers alike each time the same pair is asked
            about, whatever the order and the sample; the others are drawn anew.
        refusal_rate: Share of requests that it declines.
        malformed_rate: Share of requests that it answers in no form that was asked for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    skill: Rate | dict[str, Rate] = 1.0
    accuracy: Annotated[float, Field(ge=0.5, le=1.0)] = 0.9
    position_bias: Annotated[float, Field(ge=-100.0, le=100.0)] = 0.0
    length_bias: float = 0.0
    self_preference: float = 0.0
    phrase: str = ""
    weights: dict[str, float] = Field(default_factory=dict)
    confidence_slope: Annotated[float, Field(gt=0.0, le=20.0)] = 1.0
    consistency: Rate = 1.0
    refusal_rate: Rate = 0.0
    malformed_rate: Rate = 0.0

    @model_validator(mode="after")
    def _of_this_world(self) -> Self:
        named = [*self.weights, *(self.skill if isinstance(self.skill, dict) else ())]
        for principle in named:
            if principle not in PRINCIPLES:
                raise ValueError(
                    f'"{principle}" is no principle of the sandbox; it has {", ".join(PRINCIPLES)}'
                )
        if self.phrase and self.phrase not in REPLIES["close"]:
            raise ValueError(
                f'phrase is "{self.phrase}"; it must be one of: {" / ".join(REPLIES["close"])}'
            )
        if self.self_preference and not self.phrase:
            raise ValueError("self_preference needs a phrase to know its own replies by; set one")
        return self

    def skill_in(self, principle: str) -> float:
        """The skill in one principle."""
        return self.skill.get(principle, 1.0) if isinstance(self.skill, dict) else self.skill


class ModelTraits(JudgeTraits):
    """A simulated model behind a server: how it judges, and how the service behaves.

    `latency_ms` is waited before each answer. The rates are shares of calls, drawn anew each time
    a request comes back: `busy_rate` is answered 429 with `Retry-After: retry_after_s`,
    `error_rate` 500, and of `cut_rate` the connection ends within the answer.
    """

    latency_ms: Annotated[float, Field(ge=0.0, le=600_000.0)] = 0.0
    busy_rate: Rate = 0.0
    retry_after_s: Seconds = 1.0
    error_rate: Rate = 0.0
    cut_rate: Rate = 0.0

    @model_validator(mode="after")
    def _errors_leave_room(self) -> Self:
        if self.busy_rate + self.error_rate + self.cut_rate > 1.0:
            raise ValueError("busy_rate, error_rate and cut_rate add up to more than 1; lower one")
        return self


class TraitsFile(BaseModel):
    """The simulated models of one server, by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: Annotated[dict[str, ModelTraits], Field(min_length=1)]

    @model_validator(mode="after")
    def _called_simulated(self) -> Self:
        for name in self.models:
            if MARK not in name:
                raise ValueError(
                    f'the model "{name}" must be called simulated, so that nobody takes its output '
                    f'for a real one\'s; name it "{MARK}-{name}"'
                )
        return self


def load_traits(path: Path) -> dict[str, ModelTraits]:
    """The simulated models of a TOML file.

    Raises:
        BadInput: It cannot be read, or breaks a rule; the message names the file and the key.
    """
    return read_toml(path, TraitsFile, "a file of simulated models").models
