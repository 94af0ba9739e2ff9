"""The one run file, `project.toml`, as one frozen `RunConfig`. An unknown key is an error.

Every key has a default, so an empty file is a whole configuration. The defaults stand a second
time, with comments, in `workbench/templates/project.toml`; a test holds them equal.
"""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines.evaluate.settings import EvaluateSettings
from pipelines.judge.spec import JudgeSpec
from pipelines.models.spec import ModelSpec
from pipelines.toml_files import read_toml
from pipelines.train.settings import TrainSettings

CONFIG_NAME = "project.toml"

Share = Annotated[float, Field(gt=0.0, le=1.0)]
Line = Annotated[float, Field(gt=0.0, lt=1.0)]
Count = Annotated[int, Field(ge=1)]
Dollars = Annotated[float, Field(ge=0.0)]
Name = Annotated[str, Field(min_length=1)]
StageName = Literal["generate", "revise", "judge", "audit", "pairs", "export", "train", "evaluate"]
Method = Literal["sft", "reward", "dpo", "kto", "orpo", "ppo", "a2c", "rloo", "grpo"]

ERROR_TAGS = (
    "made up",
    "incoherent",
    "unsafe",
    "refuses needlessly",
    "off topic",
    "wrong language",
    "ignores the instruction",
    "incomplete",
    "too long",
)


class Section(BaseModel):
    """A table of the run file: immutable, nothing undeclared, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ProjectSection(Section):
    """`[project]`."""

    name: str = ""


class DatabaseSection(Section):
    """`[database]`: where people's data live."""

    url: Name = "sqlite:///workbench.db"

    @model_validator(mode="after")
    def _no_password(self) -> Self:
        password = re.match(r"[^:/]+://[^:/@]*:([^@]+)@", self.url)
        if password and "${" not in password.group(1):
            raise ValueError(
                "url holds a password; write ${NAME} in its place and set the variable NAME in "
                "the environment"
            )
        return self


class SafetySection(Section):
    """`[audit.safety]`: the safety-critical stratum. What is None is as in `[audit]`."""

    subsets: tuple[Name, ...] = ()
    tags: tuple[Name, ...] = ()
    pattern: str = ""
    share: Share = 0.10
    n_pairs: Count | None = None
    trust_above: Line | None = None
    warn_below: Line | None = None
    alpha: Line | None = None

    @model_validator(mode="after")
    def _pattern_compiles(self) -> Self:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"pattern is not a regular expression ({error})") from error
        return self


class AuditSection(Section):
    """`[audit]`: the defaults of `workbench audit draw`, frozen with each round."""

    label: str = ""
    share: Share = 0.10
    n_pairs: Count | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    overlap: Annotated[float, Field(ge=0.0, le=1.0)] = 0.15
    mode: Literal["uniform", "active"] = "uniform"
    trust_above: Line = 0.80
    warn_below: Line = 0.75
    alpha: Line = 0.05
    ties: Literal["decisive", "strict"] = "decisive"
    lease_minutes: Annotated[float, Field(gt=0.0)] = 10.0
    seconds_per_pair: Annotated[float, Field(gt=0.0)] = 45.0
    slices: tuple[Name, ...] = ("complexity",)
    edge_cases: Annotated[int, Field(ge=0)] = 0
    safety: SafetySection = SafetySection()

    @model_validator(mode="after")
    def _lines_in_order(self) -> Self:
        trust = self.safety.trust_above or self.trust_above
        warn = self.safety.warn_below or self.warn_below
        if self.warn_below > self.trust_above or warn > trust:
            raise ValueError("warn_below is greater than trust_above; put it at or below")
        return self


class ReviewSection(Section):
    """`[review]`: what the people who label see and may say."""

    guidelines: str = "guidelines.md"
    criteria: tuple[Name, ...] = ()
    criteria_from: str = ""
    error_tags: tuple[Name, ...] = ERROR_TAGS


class CostsSection(Section):
    """`[costs]`: what things cost, for plans and reports."""

    usd_per_hour: Dollars = 30.0
    minutes_per_pair: Annotated[float, Field(gt=0.0)] = 2.0
    training_usd: Dollars | None = None
    api_usd_per_1000: Dollars | None = None


class CurateSection(Section):
    """`[curate]`: how human and AI labels become the exported one."""

    disagreement: Literal["override", "drop", "soft"] = "override"
    ties: Literal["drop", "keep", "half"] = "drop"


class PairsSection(Section):
    """`[pairs]`: how `workbench pairs` makes preference pairs of judgments."""

    label: str = ""
    correct: bool = True
    recalibrate: Literal["auto", "temperature", "platt", "isotonic", "off"] = "auto"
    min_confidence: Annotated[float, Field(ge=0.5, le=1.0)] = 0.5
    min_agreement: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    min_chars: Annotated[int, Field(ge=0)] = 0
    max_chars: Annotated[int, Field(ge=0)] = 0
    max_length_ratio: Annotated[float, Field(ge=0.0)] = 0.0
    constitution: Literal["rule", "filter", "weights", "off"] = "filter"
    checks: str = ""
    principles: tuple[Name, ...] = ()
    from_severity: Literal["minor", "severe"] = "minor"
    worse_loses: bool = False
    both_violate: Literal["judge", "drop"] = "judge"
    both_severe: Literal["judge", "drop"] = "drop"
    minor_weight: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    severe_weight: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    duplicates: Literal["drop", "keep"] = "drop"
    near_duplicates: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    scheme: Literal["all-pairs", "best-of-n", "worst-of-n", "best-worst"] = "all-pairs"
    min_margin: Annotated[float, Field(ge=0.0)] = 0.0
    score_scale: Annotated[float, Field(gt=0.0)] = 1.0
    reweight: Literal["none", "prompt", "subset", "confidence"] = "none"
    test_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    validation_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    seed: Annotated[int, Field(ge=0)] = 0


class JudgingSection(Section):
    """`[judging]`: what one run of `workbench judge` may use."""

    budget_usd: Dollars = 10.0
    max_requests: Count | None = None
    sizes: dict[str, Annotated[float, Field(gt=0.0)]] = Field(default_factory=dict)


class GenerateSection(Section):
    """`[generate]`: candidate responses, `workbench generate`."""

    prompts: Name = "prompts.jsonl"
    models: tuple[Name, ...] = ()
    n_candidates: Annotated[int, Field(ge=1, le=1000)] = 4
    seed: Annotated[int, Field(ge=0)] = 0
    similarity: Annotated[float, Field(ge=0.0, le=1.0)] = 0.9
    resamples: Annotated[int, Field(ge=0, le=100)] = 3
    pairs_per_prompt: Annotated[int, Field(ge=0)] = 0
    budget_usd: Dollars = 10.0
    max_requests: Count | None = None


class ReviseSection(Section):
    """`[revise]`: critique and revision by the constitution, `workbench revise`."""

    source: Name = "candidates"
    constitution: Name = "constitution.toml"
    critic: str = ""
    reviser: str = ""
    max_iterations: Annotated[int, Field(ge=1, le=20)] = 3
    principles_per_round: Annotated[int, Field(ge=0)] = 0
    seed: Annotated[int, Field(ge=0)] = 0
    critique_temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.0
    revision_temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.3
    critique_tokens: Count = 512
    revision_tokens: Count = 1024
    formats: tuple[Literal["trl", "kto", "jsonl"], ...] = ("trl", "kto")
    budget_usd: Dollars = 10.0
    max_requests: Count | None = None


class RunSection(Section):
    """`[run]`: what `workbench run` does when no recipe is named."""

    stages: tuple[StageName, ...] = ("generate", "judge", "audit", "pairs", "export", "train")
    methods: tuple[Method, ...] = ("dpo",)


class RunConfig(Section):
    """The whole run file."""

    project: ProjectSection = ProjectSection()
    database: DatabaseSection = DatabaseSection()
    audit: AuditSection = AuditSection()
    review: ReviewSection = ReviewSection()
    costs: CostsSection = CostsSection()
    curate: CurateSection = CurateSection()
    pairs: PairsSection = PairsSection()
    judging: JudgingSection = JudgingSection()
    judges: tuple[JudgeSpec, ...] = ()
    generate: GenerateSection = GenerateSection()
    models: tuple[ModelSpec, ...] = ()
    revise: ReviseSection = ReviseSection()
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    run: RunSection = RunSection()

    @model_validator(mode="after")
    def _judges_have_names_of_their_own(self) -> Self:
        names = [judge.name for judge in self.judges]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f'two [[judges]] are named "{name}"; rename one')
        return self

    @model_validator(mode="after")
    def _models_are_known_by_their_names(self) -> Self:
        names = [model.name for model in self.models]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f'two [[models]] are named "{name}"; rename one')
        for name in self.generate.models:
            if name not in names:
                raise ValueError(
                    f'generate.models names "{name}", but no [[models]] section does; write one'
                )
        for key, name in (("critic", self.revise.critic), ("reviser", self.revise.reviser)):
            if name and name not in names:
                raise ValueError(
                    f'revise.{key} names "{name}", but no [[models]] section does; write one'
                )
        return self


def load_config(project_dir: Path) -> RunConfig:
    """The configuration of a project folder.

    Raises:
        BadInput: No project.toml, broken TOML, an unknown key or a bad value; the message names
            the file, the key and, for an unknown key, the nearest known one.
    """
    path = project_dir / CONFIG_NAME
    return read_toml(path, RunConfig, "the run file", "`workbench init DIR` makes a project")
