from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from pipelines.errors import BadInput
from workbench.db import migrate
from workbench.db.models import Base
from workbench.db.session import open_engine


def test_the_migrations_make_exactly_the_tables_of_the_models(database_url: str) -> None:
    engine = open_engine(database_url)
    migrate.upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        tables = set(inspect(connection).get_table_names())
    assert tables == {*Base.metadata.tables, "alembic_version"}
    engine.dispose()


def test_a_partial_unique_index_holds_on_both_databases(database_url: str) -> None:
    engine = open_engine(database_url)
    migrate.upgrade(engine)
    with engine.connect() as connection:
        indexes = {index["name"]: index for index in inspect(connection).get_indexes("vote")}
    assert indexes["vote_once"]["unique"]
    assert indexes["vote_slot"]["dialect_options"]
    engine.dispose()


def test_upgrading_twice_changes_nothing(database_url: str) -> None:
    engine = open_engine(database_url)
    migrate.upgrade(engine)
    migrate.upgrade(engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).all() == [
            (migrate.HEAD,)
        ]
    engine.dispose()


def test_the_constant_names_the_newest_migration() -> None:
    assert migrate.known_versions()[-1] == migrate.HEAD


def test_several_programs_may_open_a_new_database_at_once(database_url: str) -> None:
    def one(_: int) -> None:
        engine = open_engine(database_url)
        migrate.upgrade(engine)
        engine.dispose()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(one, range(4)))


def test_a_database_of_a_newer_workbench_is_refused(database_url: str) -> None:
    engine = open_engine(database_url)
    migrate.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(BadInput, match="newer workbench"):
        migrate.upgrade(engine)
    engine.dispose()


def test_a_database_with_other_tables_is_refused(database_url: str) -> None:
    engine = open_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE invoices (id INTEGER)"))
    with pytest.raises(BadInput, match="invoices"):
        migrate.upgrade(engine)
    engine.dispose()


def test_a_folder_with_odd_characters_is_no_obstacle(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "a b%20c.db")
    migrate.upgrade(engine)
    assert (tmp_path / "a b%20c.db").exists()
    engine.dispose()
