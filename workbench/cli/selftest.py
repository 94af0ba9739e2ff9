"""`workbench selftest`: does the audit find what was planted, as often as it says?"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from workbench.cli.options import AsJson


def selftest(
    quick: Annotated[bool, typer.Option("--quick", help="A minute: 200 worlds a row.")] = False,
    worlds: Annotated[
        int | None, typer.Option(min=50, help="Worlds a row; without it 2,000.")
    ] = None,
    live: Annotated[
        bool, typer.Option("--live/--no-live", help="Also a handful through server and queue.")
    ] = True,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that share the work.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Plant biases, errors and people in simulated worlds, audit them, and compare.

    Exit code 0: every interval holds what was planted as often as it says, and no gate errs more
    than it may; 1: some do not.
    """
    from workbench.selftest.run import N_LIVE_QUICK, N_QUICK, N_WORLDS, run_selftest
    from workbench.selftest.text import lines

    n_worlds = worlds or (N_QUICK if quick else N_WORLDS)
    n_live = (N_LIVE_QUICK if quick else None) if live else 0
    with _progress() as on_progress:
        report = run_selftest(n_worlds, seed, n_live=n_live, n_jobs=jobs, on_progress=on_progress)
    if as_json:
        print(json.dumps(report.as_dict(), indent=1))
    else:
        print("\n".join(lines(report)))
    if not report.passed:
        raise typer.Exit(1)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A function to call with what is being done; a bar on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task("", total=None)

        def on_progress(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        yield on_progress
