"""A judge as `project.toml` describes it: one `[[judges]]` section, frozen and checked."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipelines.agreement.annotations import Doubt
from pipelines.models.spec import Count, EngineSpec, Name, hash_of
from pipelines.records import Order

Mode = Literal[
    "logprob", "cot+logprob", "verdict", "self-consistency", "rating", "per-principle", "check"
]
# Modes that show one response at a time: there is no order to ask in.
ALONE: tuple[Mode, ...] = ("rating", "check")

Unit = Annotated[float, Field(ge=0.0, le=1.0)]

# What a change of does not change the question or its answer either, so nothing is judged again.
# The files that are named (template, constitution, examples) count by content: Template.hash.
_NOT_ASKED = frozenset(
    {
        *("template", "language", "preamble", "examples", "constitution", "orders"),
        *("abstain_below", "route"),
    }
)


class JudgeSpec(EngineSpec):
    """One judge. `hash()` names the question that it asks."""

    noun: ClassVar[str] = "judge"

    mode: Mode = "logprob"
    template: Name = "dialogue"
    language: Literal["en", "zh"] = "en"
    preamble: Literal["basic", "detailed"] = "detailed"
    examples: str = ""
    constitution: str = ""
    orders: Annotated[tuple[Order, ...], Field(min_length=1, max_length=2)] = ("ab", "ba")
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    max_tokens: Count | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    samples: Annotated[int, Field(ge=1, le=100)] = 5
    # How each sample of self-consistency and each principle is answered.
    answer: Literal["logprob", "verdict"] = "logprob"
    rationale: bool = False  # a verdict, rating or principle with its reasons first
    criteria: tuple[Name, ...] = ()  # of the template; all of them when empty
    scale: Annotated[int, Field(ge=2, le=100)] = 10
    tie_margin: Annotated[float, Field(ge=0.0)] = 0.0  # ratings at most this far apart are a tie
    weights: dict[str, Annotated[float, Field(ge=0.0)]] = Field(default_factory=dict)
    route: Literal["all", "critical", "rest"] = "all"  # the pairs that it is asked about
    abstain_below: Unit = 0.7
    medium_from: Unit = 0.5
    high_from: Unit = 0.8

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if len(set(self.orders)) != len(self.orders):
            raise ValueError("orders names one order twice; write each once")
        if self.medium_from >= self.high_from:
            raise ValueError("medium_from is not below high_from; put it below")
        if self.rationale and self.mode == "logprob":
            raise ValueError('mode logprob has no rationale; set mode = "cot+logprob"')
        if self.mode == "self-consistency" and self.temperature == 0.0:
            raise ValueError(
                "temperature 0 makes every sample of self-consistency the same; set it above 0"
            )
        return self

    @property
    def asked_temperature(self) -> float:
        """The temperature that is used: 0 for verdicts, 0.3 with a rationale, unless set."""
        if self.temperature is not None:
            return self.temperature
        reasons = self.rationale or self.mode in ("cot+logprob", "self-consistency")
        return 0.3 if reasons else 0.0

    @property
    def doubt(self) -> Doubt | None:
        """When this judge's combined label abstains, by `abstain_below`; None: never.

        A probability is its own confidence. One in words runs from a coin toss (0) to certain (1),
        which `pipelines.judge.asking` keeps as p = (1 + c) / 2; a tie in words has no side to be
        unsure of. Ratings and checks state no confidence.
        """
        if self.mode in ALONE and self.engine != "labeler":
            return None
        if self.mode == "verdict" and self.engine != "labeler":
            return Doubt((1.0 + self.abstain_below) / 2.0, ties_stand=True)
        return Doubt(self.abstain_below)

    def hash(self, template_hash: str) -> str:
        """Names everything that changes the question: equal hashes, equal question.

        Args:
            template_hash: `Template.hash`, over all text that goes into the question: preamble,
                constitution, examples, ending. The names of those files do not count.
        """
        return hash_of([self.asked(_NOT_ASKED), template_hash])
