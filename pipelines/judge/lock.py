"""One run of a stage on a project at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.errors import BadInput


@contextmanager
def project_lock(project_dir: Path, stage: str = "judge") -> Iterator[None]:
    """Held until the block ends. The system frees the lock of a killed process by itself.

    Raises:
        BadInput: Another run holds it, or the folder cannot be written.
    """
    folder = project_dir / "runs" / stage
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{folder}: cannot be written ({error.strerror or error})") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise BadInput(
                f"{project_dir}: another `workbench {stage}` is running on this project (process "
                f"{file.read().strip() or 'unknown'}); wait until it is done, or stop it"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
        file.truncate(0)
