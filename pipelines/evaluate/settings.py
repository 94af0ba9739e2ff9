"""`[evaluate]` of project.toml: who is compared, on which prompts, by whom."""

from typing import Annotated

from pydantic import Field

from pipelines.models.spec import Count, Dollars, Name, Part


class EvaluateSettings(Part):
    """`[evaluate]`: win rates and suites, `workbench evaluate`."""

    prompts: Name = "held-out.jsonl"
    policies: tuple[Name, ...] = ()
    judges: tuple[Name, ...] = ()
    suites: tuple[Name, ...] = ()
    reward_models: tuple[Name, ...] = ()
    audit_pairs: Annotated[int, Field(ge=0)] = 0
    seed: Annotated[int, Field(ge=0)] = 0
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 1.0
    max_tokens: Count = 512
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    budget_usd: Dollars = 10.0
    max_requests: Count | None = None
