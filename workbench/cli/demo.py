"""`workbench demo`: the whole flow on a small world of its own, opened in the browser."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.errors import BadInput
from workbench.cli.options import INTERRUPTED

if TYPE_CHECKING:
    from workbench.demo.place import Build, Kind, MadeDemo, OnStage

HOST = "127.0.0.1"
_FOLDERS: "dict[Kind, Path]" = {
    "help desk": Path("demo"),
    "sample": Path("demo-sample"),
    "models": Path("demo-models"),
}
_INTROS: "dict[Kind, str]" = {
    "help desk": "a tiny real model answers customers; judges and annotators are simulated",
    "sample": "judges and annotators are simulated",
    "models": "your models answer, revise and judge; every label will be yours",
}


def demo(
    dir: Annotated[
        Path | None, typer.Option(help="Where the demo project is, or goes. [default: demo]")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8501,
    no_serve: Annotated[
        bool, typer.Option("--no-serve", help="Make the project; open no pages.")
    ] = False,
    sample: Annotated[
        bool, typer.Option("--sample", help="298 pairs written by hand instead; no model is asked.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Who answers: a folder, a name on the hub, or http://HOST/v1#NAME.",
        ),
    ] = None,
    judge: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Who judges, likewise; may be given again."),
    ] = None,
    judge_mode: Annotated[
        str, typer.Option(help='Of --judge: "logprob", or "verdict" for servers without them.')
    ] = "logprob",
    api_key_env: Annotated[
        str, typer.Option(metavar="VARIABLE", help="Holds the key of --model and --judge.")
    ] = "",
    max_requests: Annotated[
        int | None, typer.Option(min=1, help="Of each stage, for models elsewhere.")
    ] = None,
    messages: Annotated[
        int | None, typer.Option(min=2, max=300, help="Customers' messages. [default: 150, or 24]")
    ] = None,
) -> None:
    """Run the whole flow in a new project, unless it is there, and open its pages until Ctrl+C.

    Candidates, critique and revision, two judges, pairs, an audit that is part-labelled. An
    existing demo opens as it was left; nothing is ever made anew over it.
    """
    from workbench.demo.place import find_demo, make_demo

    kind: Kind = "sample" if sample else "models" if model or judge else "help desk"
    folder = dir or _FOLDERS[kind]
    if sample and (model or judge):
        raise BadInput("--sample asks no model; leave --model and --judge out")
    there = find_demo(folder, kind)
    if not no_serve:
        _refuse_taken_port(port)  # before anything is made
    if there:
        print(f"demo       {folder} is there and opens as you left it (delete it for a new one)")
    else:
        build = _build(sample, model, judge or [], judge_mode, api_key_env, max_requests, messages)
        print(f"demo       a new project in {folder}: {_INTROS[kind]}", flush=True)
        try:
            with _progress() as on_stage:
                made = make_demo(folder, build, kind, on_stage=on_stage)
        except KeyboardInterrupt:
            left = "what was answered is kept: run it again to go on"
            print(
                f"workbench: stopped; {left if kind == 'models' else 'nothing was made'}",
                file=sys.stderr,
            )
            raise typer.Exit(INTERRUPTED) from None
        print("\n".join(_lines(made)), flush=True)
    if no_serve:
        print(f"next       workbench serve --project {folder}")
        return
    from workbench.cli.serve import serve

    serve(host=HOST, port=port, project=folder, public_url=None, open_browser=None)


def _build(
    sample: bool,
    model: str | None,
    judges: list[str],
    judge_mode: str,
    api_key_env: str,
    max_requests: int | None,
    messages: int | None,
) -> "Build":
    """What makes the demo that was asked for."""
    if sample:
        from workbench.demo.sample import build_sample

        return build_sample
    from workbench.demo.flow import OWN_SIZE, SANDBOX_SIZE, Size, build_flow, sandbox_cast
    from workbench.demo.models import own_cast, own_judges, read_mode

    mode = read_mode(judge_mode)
    if model is not None and not judges:
        raise BadInput(
            "--model needs --judge: the simulated judges know only what the sandbox's own models "
            "say; name a judge, or leave --model out"
        )
    if model is not None:
        cast, size = own_cast(model, judges, mode, api_key_env, max_requests), OWN_SIZE
    elif judges:
        sections, names, _ = own_judges(judges, mode, api_key_env)
        cast, size = sandbox_cast(sections, names), OWN_SIZE
    else:
        cast, size = sandbox_cast(), SANDBOX_SIZE
    size = size if messages is None else Size(messages, size.n_revised)
    return lambda folder, now, on_stage: build_flow(folder, now, on_stage, cast, size)


def _lines(made: "MadeDemo") -> "Iterator[str]":
    n_drawn = sum(made.n_drawn.values())
    strata = ", ".join(f"{number} {name}" for name, number in made.n_drawn.items())
    yield from made.before
    yield f"round      {made.round_name}: {n_drawn} drawn ({strata}), auditing {made.label}"
    if made.annotators:
        people = ", ".join(made.annotators)
        yield f"labels     {made.answered} of {made.asked} given by {people}; the next is yours"
    else:
        yield f"labels     0 of {made.asked}; the first is yours"
    yield from made.after
    if made.before and made.after:  # the whole flow
        yield (
            "look at    Review (keys 1 to 4), Agreement, Disagreements, and Constitution: where is "
            "the judge wrong, and the critic?"
        )


def _refuse_taken_port(port: int) -> None:
    """A look only, so that nothing is made in vain; the server itself takes the port.

    Raises:
        BadInput: Something else listens there.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise BadInput(
                f"port {port} cannot be used ({error.strerror}); stop what holds it, or choose "
                "another with --port, or --port 0 for a free one"
            ) from error


@contextmanager
def _progress() -> "Iterator[OnStage]":
    """A bar for each stage, as it begins, on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TimeElapsedColumn

    console = Console(file=sys.stderr)
    bar = Progress(
        "{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    tasks: dict[str, TaskID] = {}

    def on_stage(stage: str, n_done: int, n_all: int | None) -> None:
        if stage not in tasks:
            for task in tasks.values():
                bar.stop_task(task)
            tasks[stage] = bar.add_task(stage)
        bar.update(tasks[stage], completed=n_done, total=n_all)

    with bar:
        on_stage("load the program", 0, None)
        yield on_stage
