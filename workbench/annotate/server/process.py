"""One server process for a project: started in the background, found again, stopped.

What is known of a running server stands in `PROJECT/argilla/server.json`; whether it still runs is
told by a lock that the process holds and the kernel gives back at its death, however it dies.
"""

import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.errors import BadInput, ServiceFailed
from workbench.annotate.server import environment

FOLDER = "argilla"
WORKSPACE = "workbench"
DATABASE_VARIABLE = "ARGILLA_DATABASE_URL"
REDIS_VARIABLE = "ARGILLA_REDIS_URL"
# A first start makes the schema; on a busy machine that takes a while.
START_S = 180.0
STOP_S = 15.0
_BACKLOG = 512


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        url: Where its pages and its interface are.
        pid: Its process.
        username: The owner's name.
        workspace: The workspace that was made for this project.
        assist: Annotators see suggestions: an explicit choice.
        database: "sqlite" or "postgresql".
        host: The address that it listens on.
    """

    url: str
    pid: int
    username: str
    workspace: str
    assist: bool
    database: str
    host: str


@dataclass(frozen=True)
class Started:
    """A server, and what only its start knows.

    Attributes:
        server: The running server.
        password: The owner's, where it was just made; it is stored nowhere.
        already: It ran before.
    """

    server: Server
    password: str | None
    already: bool


def folder_of(project_dir: Path) -> Path:
    """Where a project keeps its Argilla server's data."""
    return project_dir / FOLDER


def running(project_dir: Path) -> Server | None:
    """The project's server, or None when none runs."""
    folder = folder_of(project_dir)
    if not _is_locked(folder / "lock"):
        return None
    try:
        return Server(**json.loads((folder / "server.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None  # it is just starting


def up(
    project_dir: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 6900,
    new_password: bool = False,
    assist: bool = False,
    on_progress: environment.Report = lambda n_done, n_all: None,
) -> Started:
    """Start the project's server, or find that it runs.

    Args:
        project_dir: The project's folder.
        host: The address to listen on.
        port: 0 takes a free one.
        new_password: Give the owner another password.
        assist: Let annotators see suggestions.
        on_progress: Called while the environment is made the first time.

    Raises:
        BadInput: The port is taken, the folder cannot be written, or a running server has other
            settings.
        ServiceFailed: The server could not be installed or did not start.
    """
    found = running(project_dir)
    if found is not None:
        return _already(found, new_password=new_password, assist=assist)
    listening = _listen(host, port)
    try:
        python = environment.ensure(on_progress)
        return _start(python, project_dir, listening, host, new_password, assist)
    finally:
        listening.close()


def down(project_dir: Path) -> Server | None:
    """Stop the project's server and wait until it is gone; the server, or None if none ran.

    Raises:
        ServiceFailed: It does not stop.
    """
    found = running(project_dir)
    if found is None:
        return None
    _signal(found.pid, signal.SIGTERM)
    if not _gone(folder_of(project_dir), STOP_S):
        _signal(found.pid, signal.SIGKILL)  # nothing that was acknowledged is lost by it
        if not _gone(folder_of(project_dir), STOP_S):
            raise ServiceFailed(
                f"the Argilla server (process {found.pid}) does not stop; end it by hand"
            )
    (folder_of(project_dir) / "server.json").unlink(missing_ok=True)
    return found


def _already(found: Server, *, new_password: bool, assist: bool) -> Started:
    if new_password or assist != found.assist:
        wanted = "a new password" if new_password else "another choice of --assist"
        raise BadInput(
            f"the Argilla server already runs at {found.url}, and {wanted} needs a new start; "
            "run `workbench argilla down` first"
        )
    return Started(found, None, already=True)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _gone(folder: Path, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if not _is_locked(folder / "lock"):
            return True
        time.sleep(0.05)
    return False


def _is_locked(path: Path) -> bool:
    try:
        with path.open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise BadInput(
            f"cannot listen on {host}:{port} ({error.strerror or error}); stop what holds it, "
            "choose another with --port, or --port 0 for a free one"
        ) from error
    return listening


def _start(
    python: Path,
    project_dir: Path,
    listening: socket.socket,
    host: str,
    new_password: bool,
    assist: bool,
) -> Started:
    folder = folder_of(project_dir)
    reading, writing = os.pipe()
    told = {
        "socket": listening.fileno(),
        "report": writing,
        "lock": str(folder / "lock"),
        "workspace": WORKSPACE,
        "new_password": new_password,
        "assist": assist,
    }
    try:
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)  # the database holds keys and people's answers
        _clear(folder / "tmp")
        with (folder / "server.log").open("wb") as log:
            process = subprocess.Popen(
                [str(python), "-m", "workbench_argilla", json.dumps(told)],
                cwd=folder,
                env=_environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[listening.fileno(), writing],
                start_new_session=True,
                umask=0o077,
            )
    except OSError as error:
        os.close(reading)
        os.close(writing)
        raise BadInput(
            f"{folder}: cannot be written ({error.strerror or error}); make room there, or give "
            "yourself the right to write"
        ) from error
    os.close(writing)
    said = _first_words(reading, process)
    if said.get("running"):
        again = _wait_for(project_dir)
        return Started(again, None, already=True)
    if "username" not in said:
        raise _not_started(folder, said)
    server = Server(
        url=_url(host, listening.getsockname()[1]),
        pid=process.pid,
        username=str(said["username"]),
        workspace=WORKSPACE,
        assist=assist,
        database=_database_kind(),
        host=host,
    )
    written = folder / "server.json.part"
    written.write_text(json.dumps(asdict(server), indent=2) + "\n", encoding="utf-8")
    written.replace(folder / "server.json")
    process.returncode = 0  # it outlives this command, so nobody here waits for it
    return Started(server, said.get("password"), already=False)


def _clear(folder: Path) -> None:
    """Empty the folder that the server copies its pages to, at every start anew."""
    for entry in folder.iterdir():
        shutil.rmtree(entry, ignore_errors=True)


def _database_kind() -> str:
    return "postgresql" if "postgres" in os.environ.get(DATABASE_VARIABLE, "") else "sqlite"


def _environment(folder: Path) -> dict[str, str]:
    """What the server sees: of Argilla's own settings only the two that are documented here."""
    ours = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("ARGILLA_", "PYTHON")) or key in (DATABASE_VARIABLE, REDIS_VARIABLE)
    }
    database = ours.get(DATABASE_VARIABLE, "")
    if not database:
        file = folder.resolve() / "argilla.db"
        database = f"sqlite+aiosqlite:///{file}?check_same_thread=False"
    return {
        **ours,
        "PYTHONPATH": str(environment.GUEST),
        "TMPDIR": str(folder.resolve() / "tmp"),
        "ARGILLA_HOME_PATH": str(folder.resolve()),
        DATABASE_VARIABLE: database,
        "ARGILLA_DATABASE_SQLITE_TIMEOUT": "30",
        "ARGILLA_SEARCH_ENGINE": "workbench",
        "ARGILLA_CORS_ORIGINS": "[]",  # its own pages need none
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }


def _first_words(reading: int, process: "subprocess.Popen[bytes]") -> dict[str, str]:
    """The one line that the server says when it is ready; nothing if it ended before."""
    with os.fdopen(reading) as pipe:
        ready, _, _ = select.select([pipe], [], [], START_S)
        line = pipe.readline() if ready else ""
    if not line:
        process.kill()
        process.wait()
        return {}
    said: dict[str, str] = json.loads(line)
    return said


def _not_started(folder: Path, said: dict[str, str]) -> ServiceFailed:
    if "failed" in said:
        return ServiceFailed(
            f"the Argilla server cannot use its database ({said['failed']}); look at "
            f"{folder / 'server.log'}"
        )
    log = (folder / "server.log").read_text(encoding="utf-8", errors="replace")
    last = [line for line in log.splitlines() if line.strip()] or ["it said nothing"]
    return ServiceFailed(
        f"the Argilla server did not start ({last[-1].strip()[:300]}); all of what it said is in "
        f"{folder / 'server.log'}"
    )


def _wait_for(project_dir: Path) -> Server:
    """The server that another command is just starting."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        found = running(project_dir)
        if found is not None:
            return found
        time.sleep(0.2)
    raise ServiceFailed("another command is starting the Argilla server and does not get ready")


def _url(host: str, port: int) -> str:
    shown = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
