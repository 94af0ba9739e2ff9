"""`workbench generate` on a project: its models one after the other, then the pairs."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipelines.errors import BadInput
from pipelines.generate.draw import Sampling
from pipelines.generate.estimate import Estimate, estimate
from pipelines.generate.log import read_state
from pipelines.generate.manifest import read_manifest
from pipelines.generate.pairs import PairsMade, put_pairs
from pipelines.generate.prompts import PromptFile
from pipelines.generate.runner import GenerateFolder, GenerateRun, pending, run_generate
from pipelines.models.opening import build_engine, check_bounded
from pipelines.models.spec import ModelSpec
from pipelines.stages.budget import Budget, Limits
from pipelines.stages.lock import project_lock
from pipelines.stages.standing import Standing
from pipelines.stages.stop import StopSignal
from workbench.judging import on_signals
from workbench.project import Project

STAGE = "generate"


@dataclass(frozen=True)
class Generated:
    """What all models of a run did, and the pairs that came of it (None when not asked for)."""

    runs: tuple[GenerateRun, ...]
    pairs: PairsMade | None


def chosen_models(project: Project, names: Sequence[str]) -> list[ModelSpec]:
    """The models that are meant: those named, those of [generate], or the only one there is.

    Raises:
        BadInput: There is none, no model has such a name, or it is not said which.
    """
    known = {spec.name: spec for spec in project.config.models}
    path = project.dir / "project.toml"
    if not known:
        raise BadInput(f"{path}: has no [[models]]; write a section for the model that responds")
    wanted = list(names) or list(project.config.generate.models)
    if not wanted and len(known) > 1:
        raise BadInput(
            f"{path}: has the models {', '.join(known)}; name those that respond, as in "
            f"`workbench generate {next(iter(known))}`, or in generate.models"
        )
    for name in wanted:
        if name not in known:
            raise BadInput(f'no model "{name}" in project.toml; there are: {", ".join(known)}')
    return [known[name] for name in dict.fromkeys(wanted or known)]


def samplings(
    project: Project, specs: Sequence[ModelSpec], n_candidates: int | None
) -> list[Sampling]:
    """How each model is sampled, by [generate]; `n_candidates` overrides it.

    Raises:
        BadInput: The settings cannot give different candidates.
    """
    own = project.config.generate
    found = [
        Sampling(spec, n_candidates or own.n_candidates, own.seed, own.similarity, own.resamples)
        for spec in specs
    ]
    for one in found:
        one.check()
    return found


def generate_all(
    project: Project,
    prompts: PromptFile,
    wanted: Sequence[Sampling],
    limits: Limits,
    *,
    retry_failed: bool = False,
    make_pairs: bool = True,
    only_these: bool = False,
    on_standing: Callable[[Standing], None] | None = None,
    now: float | None = None,
) -> Generated:
    """Ask every model for what is pending; one whose service fails does not stop the others.

    Args:
        project: The project.
        prompts: What to respond to.
        wanted: The models, in the order in which they are asked.
        limits: What all of them together may use.
        retry_failed: Sample again what failed before.
        make_pairs: Put the pairs of all candidates into the store.
        only_these: Of the wanted models only; else of every model that the project has asked.
        on_standing: Called a few times a second.
        now: The time to record for the pairs, Unix seconds; the clock's where None.

    Raises:
        BadInput: Another run is going on, or a model cannot be asked as it is set.
    """
    for one in wanted:
        check_bounded(one.spec, limits.max_requests)
        if one.spec.engine == "endpoint":
            build_engine(one.spec, project.dir)  # a missing key is told before anything runs
    with project_lock(project.dir, STAGE):
        runs = asyncio.run(
            _ask_all(project.dir, prompts, wanted, Budget(limits), retry_failed, on_standing)
        )
        own, pairs = project.config.generate, None
        if make_pairs:
            models = {one.spec.name for one in wanted} if only_these else None
            pairs = put_pairs(
                project.dir,
                project.store,
                project.config,
                own.pairs_per_prompt,
                own.seed,
                now,
                models,
            )
    return Generated(tuple(runs), pairs)


def estimates(
    project: Project, prompts: PromptFile, wanted: Sequence[Sampling], retry_failed: bool
) -> list[Estimate]:
    """What a run would ask, cost and take; asks nobody."""
    found = []
    for one in wanted:
        folder = GenerateFolder(project.dir, one.spec.name)
        state = read_state(folder.log, one)
        due = pending(prompts.prompts, one, state, retry_failed)
        manifest = read_manifest(folder.manifest, one.spec.name)
        found.append(estimate(prompts.prompts, due, one, state, manifest))
    return found


async def _ask_all(
    project_dir: Path,
    prompts: PromptFile,
    wanted: Sequence[Sampling],
    budget: Budget,
    retry_failed: bool,
    on_standing: Callable[[Standing], None] | None,
) -> list[GenerateRun]:
    runs: list[GenerateRun] = []
    stop = StopSignal()
    with on_signals(stop):
        for one in wanted:
            if stop.asked:
                break
            run = await run_generate(
                project_dir,
                prompts,
                one,
                partial(build_engine, one.spec, project_dir),
                budget,
                retry_failed=retry_failed,
                stop=stop,
                on_standing=on_standing,
            )
            runs.append(run)
    return runs
