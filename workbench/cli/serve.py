"""`workbench serve`: the pages in the browser."""

import signal
import socket
import sys
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from pipelines.errors import BadInput
from workbench.cli.options import ProjectDir

if TYPE_CHECKING:
    import uvicorn

    from workbench.project import Project

LOOPBACK = ("127.0.0.1", "localhost", "::1")
BACKLOG = 512
# How long open pages may finish what they are sending when the server is asked to stop.
GOODBYE_S = 2


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8501,
    project: ProjectDir = Path("."),
    public_url: Annotated[
        str | None,
        typer.Option(
            help="The address under which a TLS proxy in front of this server is reached."
        ),
    ] = None,
    open_browser: Annotated[
        bool | None,
        typer.Option("--open/--no-open", help="Open the browser; by default in a terminal."),
    ] = None,
) -> None:
    """Serve the review page and the researcher's pages until Ctrl+C.

    On this machine everybody types a name. As soon as other machines can reach the server
    (--host, --public-url) everybody needs a personal link: `workbench annotator`.
    """
    from workbench.project import Project

    found = Project.open(project)
    public_host = _public_host(public_url)
    team = host not in LOOPBACK or public_host is not None
    if team:
        _refuse_without_people(found, host)
    listening = _listen(host, port)
    here = _url(host, listening.getsockname()[1])
    url = public_url or here
    server = _server(found, team=team, public_host=public_host)
    behind = f", listening on {here}" if public_url else ""
    print(f"{found.name}: {url}{behind}  (Ctrl+C stops)", flush=True)
    if team:
        print("Everybody needs a personal link: `workbench annotator add NAME`", file=sys.stderr)
    if sys.stdout.isatty() if open_browser is None else open_browser:
        # On a thread: some browsers keep this call until they are closed.
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
    # uvicorn stops on a signal and then sends it to us again: to stop on request is no failure.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    server.run(sockets=[listening])


def _public_host(public_url: str | None) -> str | None:
    if public_url is None:
        return None
    parts = urlsplit(public_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadInput(
            f"--public-url {public_url}: give a whole address, https://audit.example.org"
        )
    return parts.hostname


def _url(host: str, port: int) -> str:
    shown = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def _refuse_without_people(project: "Project", host: str) -> None:
    from workbench.audit.people import n_invited
    from workbench.db.session import reading

    with reading(project.engine) as session:
        invited = n_invited(session)
    if not invited:
        raise BadInput(
            f"nobody was invited, so serving on {host} for other machines would let nobody in; run "
            "`workbench annotator owner-link` and `workbench annotator add NAME` first"
        )


def _listen(host: str, port: int) -> socket.socket:
    """A socket that already listens: a browser that comes too early waits a moment.

    Raises:
        BadInput: The port is taken, or the address is not one of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise BadInput(
            f"cannot listen on {host}:{port} ({error.strerror or error}); stop what holds it, "
            "choose another with --port, or --port 0 for a free one"
        ) from error
    return listening


def _server(project: "Project", *, team: bool, public_host: str | None) -> "uvicorn.Server":
    import uvicorn

    from workbench.app.server import create_app

    return uvicorn.Server(
        uvicorn.Config(
            create_app(project, team=team, public_host=public_host),
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="websockets-sansio",
            timeout_graceful_shutdown=GOODBYE_S,
        )
    )
