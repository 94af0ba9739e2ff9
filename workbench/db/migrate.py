"""Bringing a project's database to the tables this program knows, step by step (Alembic)."""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from pipelines.errors import BadInput

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0005"
MIGRATIONS = Path(__file__).parent / "migrations"
# Any constant will do: two programs that open a new PostgreSQL database at once take turns.
_LOCK = 7_361_552_001


def upgrade(engine: Engine) -> None:
    """Apply every migration that this database has not seen, in one transaction.

    Returns at once, without loading Alembic, when there is nothing to do.

    Raises:
        BadInput: The database was written by a newer version of the program, or holds tables
            that are not ours.
    """
    with engine.connect().execution_options(read_only=True) as connection:
        if _version(connection) == HEAD:
            return
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        found = _version(connection)
        if found == HEAD:
            return
        _refuse_foreign(connection, found)
        _run(connection)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _refuse_foreign(connection: Connection, found: str | None) -> None:
    url = connection.engine.url.render_as_string(hide_password=True)
    if found is None:
        strangers = inspect(connection).get_table_names()
        if strangers:
            raise BadInput(
                f"{url}: holds tables of another program ({', '.join(sorted(strangers)[:3])}); "
                "give the workbench an empty database"
            )
    elif found not in known_versions():
        raise BadInput(
            f"{url}: was written by a newer workbench (tables {found}, this one knows {HEAD}); "
            "upgrade the workbench"
        )


def known_versions() -> list[str]:
    """Every migration in the package, oldest first."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_config()).walk_revisions()
    return [script.revision for script in scripts][::-1]


def _run(connection: Connection) -> None:
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    # Config reads "%" as the start of an interpolation; a folder's name may hold one.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
