"""`workbench run`: the stages of a project in order, or the steps of a recipe."""

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.errors import BadInput
from workbench.cli.options import INTERRUPTED, AsJson, ProjectDir

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipelines.run import Planned, StageName
    from workbench.running.run import Asked, Told
    from workbench.running.task import Bars

WAITING = 1


def run(
    stages: Annotated[
        list[str] | None,
        typer.Argument(metavar="[STAGE]...", help="Only these; else those of [run], or all steps."),
    ] = None,
    project: ProjectDir = Path("."),
    recipe: Annotated[
        str | None, typer.Option(help="A recipe that ships, or a file; `list` lists them.")
    ] = None,
    sandbox: Annotated[
        bool,
        typer.Option(
            "--sandbox",
            help="In a project of the built-in help desk, made if absent; judges and people are "
            "simulated.",
        ),
    ] = False,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Few prompts and steps: whether all fits, in seconds."),
    ] = False,
    rounds: Annotated[
        int | None, typer.Option(min=1, max=20, help="Instead of the recipe's rounds.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say the steps; do nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take the stages in order; what is done and has not changed is skipped.

    It goes on where it was cut off, stops where people are needed, and says how to go on.
    Example: workbench run --recipe rlaif-dpo --sandbox --project try
    """
    from workbench.running.rounds import by_round
    from workbench.running.run import Asked, find_recipe, of_project, recipes_dir, run_recipe

    if recipe == "list":
        _list(recipes_dir(), as_json)
        return
    from workbench.project import Project

    wanted = _stages(stages or ())
    if sandbox:
        from workbench.running.sandbox import sandbox_project, simulated, simulated_people

        opened, people = sandbox_project(project), simulated_people
    else:
        opened, people = Project.open(project), None
    if recipe is None:
        if rounds is not None:
            raise BadInput("--rounds is for recipes; name one by --recipe")
        name, found = "project", of_project(opened, wanted)
    else:
        name, found = find_recipe(recipe, opened.dir)
    asked = Asked(name, found, wanted, quick, rounds)
    if dry_run:
        _say_plan(asked, as_json)
        return
    if not as_json:
        print(f"{found.title}: {len(asked.plan())} steps, in {opened.dir}")
        if sandbox:
            print("judges, critics and people are simulated; no figure speaks of real models")
    try:
        with simulated(opened) if sandbox else nullcontext(opened) as reached:
            ran = run_recipe(reached, asked, _bars(as_json), _tell(as_json), people)
    except KeyboardInterrupt as error:
        print("interrupted: what is done is kept; the same command goes on", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from error
    if as_json:
        print(json.dumps(vars(ran), indent=1, ensure_ascii=False))
    elif ran.waiting:
        print(f"stopped: {ran.waiting}")
    else:
        for line in by_round(ran.steps):
            print(line)
        steps = "1 step" if ran.n_done == 1 else f"{ran.n_done} steps"
        print(f"{ran.ended}: {steps} done, {ran.n_skipped} unchanged and skipped")
    if ran.ended != "done":
        raise typer.Exit(WAITING if ran.ended == "waiting" else INTERRUPTED)


def _stages(names: "Sequence[str]") -> "tuple[StageName, ...]":
    """The stages of these names.

    Raises:
        BadInput: There is no such stage.
    """
    from pipelines.run import STAGES

    found = [stage for stage in STAGES if stage in names]
    for name in names:
        if name not in STAGES:
            raise BadInput(f'"{name}" is no stage; there are: {", ".join(STAGES)}')
    return tuple(found)


def _list(folder: Path, as_json: bool) -> None:
    from pipelines.run import load_recipe

    found = {path.stem: load_recipe(path) for path in sorted(folder.glob("*.toml"))}
    if as_json:
        about = [
            {"name": name, "title": one.title, "what": one.what, "n_steps": len(one.steps)}
            for name, one in found.items()
        ]
        print(json.dumps(about, indent=1, ensure_ascii=False))
        return
    width = max(map(len, found))
    for name, one in found.items():
        print(f"{name:{width}}  {one.title}")


def _say_plan(asked: "Asked", as_json: bool) -> None:
    plan = asked.plan()
    if as_json:
        print(json.dumps([one.model_dump(mode="json") for one in plan], indent=1))
        return
    for place, one in enumerate(plan, start=1):
        print(f"{place:>2}  {_called(one)}{f': {one.step.why}' if one.step.why else ''}")


def _called(one: "Planned") -> str:
    step = one.step
    words = [f"round {one.round}," if one.round else "", step.stage, step.method or ""]
    words.append(step.name if step.name and step.name != step.method else "")
    return " ".join(word for word in words if word)


def _tell(silent: bool) -> "Callable[[Told], None]":
    def tell(told: "Told") -> None:
        if silent:
            return
        head = f"[{told.place}/{told.n_steps}] {_called(told.planned)}"
        if told.what == "begins":
            why = told.planned.step.why
            print(f"{head}{f': {why}' if why else ''}", flush=True)
        elif told.what == "skipped":
            print(f"{head}: nothing that goes into it has changed, skipped", flush=True)
            for line in told.lines if told.planned.step.stage == "evaluate" else ():
                print(f"    {line}")
        else:
            for line in told.lines:
                print(f"    {line}")
            if told.what == "did":
                print(f"    {told.seconds:,.1f} s", flush=True)

    return tell


def _bars(silent: bool) -> "Bars":
    from workbench.cli.judge_text import standing_bar
    from workbench.cli.progress import count_progress
    from workbench.running.task import Bars

    if silent:
        return Bars(lambda: nullcontext(_unseen), lambda _: nullcontext(_unseen))
    return Bars(standing_bar, count_progress)


def _unseen(*_: object) -> None:
    """Progress that nobody draws."""
