"""A model as `project.toml` describes it: where it is, what it costs, how it samples."""

import hashlib
import json
import re
from collections.abc import Collection
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

Name = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]
Dollars = Annotated[float, Field(ge=0.0)]
Seconds = Annotated[float, Field(gt=0.0)]
# Also the name of a folder.
FolderName = Annotated[str, Field(pattern=r"^[^\s/\\.][^/\\\x00-\x1f]*$", max_length=100)]

# Where, how fast and at what price: what the engine is asked and answers does not depend on it.
_HOW_IT_RUNS = frozenset(
    {
        "name",
        "base_url",
        "api_key_env",
        "usd_per_1m_input",
        "usd_per_1m_output",
        "concurrency",
        "timeout_s",
        "retries",
    }
)
_HOW_IT_RUNS_LOCALLY = frozenset({"device", "memory_share", "max_batch"})


class Part(BaseModel):
    """Base of what a model's section holds: immutable, nothing undeclared, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LocalOptions(Part):
    """`[judges.local]`, `[models.local]`: how a local model is loaded and run."""

    device: Name = "auto"
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    four_bit: bool = False
    adapter: str = ""
    memory_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.85
    max_batch: Count = 256


class EngineSpec(Part):
    """Who answers: what judges and all other models have in common."""

    noun: ClassVar[str] = "model"  # as messages call it

    name: FolderName
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
    local: LocalOptions = LocalOptions()

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
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

    def asked(self, also_not: Collection[str] = ()) -> dict[str, Any]:
        """What a change of changes the answers, as JSON values: the part that a hash is made of.

        Args:
            also_not: More keys that do not count.
        """
        values = self.model_dump(mode="json", exclude={*_HOW_IT_RUNS, *also_not})
        if self.engine == "local":
            values["local"] = {
                key: value
                for key, value in values["local"].items()
                if key not in _HOW_IT_RUNS_LOCALLY
            }
        else:
            del values["local"]
        return values


class ModelSpec(EngineSpec):
    """`[[models]]`: one that writes: a policy, a critic, a reviser."""

    engine: Literal["endpoint", "local"] = "endpoint"
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 1.0
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    max_tokens: Count = 512
    stop: tuple[Name, ...] = ()
    system: str = ""

    def hash(self) -> str:
        """Names model and sampling: equal hashes, equal answers but for the seed."""
        return hash_of(self.asked())


def hash_of(value: object) -> str:
    """32 hex digits of SHA-256 over a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
