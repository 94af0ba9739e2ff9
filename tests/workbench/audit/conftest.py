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
