"""`workbench run`: the stages of a project in their order, and recipes, which are lists of steps.

This is the table of contents. Stages meet only through files:

    generate    prompts.jsonl            -> runs/generate, pairs in the store
    revise      candidates               -> runs/revise: revised responses, demonstrations, pairs
    judge       pairs in the store       -> runs/judge, verdicts in the store
    audit       pairs and verdicts       -> a round; people label it in the browser
    pairs       verdicts, people's labels -> runs/pairs: corrected, filtered, weighted, split
    export      runs/pairs               -> exports/
    train       exports/, runs/revise    -> runs/train/NAME/model
    evaluate    policies                 -> evaluations/NAME: win rates

A recipe is a TOML file: what it is, and steps that each name a stage and what project.toml says
otherwise for it. Model names stay in project.toml, so that the same recipe runs on a laptop with
tiny models and on a GPU with real ones.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipelines.config import Method, RunConfig
from pipelines.config import StageName as StageName  # also said here, beside what they do
from pipelines.errors import BadInput
from pipelines.models.spec import FolderName
from pipelines.toml_files import explain, read_toml

# In this order; each is one function of `workbench.running.stages`.
STAGES: Mapping[StageName, str] = {
    "generate": "models answer prompts",
    "revise": "responses are criticised and revised by the constitution",
    "judge": "AI judges compare the pairs",
    "audit": "people label a part of the pairs, blind",
    "pairs": "labels are corrected, filtered, weighted and split",
    "export": "curated data are written",
    "train": "a model is trained",
    "evaluate": "policies are compared on held-out prompts",
}
Text = Annotated[str, Field(min_length=1)]

_PLACE = re.compile(r"\{(round|before)\}")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Step(_Part):
    """`[[steps]]`: one stage, with what it needs.

    Attributes:
        stage: One of `STAGES`.
        why: A sentence that is printed.
        set: What project.toml says otherwise for this step, in its own sections. `[[models]]` and
            `[[judges]]` are met by name: a known one is changed, a new one is added; `like` names
            one that a new one is copied from.
        each_round: The step comes again in each round; steps of a round stand together.
        judges: judge: which of `[[judges]]` judge; all where none is named.
        format: export: the format.
        method: train: the method.
        name: train, evaluate, audit: what the run, the evaluation or the round is called. export,
            revise: what its files in `exports` are called, so that a later round leaves them be:
            NAME.jsonl; NAME-sft.jsonl, NAME-pairs.jsonl and NAME-kto.jsonl.
        model: train: what it starts from, instead of train.model.
        data: train: rows, instead of the project's export.
        policies: evaluate: names of `[[models]]` or training runs, instead of evaluate.policies.
        stop_below: evaluate: the rounds end when the last policy's win rate over the first, by the
            first judge (corrected where people labelled), is not above this.
    """

    stage: StageName
    why: str = ""
    set: dict[str, Any] = Field(default_factory=dict)
    each_round: bool = False
    judges: tuple[Text, ...] = ()
    format: Text | None = None
    method: Method | None = None
    name: FolderName | None = None
    model: Text | None = None
    data: Text | None = None
    policies: tuple[Text, ...] = ()
    stop_below: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None

    @model_validator(mode="after")
    def _has_what_its_stage_takes(self) -> Self:
        takes = _TAKES.get(self.stage, ())
        for key in sorted({*_ONE_STAGE} - {*takes}):
            if key in self.model_fields_set:
                raise ValueError(f'a step "{self.stage}" takes no {key}; leave it out')
        if self.stage == "train" and self.method is None:
            raise ValueError('a step "train" needs a method, such as "dpo"')
        if self.stop_below is not None and not self.each_round:
            raise ValueError("stop_below ends rounds, and this step is in none; add each_round")
        return self

    @property
    def called(self) -> str:
        """The run's name, or its method's; other stages have none."""
        return self.name or self.method or self.stage


_TAKES: Mapping[str, tuple[str, ...]] = {
    "judge": ("judges",),
    "revise": ("name",),
    "export": ("format", "name"),
    "train": ("method", "name", "model", "data"),
    "audit": ("name",),
    "evaluate": ("name", "policies", "stop_below"),
}
_ONE_STAGE = {key for keys in _TAKES.values() for key in keys}


class Recipe(_Part):
    """What to do in which order.

    Attributes:
        title: A few words.
        what: What it does and when it is worth its price.
        source: Where it was described.
        rounds: How often the steps with `each_round` come.
        set: As in a step, for all of them.
        steps: In order.
    """

    title: Text
    what: Text
    source: str = ""
    rounds: Annotated[int, Field(ge=1, le=20)] = 1
    set: dict[str, Any] = Field(default_factory=dict)
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _rounds_stand_together(self) -> Self:
        flags = [step.each_round for step in self.steps]
        if any(flags):
            first, last = flags.index(True), len(flags) - flags[::-1].index(True)
            if not all(flags[first:last]):
                raise ValueError("the steps with each_round must follow one another; move them")
        elif self.rounds > 1:
            raise ValueError("rounds is set, but no step has each_round; mark those that repeat")
        return self

    @model_validator(mode="after")
    def _every_run_has_a_name_of_its_own(self) -> Self:
        seen: set[tuple[str, str]] = set()
        for step in self.steps:
            if step.stage not in ("train", "evaluate"):
                continue
            if (step.stage, step.called) in seen:
                raise ValueError(f'two steps "{step.stage}" are called "{step.called}"; rename one')
            seen.add((step.stage, step.called))
            if step.each_round and self.rounds > 1 and "{round}" not in step.called:
                raise ValueError(
                    f'the step "{step.stage}" that is called "{step.called}" comes each round; '
                    "give it a name with {round}"
                )
        return self


class Planned(_Part):
    """A step of one round, its placeholders filled in. Steps outside of rounds have round 0."""

    number: int  # from 1
    round: int
    step: Step
    # What the step "pairs" before it said of [pairs] holds for those that take its outcome.
    pairs: dict[str, Any] = Field(default_factory=dict)

    @property
    def key(self) -> str:
        """Names it among the steps of a recipe, whatever the number of rounds."""
        return f"{self.number}-{self.step.called}" + (f"-{self.round}" if self.round else "")


def load_recipe(path: Path) -> Recipe:
    """A recipe from its file.

    Raises:
        BadInput: It cannot be read or breaks a rule; the message names the file and the key.
    """
    return read_toml(path, Recipe, "a recipe")


def planned(recipe: Recipe, rounds: int | None = None) -> Iterator[Planned]:
    """The steps in the order in which they are taken; `rounds` overrides the recipe's.

    In every text of a step that comes each round, `{round}` is the round (from 1) and `{before}`
    the one before it.
    """
    said: dict[str, Any] = {}
    for one in _in_order(recipe, rounds):
        if one.step.stage == "pairs":
            said = one.step.set.get("pairs", {})
        yield one.model_copy(update={"pairs": said})


def _in_order(recipe: Recipe, rounds: int | None) -> Iterator[Planned]:
    repeated = [(n, step) for n, step in enumerate(recipe.steps, start=1) if step.each_round]
    for number, step in enumerate(recipe.steps, start=1):
        if not step.each_round:
            yield Planned(number=number, round=0, step=step)
        elif number == repeated[0][0]:
            for turn in range(1, (rounds or recipe.rounds) + 1):
                for place, each in repeated:
                    yield Planned(number=place, round=turn, step=_filled(each, turn))


def _filled(step: Step, turn: int) -> Step:
    words = {"round": str(turn), "before": str(turn - 1)}

    def fill(value: Any) -> Any:
        if isinstance(value, str):
            return _PLACE.sub(lambda found: words[found.group(1)], value)
        if isinstance(value, Mapping):
            return {fill(key): fill(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [fill(one) for one in value]
        return value

    return Step.model_validate(fill(step.model_dump(exclude_unset=True)))


def changed(config: RunConfig, *changes: Mapping[str, Any]) -> RunConfig:
    """The run file with what recipe and step say otherwise; later changes win.

    Raises:
        BadInput: A key is unknown or a value does not fit; the message names it.
    """
    said = config.model_dump(mode="python", exclude_unset=True)
    for change in changes:
        said = _merged(said, change)
    try:
        return RunConfig.model_validate(said)
    except ValidationError as error:
        raise BadInput(f"the recipe's settings: {explain(error, RunConfig)[0]}") from error


_NAMED = ("models", "judges")


def _merged(said: Mapping[str, Any], change: Mapping[str, Any], top: bool = True) -> dict[str, Any]:
    merged = dict(said)
    for key, value in change.items():
        before = merged.get(key)
        if top and key in _NAMED:
            merged[key] = _sections(key, list(before or ()), value)
        elif isinstance(value, Mapping) and isinstance(before, Mapping):
            merged[key] = _merged(before, value, top=False)
        else:
            merged[key] = value
    return merged


def _sections(kind: str, known: list[Any], changes: Any) -> list[Any]:
    """`[[models]]` or `[[judges]]`, met by name."""
    sections = {one["name"]: dict(one) for one in known}
    for change in changes:
        if not isinstance(change, Mapping) or "name" not in change:
            raise BadInput(f"the recipe's settings: a section of [[{kind}]] has no name; write it")
        name, like = change["name"], change.get("like")
        if like is not None and like not in sections:
            raise BadInput(
                f'the recipe\'s settings: [[{kind}]] "{name}" is like "{like}", and project.toml '
                f"has no such section; it has {', '.join(sections) or 'none'}: write one"
            )
        base = sections.get(name) or sections.get(like) or {}
        new = {key: value for key, value in change.items() if key != "like"}
        sections[name] = _merged(base, new, top=False)
    return list(sections.values())
