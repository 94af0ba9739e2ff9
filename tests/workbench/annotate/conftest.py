"""A real Argilla server for the tests of a worker, from the locked environment."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from argilla_world import World, sqlite_url

from pipelines.errors import ServiceFailed
from workbench.annotate.server import environment, process
from workbench.annotate.server.account import owner_key


@pytest.fixture(scope="session")
def argilla_environment() -> Path:
    """The Python of the server's environment: made once a machine, from the package index."""
    try:
        return environment.ensure(lambda n_done, n_all: None)
    except ServiceFailed as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI must install Argilla's server: {error}")
        pytest.skip(f"Argilla's server cannot be installed here: {error}")


@pytest.fixture(scope="session")
def argilla(argilla_environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A running server on SQLite; tests make datasets and people of their own in it."""
    folder = tmp_path_factory.mktemp("argilla")
    started = process.up(folder, port=0)
    world = World(started.server.url, owner_key(folder), sqlite_url(folder))
    try:
        yield world
    finally:
        world.close()
        process.down(folder)
