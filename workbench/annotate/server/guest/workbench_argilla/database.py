"""The database before the server starts: its schema, our indexes, its owner and workspace."""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

from argilla_server.contexts.accounts import hash_password
from argilla_server.database import (
    ALEMBIC_CONFIG_FILE,
    TAGGED_REVISIONS,
    async_engine,
    sync_engine,
)
from argilla_server.enums import UserRole
from argilla_server.models import User, Workspace
from sqlalchemy import Connection, event, inspect, select, text
from sqlalchemy.orm import Session

from . import trips
from .json_sql import COLLATIONS, fold_case_by

OWNER = "owner"
# The pending queue, the counts of a dataset and its list read these and no table.
_INDEXES = (
    "CREATE INDEX IF NOT EXISTS workbench_records_order ON records (dataset_id, inserted_at, id)",
    "CREATE INDEX IF NOT EXISTS workbench_responses_user ON responses (user_id, record_id, status)",
)
_QUEUE = {
    # Filters and sorts by metadata read this too, and not the texts, which are many times longer.
    "sqlite": "CREATE INDEX IF NOT EXISTS workbench_records_queue "
    "ON records (dataset_id, status, id, inserted_at, metadata)",
    # PostgreSQL's indexes take no long values.
    "postgresql": "CREATE INDEX IF NOT EXISTS workbench_records_queue "
    "ON records (dataset_id, status, id)",
}


@dataclass(frozen=True)
class Prepared:
    """What was found or made: the password only when it is new, for it is stored nowhere."""

    username: str
    password: str | None
    session_key: str


def _sqlite_settings(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    # An answer that was acknowledged survives a killed server and a cut power line.
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA cache_size = -65536")
    cursor.execute("PRAGMA mmap_size = 1073741824")
    cursor.close()


def _postgres_settings(_: object, __: object, ___: object, named: dict[str, Any]) -> None:
    # PostgreSQL cannot guess how little JSON there is in a record, so it would compile nearly every
    # search to machine code: for longer than the search itself takes.
    named["server_settings"] = {**named.get("server_settings", {}), "jit": "off"}


def prepare(workspace: str, new_password: bool) -> Prepared:
    """Bring the schema to the server's version, and make an owner and a workspace if missing."""
    if async_engine.dialect.name == "sqlite":
        for engine in (async_engine.sync_engine, sync_engine):
            event.listen(engine, "connect", _sqlite_settings)
        trips.use(async_engine.sync_engine)
    else:
        event.listen(async_engine.sync_engine, "do_connect", _postgres_settings)
    _bring_up_to_date()
    with sync_engine.begin() as connection:
        for statement in (*_INDEXES, _QUEUE[sync_engine.dialect.name]):
            connection.execute(text(statement))
        if sync_engine.dialect.name == "postgresql":
            _choose_collation(connection)
    with Session(sync_engine) as session:
        prepared = _accounts(session, workspace, new_password)
        session.commit()
    sync_engine.dispose()
    return prepared


def _bring_up_to_date() -> None:
    """The schema of the pinned server, whose newest revision is the last that it tagged."""
    with sync_engine.connect() as connection:
        made = inspect(connection).has_table("alembic_version")
        query = text("SELECT version_num FROM alembic_version")
        revision = connection.scalar(query) if made else None
    if revision != list(TAGGED_REVISIONS.values())[-1]:
        # Loaded only where there is something to do: most starts need none of it.
        from alembic import command
        from alembic.config import Config

        command.upgrade(Config(ALEMBIC_CONFIG_FILE), "head")


def _choose_collation(connection: Connection) -> None:
    known = set(connection.scalars(text("SELECT collname FROM pg_collation")))
    for name in COLLATIONS:
        if name in known:
            fold_case_by(name)
            return


def _accounts(session: Session, workspace: str, new_password: bool) -> Prepared:
    owner = session.scalars(select(User).where(User.username == OWNER)).one_or_none()
    password = secrets.token_urlsafe(12) if owner is None or new_password else None
    if owner is None:
        owner = User(username=OWNER, first_name="Owner", role=UserRole.owner, password_hash="")
        session.add(owner)
    if password is not None:
        owner.password_hash = hash_password(password)
    if session.scalars(select(Workspace).where(Workspace.name == workspace)).first() is None:
        session.add(Workspace(name=workspace))
    session.flush()
    # Sessions outlive a restart without one more secret in a file.
    session_key = hashlib.sha256(f"workbench sessions {owner.api_key}".encode()).hexdigest()
    return Prepared(owner.username, password, session_key)
