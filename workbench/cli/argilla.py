"""`workbench argilla`: an Argilla server of this project's own, with nothing to install."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli import argilla_round
from workbench.cli.options import AsJson, ProjectDir

app = typer.Typer(
    no_args_is_help=True,
    help="Audit in Argilla: a server of this project's own, or one that you have.",
)

LOOPBACK = ("127.0.0.1", "localhost", "::1")

argilla_round.register(app)


@app.command("up")
def up(
    project: ProjectDir = Path("."),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 6900,
    new_password: Annotated[
        bool, typer.Option("--new-password", help="Give the owner another password.")
    ] = False,
    assist: Annotated[
        bool,
        typer.Option(
            "--assist", help="Annotators see suggestions; a round voted so cannot be certified."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start this project's Argilla server in the background, and print where it is.

    The first time, Argilla's own server is installed in an environment of its own. Its data stay
    in the project's folder `argilla`. ARGILLA_DATABASE_URL (PostgreSQL) and ARGILLA_REDIS_URL are
    used when they are set.
    """
    from workbench.annotate.server import environment, process
    from workbench.cli.progress import count_progress
    from workbench.project import Project

    found = Project.open(project)
    if environment.installed() is None:
        print("Installing Argilla's server, once (a minute or two):", file=sys.stderr)
    with count_progress("packages") as on_progress:
        started = process.up(
            found.dir,
            host=host,
            port=port,
            new_password=new_password,
            assist=assist,
            on_progress=on_progress,
        )
    server = started.server
    if as_json:
        print(json.dumps({**asdict(server), "password": started.password}))
        return
    again = " (it ran already)" if started.already else ""
    print(f"Argilla: {server.url}{again}")
    print(f"Workspace {server.workspace}, user {server.username}", end="")
    if started.password is not None:
        print(f", password {started.password}")
        print("The password is shown this once; `--new-password` makes another.", file=sys.stderr)
    else:
        print()
    if host not in LOOPBACK and not started.already:
        print("Other machines can reach it, without TLS: put a proxy in front.", file=sys.stderr)


@app.command("down")
def down(project: ProjectDir = Path(".")) -> None:
    """Stop this project's Argilla server; its data stay."""
    from workbench.annotate.server import process
    from workbench.project import Project

    stopped = process.down(Project.open(project).dir)
    print("No Argilla server runs here." if stopped is None else f"Stopped: {stopped.url}")


@app.command("status")
def status(project: ProjectDir = Path("."), as_json: AsJson = False) -> None:
    """Whether this project's Argilla server runs, and where."""
    from workbench.annotate.server import environment, process
    from workbench.project import Project

    server = process.running(Project.open(project).dir)
    if as_json:
        known = None if server is None else asdict(server)
        print(json.dumps({"installed": environment.installed() is not None, "server": known}))
        return
    if server is None:
        print("No Argilla server runs here; `workbench argilla up` starts one.")
        return
    print(f"Argilla: {server.url} ({server.database}, process {server.pid})")
