"""`workbench demo`: the sample project, with a round part-labelled, opened in the browser."""

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.errors import BadInput

if TYPE_CHECKING:
    from workbench.demo import MadeDemo

HOST = "127.0.0.1"
PATIENCE_S = 2.0


def demo(
    dir: Annotated[Path, typer.Option(help="Where the demo project is, or goes.")] = Path("demo"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8501,
    no_serve: Annotated[
        bool, typer.Option("--no-serve", help="Make the project; open no pages.")
    ] = False,
) -> None:
    """Make the sample project, unless it is there, and open its pages until Ctrl+C.

    An existing demo opens as it was left; nothing is ever made anew over it.
    """
    from workbench.demo import find_demo, make_demo

    there = find_demo(dir)
    if not no_serve:
        _refuse_taken_port(port)  # before anything is made
    if there:
        print(f"demo      {dir} is there and opens as you left it (delete it for a new one)")
    else:
        print(f"demo      a new project in {dir}; judges and annotators are simulated", flush=True)
        with _progress() as on_progress:
            made = make_demo(dir, on_progress=on_progress)
        print("\n".join(_lines(made)), flush=True)
    if no_serve:
        print(f"next      workbench serve --project {dir}")
        return
    from workbench.cli.serve import serve

    serve(host=HOST, port=port, project=dir, public_url=None, open_browser=None)


def _lines(made: "MadeDemo") -> list[str]:
    n_drawn = sum(made.n_drawn.values())
    strata = ", ".join(f"{number} {name}" for name, number in made.n_drawn.items())
    people = ", ".join(made.annotators)
    return [
        f"pairs     {made.n_pairs} imported, written for this project",
        f"round     {made.round_name}: {n_drawn} drawn ({strata}), auditing {made.label}",
        f"labels    {made.answered} of {made.asked} given by {people}; the next pair is yours",
    ]


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
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A function to call with labels given and asked for; a bar once it takes a while."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("simulated labels"), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, console=Console(file=sys.stderr), transient=True)
    task = bar.add_task("", total=None)
    start, running = time.monotonic(), False

    def on_progress(answered: int, asked: int) -> None:
        nonlocal running
        if not running and time.monotonic() - start > PATIENCE_S:
            bar.start()
            running = True
        bar.update(task, completed=answered, total=asked)

    try:
        yield on_progress
    finally:
        if running:
            bar.stop()
