"""A judge as `project.toml` describes it: one `[[judges]]` section, frozen and checked."""

import hashlib
import json
import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from pipelines.agreement.annotations import Doubt
from pipelines.records import Order

Mode = Literal["logprob", "cot+logprob", "verdict", "self-consistency", "rating", "per-principle"]

Name = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]
Dollars = Annotated[float, Field(ge=0.0)]
Seconds = Annotated[float, Field(gt=0.0)]
Unit = Annotated[float, Field(ge=0.0, le=1.0)]
# Also the name of a folder.
JudgeName = Annotated[str, Field(pattern=r"^[^\s/\\.][^/\\\x00-\x1f]*$", max_length=100)]

# What a change of does not change the question or its answer, so nothing is judged again.
# The files that are named (template, constitution, examples) count by content: Template.hash.
_NOT_ASKED = frozenset(
    {
        "name",
        "base_url",
        "api_key_env",
        "usd_per_1m_input",
        "usd_per_1m_output",
        "concurrency",
        "timeout_s",
        "retries",
        "template",
        "language",
        "preamble",
        "examples",
        "constitution",
        "orders",
        "abstain_below",
    }
)
_LOCAL_NOT_ASKED = frozenset({"device", "memory_share", "max_batch"})


class Part(BaseModel):
    """Base of what a judge's section holds: immutable, nothing undeclared, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LocalOptions(Part):
    """`[judges.local]`: how a local model is loaded and run."""

    device: Name = "auto"
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    four_bit: bool = False
    adapter: str = ""
    memory_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.85
    max_batch: Count = 256


class JudgeSpec(Part):
    """One judge. `hash()` names the question that it asks."""

    name: JudgeName
    engine: Literal["endpoint", "local", "labeler"] = "endpoint"
    model: Name
    base_url: str = "http://127.0.0.1:8000/v1"
    api_key_env: str = ""
    usd_per_1m_input: Dollars | None = None
    usd_per_1m_output: Dollars | None = None
    concurrency: Annotated[int, Field(ge=1, le=4096)] = 64
    timeout_s: Seconds = 120.0
    retries: Annotated[int, Field(ge=0, le=20)] = 5
    extra_body: dict[str, JsonValue] = Field(default_factory=dict)

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
    abstain_below: Unit = 0.7
    medium_from: Unit = 0.5
    high_from: Unit = 0.8
    local: LocalOptions = LocalOptions()

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
        if self.engine == "endpoint":
            if not re.match(r"https?://[^/\s@]+(/\S*)?$", self.base_url):
                raise ValueError(  # not shown: it may hold a password
                    "base_url is not an http(s) address without a user or password; write "
                    "something like https://host/v1"
                )
            if self.api_key_env and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.api_key_env):
                raise ValueError(
                    "api_key_env is not the name of an environment variable; put the key itself "
                    "into the environment and its variable's name here"
                )
        if (self.usd_per_1m_input is None) != (self.usd_per_1m_output is None):
            raise ValueError("of usd_per_1m_input and usd_per_1m_output one is set; set both")
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
        unsure of. Ratings state no confidence.
        """
        if self.mode == "rating" and self.engine != "labeler":
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
        asked = self.model_dump(mode="json", exclude=set(_NOT_ASKED))
        if self.engine == "local":
            asked["local"] = {
                key: value for key, value in asked["local"].items() if key not in _LOCAL_NOT_ASKED
            }
        else:
            del asked["local"]
        text = json.dumps([asked, template_hash], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]
