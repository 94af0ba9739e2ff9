"""Fixtures for every test: real data beside the checkout, a database on SQLite or PostgreSQL."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# A timing never decides a test, and a run can be repeated: no deadline, no random seed.
settings.register_profile("workbench", deadline=None, derandomize=True)
settings.load_profile("workbench")

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(Path(__file__).parent))  # for protocol_server

from protocol_server import ServerHandle, running_server  # noqa: E402 - only after the path


def missing(what: str) -> None:
    """Something that the machine lacks: a skip that says so, but in CI a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"CI must have {what}")
    pytest.skip(f"this machine has no {what}")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public preference data that lies beside the checkout."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        missing("../shared/data beside the checkout")
    return folder


@pytest.fixture(scope="session")
def _one_server() -> Iterator[ServerHandle]:
    with running_server() as server:
        yield server


@pytest.fixture
def protocol_server(_one_server: ServerHandle) -> ServerHandle:
    """A real OpenAI-compatible server in a process of its own, well-behaved and at zero."""
    _one_server.calm()
    return _one_server


def _postgres_binaries() -> Path | None:
    on_path = shutil.which("initdb")
    if on_path and (Path(on_path).parent / "pg_ctl").exists():
        return Path(on_path).parent
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(found, key=lambda folder: float(folder.parent.name), default=None)


def _account() -> pwd.struct_passwd | None:
    """Whom the server runs as: initdb refuses root, so root lends it another account."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    missing("an account that PostgreSQL may run as (initdb refuses root)")
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a throw-away PostgreSQL cluster, without a database name; gone afterwards."""
    binaries = _postgres_binaries()
    if binaries is None:
        missing("PostgreSQL binaries (Debian: apt-get install postgresql)")
        return
    account = _account()
    folder = Path(tempfile.mkdtemp(prefix="workbench-pg-"))  # not under pytest's, which is 0700
    as_user: dict[str, int | list[int]] = {}
    if account is not None:
        os.chown(folder, account.pw_uid, account.pw_gid)
        as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    def call(program: str, *arguments: str) -> None:
        # pg_ctl's server would keep a pipe open for ever, so its words go to a file.
        with (folder / f"{program}.log").open("ab") as log:
            done = subprocess.run(
                [str(binaries / program), *arguments],
                cwd=folder,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"},
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
                **as_user,  # type: ignore[call-overload]  # three keywords, or none
            )
        if done.returncode:
            said = (folder / f"{program}.log").read_text(errors="replace")
            pytest.fail(f"{program} failed: {said[-2000:]}")

    cluster, port = folder / "cluster", _free_port()
    try:
        call(
            "initdb",
            *("-D", str(cluster), "-U", "workbench", "--auth=trust", "-E", "UTF8", "--no-sync"),
        )
        options = (
            f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} "
            "-c fsync=off -c full_page_writes=off -c max_connections=40"
        )
        server_log = str(folder / "server.log")
        call("pg_ctl", "-D", str(cluster), "-l", server_log, "-w", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://workbench@127.0.0.1:{port}"
        finally:
            call("pg_ctl", "-D", str(cluster), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of this test's own: once SQLite, once PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'workbench.db'}"
        return
    yield from _database(request.getfixturevalue("postgres_server"))


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database of this test's own."""
    yield from _database(postgres_server)


def _database(server: str) -> Iterator[str]:
    import psycopg

    name = f"test_{os.urandom(6).hex()}"
    admin = server.replace("+psycopg", "") + "/postgres"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    yield f"{server}/{name}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
