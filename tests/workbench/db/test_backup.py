"""Backups are whole: taken and put back while people vote, on SQLite and PostgreSQL."""

import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, make_url, select
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner

from pipelines.errors import BadInput, ServiceFailed
from workbench.cli.main import app
from workbench.db.backup import back_up, restore
from workbench.db.migrate import upgrade
from workbench.db.models import Annotator
from workbench.db.session import open_engine, reading, writing
from workbench.project import Project


def add(engine: Engine, name: str) -> None:
    with writing(engine) as session:
        session.add(Annotator(name=name, created_at=0.0))


def names(engine: Engine) -> set[str]:
    with reading(engine) as session:
        return set(session.scalars(select(Annotator.name)))


@pytest.fixture
def database(database_url: str, tmp_path: Path) -> str | Path:
    if database_url.startswith("sqlite"):
        return tmp_path / "workbench.db"
    if shutil.which("pg_dump") is None and not list(Path("/usr/lib/postgresql").glob("*/bin")):
        pytest.skip("no pg_dump on this machine")
    return database_url


@pytest.fixture
def engine(database: str | Path) -> Iterator[Engine]:
    engine = open_engine(database)
    upgrade(engine)
    yield engine
    engine.dispose()


def test_what_was_there_comes_back_and_what_came_later_does_not(
    engine: Engine, database: str | Path, tmp_path: Path
) -> None:
    add(engine, "before")
    back_up(database, tmp_path / "copy")
    add(engine, "after")
    kept = restore(database, tmp_path / "copy")
    assert names(engine) == {"before"}
    add(engine, "goes on")
    assert names(engine) == {"before", "goes on"}
    if isinstance(database, Path):
        assert kept is not None
        with closing(sqlite3.connect(kept)) as old:
            assert set(old.execute("SELECT name FROM annotator")) == {("before",), ("after",)}


def test_a_backup_under_load_holds_all_that_was_committed_before_it(
    engine: Engine, database: str | Path, tmp_path: Path
) -> None:
    """Two writers never stop; three backups are taken, and the second is put back meanwhile."""
    committed: list[str] = []
    stop = threading.Event()

    def writer(who: int) -> None:
        k = 0
        while not stop.is_set():
            name = f"{who}-{k:05d}"
            k += 1
            try:
                add(engine, name)
            except DBAPIError:
                continue  # a restore took the table away from under it; the next one is new
            committed.append(name)
            time.sleep(0.002)

    writers = [threading.Thread(target=writer, args=(who,)) for who in range(2)]
    for thread in writers:
        thread.start()
    known: list[set[str]] = []
    try:
        for number in range(3):
            time.sleep(0.15)
            known.append(set(committed))
            back_up(database, tmp_path / f"copy-{number}")
        restore(database, tmp_path / "copy-1")
        at_restore = len(committed)
        time.sleep(0.15)
    finally:
        stop.set()
        for thread in writers:
            thread.join()
    there = names(engine)
    assert known[1] <= there
    assert set(committed[at_restore + 2 :]) <= there  # who was writing at that moment aside
    missing = (known[2] - known[1]) - there
    assert missing  # what came between the second and the third copy is gone, as asked
    for number in range(3):
        restore(database, tmp_path / f"copy-{number}")
        assert known[number] <= names(engine)


def test_a_backup_never_overwrites_and_leaves_no_half_file(
    engine: Engine, database: str | Path, tmp_path: Path
) -> None:
    (tmp_path / "copy").write_text("mine")
    with pytest.raises(BadInput, match="never overwritten"):
        back_up(database, tmp_path / "copy")
    with pytest.raises(BadInput, match="no such folder"):
        back_up(database, tmp_path / "nowhere" / "copy")
    assert (tmp_path / "copy").read_text() == "mine"
    assert not list(tmp_path.glob("*.partial"))


def test_what_is_no_backup_is_refused_and_nothing_changes(
    engine: Engine, database: str | Path, tmp_path: Path
) -> None:
    add(engine, "ana")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(BadInput, match="is not a backup"):
        restore(database, tmp_path / "text")
    with pytest.raises(BadInput, match="cannot be read"):
        restore(database, tmp_path / "missing")
    assert names(engine) == {"ana"}


def test_a_damaged_or_foreign_sqlite_file_is_refused(tmp_path: Path) -> None:
    database = tmp_path / "workbench.db"
    engine = open_engine(database)
    upgrade(engine)
    for k in range(200):
        add(engine, f"person {k} " + "x" * 200)
    back_up(database, tmp_path / "copy")
    damaged = bytearray((tmp_path / "copy").read_bytes())
    damaged[8_000:60_000] = b"\xff" * 52_000
    (tmp_path / "damaged").write_bytes(damaged)
    with pytest.raises(BadInput, match="damaged"):
        restore(database, tmp_path / "damaged")
    with closing(sqlite3.connect(tmp_path / "foreign")) as other:
        other.execute("CREATE TABLE invoices (id INTEGER)")
    with pytest.raises(BadInput, match="not a workbench's"):
        restore(database, tmp_path / "foreign")
    assert len(names(engine)) == 200
    engine.dispose()


@pytest.mark.postgres
def test_a_database_that_cannot_be_reached_is_an_outside_failure(
    database_url: str, tmp_path: Path
) -> None:
    if database_url.startswith("sqlite"):
        return
    with pytest.raises(ServiceFailed, match="pg_dump failed"):
        back_up(f"{database_url}_missing", tmp_path / "copy")
    assert not list(tmp_path.iterdir())


@pytest.mark.postgres
def test_the_server_is_the_urls_wherever_the_url_names_it(
    database: str | Path, tmp_path: Path
) -> None:
    if isinstance(database, Path):
        return
    url = make_url(database)
    named = f"postgresql+psycopg://{url.username}@/{url.database}?host={url.host}&port={url.port}"
    back_up(named, tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_size > 0


def test_the_commands_copy_and_put_back(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "project")
    add(project.engine, "ana")
    where = ["--project", str(project.dir)]
    copy = str(tmp_path / "copy")
    runner = CliRunner()
    assert "bytes" in runner.invoke(app, ["backup", copy, *where]).stdout
    add(project.engine, "ben")
    refused = runner.invoke(app, ["restore", copy, *where], input="n\n")
    assert refused.exit_code == 1
    assert names(project.engine) == {"ana", "ben"}
    done = runner.invoke(app, ["restore", copy, "--yes", *where])
    assert "What was there before" in done.stdout
    assert names(project.engine) == {"ana"}
