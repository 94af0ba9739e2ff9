"""Copies of everything that people did, taken and put back while the server runs."""

import os
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from itertools import count
from pathlib import Path

from sqlalchemy import URL, make_url

from pipelines.errors import BadInput, ServiceFailed

_SQLITE_MAGIC, _DUMP_MAGIC = b"SQLite format 3\x00", b"PGDMP"
# A restore waits this long for a vote that is just being written.
BUSY_S = 30.0


def back_up(database: str | Path, target: Path) -> None:
    """Write a copy of the database, as it is at one moment, to a new file.

    Votes may go on arriving: those that were acknowledged before the start are in the copy.

    Args:
        database: The path of a SQLite file, or the URL of a PostgreSQL database.
        target: The file to write; it appears only when it is complete.

    Raises:
        BadInput: The file is there already, or cannot be written.
        ServiceFailed: PostgreSQL's own program failed.
    """
    if target.exists():
        raise BadInput(f"{target}: is there already and is never overwritten; choose another name")
    if not target.parent.is_dir():
        raise BadInput(f"{target.parent}: no such folder; make it first")
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        if isinstance(database, Path):
            _copy_sqlite(database, partial)
        else:
            _run_postgres("pg_dump", database, "--format=custom", f"--file={partial}")
        partial.replace(target)
    except (OSError, sqlite3.Error) as error:
        raise BadInput(f"{target}: the copy failed ({error}); nothing was changed") from error
    finally:
        partial.unlink(missing_ok=True)


def restore(database: str | Path, source: Path) -> Path | None:
    """Put a copy back in place of the database, in one transaction.

    Args:
        database: The path of a SQLite file, or the URL of a PostgreSQL database.
        source: What `back_up` wrote.

    Returns:
        Where the SQLite database that was there before lies now; None when there was none, and
        for PostgreSQL.

    Raises:
        BadInput: The file is not a copy of this kind of database, or is damaged.
        ServiceFailed: PostgreSQL's own program failed; the database is as it was.
    """
    _check(database, source)
    if not isinstance(database, Path):
        _run_postgres(
            "pg_restore", database, "--clean", "--if-exists", "--single-transaction",
            "--no-owner", str(source),
        )  # fmt: skip
        return None
    before = None
    if database.exists():
        before = _free_name(database)
        back_up(database, before)
    try:
        _copy_sqlite(source, database)
    except sqlite3.Error as error:
        raise BadInput(
            f"{database}: could not be replaced ({error}); it is as it was, try again"
        ) from error
    return before


def _free_name(database: Path) -> Path:
    """Where the database of now goes: a name with the time, and a number if that is taken."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for number in count(1):
        suffix = stamp if number == 1 else f"{stamp}-{number}"
        name = database.with_name(f"{database.name}.before-restore-{suffix}")
        if not name.exists():
            break
    return name


def _copy_sqlite(source: Path, target: Path) -> None:
    """SQLite's online copy: a consistent picture, in one transaction of the target."""
    # Read-write, because reading a database in WAL mode may have to build its index.
    with (
        closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=rw", uri=True)) as old,
        closing(sqlite3.connect(target, timeout=BUSY_S)) as new,
    ):
        new.execute("PRAGMA synchronous=FULL")
        old.backup(new)


def _check(database: str | Path, source: Path) -> None:
    try:
        with source.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise BadInput(f"{source}: cannot be read ({error.strerror})") from error
    if isinstance(database, str):
        if not start.startswith(_DUMP_MAGIC):
            raise BadInput(f"{source}: is not a backup of a PostgreSQL database")
        return
    if start != _SQLITE_MAGIC:
        raise BadInput(f"{source}: is not a backup of a SQLite database")
    try:
        with closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as copy:
            verdict = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
            tables = {row[0] for row in copy.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error as error:
        raise BadInput(f"{source}: is damaged ({error}); use another backup") from error
    if verdict != "ok":
        raise BadInput(f"{source}: is damaged ({verdict}); use another backup")
    if not {"vote", "alembic_version"} <= tables:
        raise BadInput(f"{source}: is not a workbench's database; nothing was changed")


def _run_postgres(program: str, database: str, *arguments: str) -> None:
    url = make_url(database)
    found = _binary(program)
    # All of the URL, or another server's database of this name would be meant; but by environment
    # its password: what stands on a command line can be read by everybody.
    place = URL.create(
        "postgresql",
        username=url.username,
        host=url.host,
        port=url.port,
        database=url.database,
        query=url.query,
    ).render_as_string()
    done = subprocess.run(
        [str(found), "--no-password", f"--dbname={place}", *arguments],
        env=os.environ | ({"PGPASSWORD": url.password} if url.password else {}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no reason given"]
        raise ServiceFailed(f"{program} failed: {said[0]}")


def _binary(program: str) -> Path:
    on_path = shutil.which(program)
    if on_path:
        return Path(on_path)
    installed = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{program}"),
        key=lambda path: float(path.parent.parent.name),
    )
    if not installed:
        raise BadInput(f"{program} is not installed; install PostgreSQL's client programs")
    return installed[-1]
