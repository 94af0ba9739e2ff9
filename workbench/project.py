"""A project folder: its run file, its pairs and its database, opened from anywhere inside it."""

import os
import re
import shutil
from dataclasses import replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.config import CONFIG_NAME, RunConfig, load_config
from pipelines.errors import BadInput, ServiceFailed
from pipelines.store import PairStore
from workbench.data_files import data_dir

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pipelines.agreement.annotations import Annotations

_TEMPLATES = ("project.toml", "guidelines.md")
CONSTITUTION, _FIRST_CONSTITUTION = "constitution.toml", "helpful-harmless-honest-private.toml"
_SQLITE = "sqlite:///"


class Project:
    """One project. The database is opened, and brought to the newest schema, on first use."""

    def __init__(self, folder: Path, config: RunConfig):
        self.dir = folder
        self.config = config

    @classmethod
    def open(cls, start: Path) -> "Project":
        """The project that a folder belongs to: itself or the nearest one above with a run file.

        Raises:
            BadInput: There is none, or its run file is wrong.
        """
        start = start.resolve()
        for folder in (start, *start.parents):
            if (folder / CONFIG_NAME).is_file():
                return cls(folder, load_config(folder))
        raise BadInput(
            f"{start}: no {CONFIG_NAME} here or in a folder above; "
            "run `workbench init DIR` first, or name the project by --project DIR"
        )

    @classmethod
    def create(cls, folder: Path) -> "Project":
        """A new project folder with a commented run file, guidelines for reviewers, a constitution.

        A constitution that is there already stays.

        Raises:
            BadInput: One of its files is already there (nothing is overwritten), or the folder
                cannot be written.
        """
        taken = [name for name in _TEMPLATES if (folder / name).exists()]
        if taken:
            raise BadInput(
                f"{folder}: {taken[0]} is already there and is never overwritten; "
                "choose another folder"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in _TEMPLATES:
                template = resources.files("workbench") / "templates" / name
                with resources.as_file(template) as path:
                    shutil.copyfile(path, folder / name)
            if not (folder / CONSTITUTION).exists():
                shipped = data_dir() / "constitutions" / _FIRST_CONSTITUTION
                shutil.copyfile(shipped, folder / CONSTITUTION)
        except OSError as error:
            raise BadInput(
                f"{folder}: cannot be written ({error.strerror}); choose another folder"
            ) from error
        return cls.open(folder)

    @property
    def name(self) -> str:
        """The project's name, by default its folder's."""
        return self.config.project.name or self.dir.name

    @cached_property
    def store(self) -> PairStore:
        """The imported pairs."""
        return PairStore(self.dir)

    def annotations(self) -> "Annotations":
        """All verdicts and imported labels, with the doubt from which each judge abstains.

        A judge that no section of the run file names never abstains for doubt.
        """
        doubt = {spec.name: spec.doubt for spec in self.config.judges if spec.doubt is not None}
        return replace(self.store.annotations(), doubt=doubt)

    @cached_property
    def engine(self) -> "Engine":
        """The database, migrated.

        Raises:
            BadInput: The URL is none, or names a kind of database whose driver is missing.
            ServiceFailed: The database does not answer, or is damaged.
        """
        from sqlalchemy.exc import DBAPIError, SQLAlchemyError

        from workbench.db.migrate import upgrade
        from workbench.db.session import open_engine

        where = f"{self.dir / CONFIG_NAME}: database.url"
        try:
            engine = open_engine(self.database_url())
            upgrade(engine)
        except DBAPIError as error:
            reason = str(error.orig).partition("\n")[0]
            raise ServiceFailed(
                f"{where} names a database that cannot be opened ({reason}); start it, mend the "
                "URL, or move a damaged file with its -wal and -shm away and `workbench restore` "
                "a backup"
            ) from error
        except ImportError as error:
            raise BadInput(
                f"{where} needs a driver that is not there ({error}); install it"
            ) from error
        except (SQLAlchemyError, ValueError) as error:  # what it says may quote a password
            raise BadInput(
                f"{where} is no database's; write sqlite:///FILE, or "
                "postgresql+psycopg://NAME@HOST/DATABASE"
            ) from error
        return engine

    def database_url(self) -> str | Path:
        """The database's URL with the environment filled in, or the path of a SQLite file.

        Raises:
            BadInput: An environment variable that the URL names is not set.
        """
        url = re.sub(r"\$\{(\w+)\}", self._from_environment, self.config.database.url)
        if url.startswith(_SQLITE):
            return self.dir / url.removeprefix(_SQLITE)
        return url

    def _from_environment(self, match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            raise BadInput(
                f"{self.dir / CONFIG_NAME}: database.url needs the environment variable {name}; "
                "set it"
            )
        return os.environ[name]
