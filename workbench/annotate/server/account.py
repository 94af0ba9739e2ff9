"""The owner's key of a project's own server, read from its database: no second copy of a secret."""

import os
from pathlib import Path

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from pipelines.errors import BadInput
from workbench.annotate.server.process import DATABASE_VARIABLE, folder_of

OWNER = "owner"


def owner_key(project_dir: Path) -> str:
    """The API key of the owner of the server that `workbench argilla up` started.

    Raises:
        BadInput: There is no such server yet, or its database cannot be read.
    """
    given = os.environ.get(DATABASE_VARIABLE, "")
    if given and not given.startswith("sqlite"):
        url = make_url(given).set(drivername="postgresql+psycopg")
    else:
        file = folder_of(project_dir) / "argilla.db"
        if not file.is_file():
            raise BadInput(
                f"{project_dir}: no Argilla server was started here; run `workbench argilla up`"
            )
        url = make_url(f"sqlite:///{file}")
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            question = text("SELECT api_key FROM users WHERE username = :name")
            key = connection.execute(question, {"name": OWNER}).scalar_one()
    except SQLAlchemyError as error:
        raise BadInput(
            f"the Argilla server's database cannot be read "
            f"({str(getattr(error, 'orig', None) or error).splitlines()[0]}); run "
            "`workbench argilla up` first"
        ) from error
    finally:
        engine.dispose()
    return str(key)
