"""Critique and revision for a project: who is asked what about which responses."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.config import ReviseSection
from pipelines.constitution.estimate import ReviseEstimate, estimate
from pipelines.constitution.log import read_state
from pipelines.constitution.loop import RevisePlan, Role
from pipelines.constitution.measure import ReviseStatistics
from pipelines.constitution.prompts import load_prompts
from pipelines.constitution.records import load_constitution
from pipelines.constitution.runner import Cast, ReviseFolder, ReviseRun, run_revise
from pipelines.constitution.sources import Source, limited, source_of
from pipelines.errors import BadInput
from pipelines.models.opening import build_engine, check_bounded, price_of
from pipelines.models.spec import ModelSpec
from pipelines.stages.budget import Budget, Limits
from pipelines.stages.lock import project_lock
from pipelines.stages.standing import Standing
from pipelines.stages.stop import StopSignal
from workbench.data_files import data_dir
from workbench.judging import on_signals
from workbench.project import Project
from workbench.revised import Written, write_outputs

# Of a model's section, what [revise] says in its stead.
_NOT_OF_THE_MODEL = ("temperature", "top_p", "max_tokens", "stop", "system")


@dataclass(frozen=True)
class Setup:
    """Everything that a run needs, checked."""

    section: ReviseSection
    plan: RevisePlan
    critic: ModelSpec
    reviser: ModelSpec
    responses: Source

    @property
    def models(self) -> dict[str, ModelSpec]:
        """By name; one entry where one model plays both roles."""
        return {one.name: one for one in (self.critic, self.reviser)}


def set_up(project: Project, section: ReviseSection, limit: int | None = None) -> Setup:
    """What is asked, of whom, about which responses.

    Args:
        project: The project.
        section: Its `[revise]`, with what the command line says in its place.
        limit: The first so many responses; all when None.

    Raises:
        BadInput: A file is missing or wrong, no model is named, or there is nothing to revise.
    """
    path = project.dir / section.constitution
    if not path.exists() and not Path(section.constitution).is_absolute():
        named = data_dir() / "constitutions" / f"{section.constitution.removesuffix('.toml')}.toml"
        path = named if named.exists() else path
    constitution = load_constitution(path)
    critic = _model(project, section.critic, "critic")
    reviser = _model(project, section.reviser, "reviser") if section.reviser else critic
    n_all = len(constitution.principles)
    if section.principles_per_round > n_all:
        raise BadInput(
            f"revise.principles_per_round is {section.principles_per_round}, and {path} has "
            f"{n_all} principles; set at most that, or 0 for all"
        )
    plan = RevisePlan(
        constitution=constitution,
        constitution_hash=constitution.hash(),
        prompts=load_prompts(constitution.language, (project.dir, data_dir())),
        critic=critic.name,
        reviser=reviser.name,
        max_iterations=section.max_iterations,
        principles_per_round=section.principles_per_round,
        seed=section.seed,
        critique_temperature=section.critique_temperature,
        revision_temperature=section.revision_temperature,
        critique_tokens=section.critique_tokens,
        revision_tokens=section.revision_tokens,
        critic_asked=json.dumps(critic.asked(_NOT_OF_THE_MODEL), sort_keys=True),
        reviser_asked=json.dumps(reviser.asked(_NOT_OF_THE_MODEL), sort_keys=True),
    )
    responses = source_of(section.source, project.dir, project.store)
    responses = responses if limit is None else limited(responses, limit)
    return Setup(section, plan, critic, reviser, responses)


@dataclass(frozen=True)
class Outputs:
    """What a run came to."""

    statistics: ReviseStatistics
    written: Written


def revise_all(
    project: Project,
    setup: Setup,
    limits: Limits,
    retry_failed: bool = False,
    on_standing: Callable[[Standing], None] | None = None,
) -> tuple[ReviseRun, Outputs | None]:
    """Ask what is pending, then write the stage's files from the log.

    Where no response is done under this plan, the files stay those of an earlier one, and there are
    no outputs.

    Raises:
        BadInput: Another run is going on, or a model cannot be asked as it is set.
    """
    for spec in setup.models.values():
        check_bounded(spec, limits.max_requests)
    with project_lock(project.dir, "revise"):
        run = asyncio.run(_ask(project, setup, limits, retry_failed, on_standing))
        if not run.n_done:
            return run, None
        return run, Outputs(
            *write_outputs(project.dir, setup.responses, setup.plan, setup.section.formats)
        )


def estimated(project: Project, setup: Setup, retry_failed: bool) -> ReviseEstimate:
    """What a run would ask and cost; asks nobody."""
    state = read_state(ReviseFolder(project.dir).log, setup.plan.hash())
    prices: dict[Role, Any] = {
        "critic": price_of(setup.critic),
        "reviser": price_of(setup.reviser),
    }
    return estimate(setup.plan, setup.responses(), state, prices, retry_failed)


async def _ask(
    project: Project,
    setup: Setup,
    limits: Limits,
    retry_failed: bool,
    on_standing: Callable[[Standing], None] | None,
) -> ReviseRun:
    models = setup.models
    cast = Cast(
        engines={name: build_engine(spec, project.dir) for name, spec in models.items()},
        prices={name: price_of(spec) for name, spec in models.items()},
        roles={"critic": setup.critic.name, "reviser": setup.reviser.name},
    )
    stop = StopSignal()
    with on_signals(stop):
        return await run_revise(
            project.dir,
            setup.responses,
            setup.plan,
            cast,
            Budget(limits),
            settings={
                "revise": setup.section.model_dump(mode="json"),
                "models": [spec.model_dump(mode="json") for spec in models.values()],
            },
            retry_failed=retry_failed,
            stop=stop,
            on_standing=on_standing,
        )


def _model(project: Project, name: str, role: str) -> ModelSpec:
    models = project.config.models
    if name:
        found = next((one for one in models if one.name == name), None)
        if found is None:
            raise BadInput(f'no [[models]] section of project.toml is named "{name}"; write one')
        return found
    if len(models) == 1:
        return models[0]
    raise BadInput(
        f"{project.dir / 'project.toml'}: "
        + (
            f"names no {role}; set revise.{role} to the name of a [[models]] section"
            if models
            else f"has no [[models]] section for the {role}; write one"
        )
    )
