"""One run of a stage on a project at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.disk import sole
from pipelines.errors import BadInput


@contextmanager
def project_lock(project_dir: Path, stage: str) -> Iterator[None]:
    """Held until the block ends.

    Raises:
        BadInput: Another run holds it, or the folder cannot be written.
    """
    folder = project_dir / "runs" / stage
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{folder}: cannot be written ({error.strerror or error})") from error

    def busy(process: str) -> BadInput:
        return BadInput(
            f"{project_dir}: another `workbench {stage}` is running on this project (process "
            f"{process}); wait until it is done, or stop it"
        )

    with file, sole(file, busy):
        yield
