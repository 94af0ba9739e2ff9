"""The demo of the whole flow, on the sandbox's messages.

Candidates, critique and revision, two judges, a round, pairs: each stage by the functions that its
command calls. By default the tiny real model writes, and critic, reviser, judges and people are
simulated; with models of the visitor's own nobody simulated takes part.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Protocol

from pipelines.config import CONFIG_NAME
from pipelines.constitution.records import load_constitution
from pipelines.errors import BadInput, ServiceFailed
from pipelines.generate.prompts import read_prompts
from pipelines.sandbox.annotators import Annotator, Traits
from pipelines.sandbox.background import in_background
from pipelines.sandbox.tiny_writer import TinyWriter
from pipelines.sandbox.traits import load_traits
from pipelines.stages.budget import Limits
from pipelines.stages.standing import Standing
from workbench.audit.draw import draw_round
from workbench.audit.options import draw_options
from workbench.data_files import data_dir
from workbench.demo.place import BEGAN_S, MadeDemo, OnStage
from workbench.generating import chosen_models, generate_all, samplings
from workbench.judging import judge_all
from workbench.pairs.chain import make_pairs
from workbench.pairs.output import write_pairs
from workbench.project import CONSTITUTION, Project
from workbench.revising import revise_all, set_up
from workbench.simulated import label_round

SHARE_LABELLED = 0.60
SEED = 0
# Better than most crowds, so that what the round shows is the judges' error and not theirs.
PEOPLE = (
    Annotator("simulated-ana", Traits(accuracy=0.97, seconds=12.0), SEED),
    Annotator("simulated-ben", Traits(accuracy=0.94, seconds=8.0, skip_rate=0.01), SEED),
    Annotator(
        "simulated-chi", Traits(accuracy=0.90, position_bias=0.04, seconds=5.0, fatigue=0.02), SEED
    ),
)


@dataclass(frozen=True)
class Cast:
    """Who takes part.

    Attributes:
        sections: The `[[models]]` and `[[judges]]` of project.toml.
        settings: What its `[generate]`, `[revise]` and `[audit]` say in addition, by section.
        simulated: Whether the sandbox's own server answers what is at loopback port 8010.
        people: Simulated people who label a part of the round.
    """

    sections: str
    settings: dict[str, str]
    simulated: bool
    people: tuple[Annotator, ...]


@dataclass(frozen=True)
class Size:
    """How much there is of the demo."""

    n_messages: int
    n_revised: int  # responses that are criticised and revised


SANDBOX_SIZE = Size(150, 60)
OWN_SIZE = Size(24, 12)


class _Ended(Protocol):
    """What the runs of all stages have in common."""

    @property
    def ended(self) -> str: ...

    @property
    def error(self) -> str | None: ...


def sandbox_cast(judges: str = "", names: Sequence[str] = ()) -> Cast:
    """The tiny model, and simulated critic, reviser, judges and people.

    Args:
        judges: `[[judges]]` sections in place of the two simulated ones.
        names: Their names; the labels of the first are audited.
    """
    own = (data_dir() / "helpdesk" / "demo-models.toml").read_text(encoding="utf-8")
    if judges:
        own = own[: own.index("[[judges]]")] + judges
    first = names[0] if names else "simulated-judge"
    return Cast(
        own,
        {
            "generate": 'models = ["helpdesk-tiny"]',
            "revise": 'critic = "simulated-critic"\nreviser = "simulated-reviser"',
            "audit": f"label = {quoted(first)}",
        },
        simulated=True,
        people=PEOPLE,
    )


def build_flow(folder: Path, now: float, on_stage: OnStage, cast: Cast, size: Size) -> MadeDemo:
    """Run all stages in a folder; one that was cut off there goes on where it stopped.

    Raises:
        BadInput: A model cannot be used as it is set.
        ServiceFailed: A model's service failed.
        KeyboardInterrupt: It was asked to stop.
    """
    _write_files(folder, cast, size)
    with _reached(Project.open(folder), cast) as project:
        began = now - BEGAN_S
        before = [
            _generate(project, on_stage, began),
            _revise(project, on_stage, size.n_revised),
            _judge(project, on_stage),
        ]
        on_stage("draw the audit", 0, None)
        drawn = draw_round(project, draw_options(project), now=began)
        answered, asked = 0, sum(drawn.n_new.values())
        if cast.people:
            minds = {person.name: person.label for person in cast.people}
            simulated = label_round(
                project.engine,
                drawn.round_id,
                minds,
                SHARE_LABELLED,
                began,
                lambda n_done, n_all: on_stage(
                    "simulated people label", n_done, max(n_done, round(SHARE_LABELLED * n_all))
                ),
            )
            answered, asked = simulated.answered, simulated.asked
        after = _pairs(project, on_stage)
        project.engine.dispose()  # SQLite folds its log into the file when the last one leaves
    return MadeDemo(
        round_name=drawn.design.name,
        label=drawn.design.label,
        n_pairs=len(project.store),
        n_drawn=drawn.n_new,
        answered=answered,
        asked=asked,
        annotators=tuple(person.name for person in cast.people),
        before=tuple(before),
        after=(after,),
    )


def _write_files(folder: Path, cast: Cast, size: Size) -> None:
    """Everything but answers; a run file of the same folder is replaced, answers stay."""
    helpdesk = data_dir() / "helpdesk"
    for leftover in ("workbench.db", "workbench.db-wal", "workbench.db-shm", "guidelines.md"):
        (folder / leftover).unlink(missing_ok=True)  # nobody has voted in there yet
    (folder / CONFIG_NAME).unlink(missing_ok=True)
    Project.create(folder)
    text = (helpdesk / "demo.toml").read_text(encoding="utf-8")
    for section, lines in cast.settings.items():
        text = text.replace(f"\n[{section}]\n", f"\n[{section}]\n{lines}\n", 1)
    (folder / CONFIG_NAME).write_text(f"{text}{cast.sections}", encoding="utf-8")
    shutil.copyfile(helpdesk / "constitution.toml", folder / CONSTITUTION)
    for name in ("guidelines.md", "practice.jsonl"):
        shutil.copyfile(helpdesk / name, folder / name)
    with (helpdesk / "prompts-held-out.jsonl").open(encoding="utf-8") as prompts:
        chosen = list(islice(prompts, size.n_messages))
    (folder / "prompts.jsonl").write_text("".join(chosen), encoding="utf-8")


@contextmanager
def _reached(project: Project, cast: Cast) -> Iterator[Project]:
    """The project with its simulated models at a server that runs meanwhile, on a free port."""
    if not cast.simulated:
        yield project
        return
    helpdesk = data_dir() / "helpdesk"
    written = load_traits(helpdesk / "models.toml")
    rules = load_constitution(helpdesk / "constitution.toml")
    tiny = TinyWriter(helpdesk / "model")
    with in_background(written, constitution=rules, tiny=tiny) as url:
        config = project.config
        ours = {one.model for one in config.models} | set(written)
        yield Project(
            project.dir,
            config.model_copy(
                update={
                    "models": tuple(
                        one.model_copy(update={"base_url": url}) for one in config.models
                    ),
                    "judges": tuple(
                        one.model_copy(update={"base_url": url}) if one.model in ours else one
                        for one in config.judges
                    ),
                }
            ),
        )


def _generate(project: Project, on_stage: OnStage, began: float) -> str:
    own = project.config.generate
    prompts = replace(read_prompts(project.dir / own.prompts), source=own.prompts)
    wanted = samplings(project, chosen_models(project, ()), None)
    done = generate_all(
        project,
        prompts,
        wanted,
        Limits(own.budget_usd, own.max_requests),
        retry_failed=True,  # of a run that was cut off
        on_standing=_told(on_stage, "{judge} answers customers"),
        now=began,  # no pair is younger than the round that it is drawn into
    )
    _check(done.runs)
    (run,) = done.runs
    failed = sum(run.failed.values())
    if done.pairs is None or not done.pairs.n_pairs:
        raise BadInput(
            f'model "{run.model}": made no two different replies to one message ({failed:,} '
            "failed), so there is nothing to compare; name another model"
        )
    return (
        f"candidates {run.n_candidates:,} replies to {run.n_prompts:,} messages by {run.model}, "
        f"{failed:,} failed; {done.pairs.n_pairs:,} pairs of them"
    )


def _revise(project: Project, on_stage: OnStage, n_revised: int) -> str:
    own = project.config.revise
    setup = set_up(project, own, n_revised)
    run, outputs = revise_all(
        project,
        setup,
        Limits(own.budget_usd, own.max_requests),
        retry_failed=True,  # of a run that was cut off
        on_standing=_told(on_stage, "criticise and revise"),
    )
    _check([run])
    said = f"revision   {run.n_done:,} replies by {setup.critic.name} and {setup.reviser.name}"
    found = None if outputs is None else outputs.statistics
    if found is None or found.any_before is None or found.any_after is None:
        return said
    return (
        f"{said}: {found.any_before.estimate:.0%} break a principle before, "
        f"{found.any_after.estimate:.0%} after, as the critic sees it (n = {found.any_after.n})"
    )


def _judge(project: Project, on_stage: OnStage) -> str:
    own = project.config.judging
    runs = judge_all(
        project,
        project.config.judges,
        (project.dir, data_dir()),
        Limits(own.budget_usd, own.max_requests),
        retry_failed=True,  # of a run that was cut off
        on_standing=_told(on_stage, "{judge} judges"),
    )
    _check(runs)
    if not any(run.n_judged for run in runs):
        reasons = ", ".join(f"{n:,} {why}" for run in runs for why, n in run.failed.items())
        raise BadInput(f"no judge gave one readable answer ({reasons}); name another judge")
    each = (
        f"{run.judge} ({sum(run.failed.values()):,} failed)" if run.failed else run.judge
        for run in runs
    )
    return f"judges     {len(project.store):,} pairs, both orders, by {' and '.join(each)}"


def _pairs(project: Project, on_stage: OnStage) -> str:
    options = project.config.pairs
    on_stage("make pairs", 0, None)  # it learns from the labels before the first pair
    made = make_pairs(
        project, options, on_pair=lambda done, n_all: on_stage("make pairs", done, n_all)
    )
    write_pairs(project, made, options)
    kept = ", ".join(f"{n:,} {name}" for name, n in made.counts.kept_by_source.items())
    return f"pairs      {made.counts.n_kept:,} of {made.counts.n_pairs:,} kept: {kept}"


def _told(on_stage: OnStage, name: str) -> Callable[[Standing], None]:
    return lambda now: on_stage(name.format(judge=now.who), now.n_done, now.n_wanted)


def _check(runs: Sequence[_Ended]) -> None:
    """Whether a stage came to its end.

    Raises:
        KeyboardInterrupt: It was asked to stop.
        ServiceFailed: The service failed.
        BadInput: It reached a limit.
    """
    for run in runs:
        if run.ended == "interrupted":
            raise KeyboardInterrupt
        if run.ended in ("service", "failed") or (run.ended == "done" and run.error):
            raise ServiceFailed(f"the demo stopped: {run.error}; run the same command again")
        if run.ended != "done":
            raise BadInput(
                f"the demo stopped at {run.ended}, before it was done; allow more and run the same "
                "command again"
            )


def quoted(text: str) -> str:
    """A text as TOML writes it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
