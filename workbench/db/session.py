"""Opening the database of a project: SQLite (WAL) by default, PostgreSQL by URL."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.orm import Session


def open_engine(url: str | Path) -> Engine:
    """An engine for a database URL, or for the path of a SQLite file.

    SQLite commits are durable (WAL, synchronous FULL) and every transaction takes the write lock
    when it starts, so two writers wait for each other instead of failing half-way.
    """
    # Not f"sqlite:///{path}": a folder's name may hold "%20", which a URL would unquote.
    address = URL.create("sqlite", database=str(url)) if isinstance(url, Path) else url
    engine = create_engine(address)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _pragmas(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # we send BEGIN ourselves, below
            cursor = connection.cursor()
            cursor.execute("PRAGMA busy_timeout=10000")
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.execute("PRAGMA foreign_keys=ON")
            cursor.close()

        @event.listens_for(engine, "begin")
        def _begin(connection: Any) -> None:
            read_only = connection.get_execution_options().get("read_only", False)
            connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A session whose transaction commits when the block ends, and rolls back when it raises."""
    with Session(engine) as session, session.begin():
        yield session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session that never takes SQLite's write lock."""
    with Session(engine.execution_options(read_only=True)) as session:
        yield session
