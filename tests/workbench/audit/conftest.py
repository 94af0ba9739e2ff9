"""What the tests of the queue share."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from workbench.db.migrate import upgrade
from workbench.db.session import open_engine

sys.path.insert(0, str(Path(__file__).parent))  # for queue_world


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An empty database with our tables: once SQLite, once PostgreSQL."""
    engine = open_engine(database_url)
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture(autouse=True)
def _close_projects() -> Iterator[None]:
    """Close the databases of the projects that a test made, or Python warns about each."""
    yield
    from round_world import OPENED

    while OPENED:
        project = OPENED.pop()
        if "engine" in vars(project):  # opened at all
            project.engine.dispose()
