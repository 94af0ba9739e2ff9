"""Files on disk: written whole or not at all, and by one process at a time."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pipelines.errors import BadInput


def write_whole(path: Path, text: str) -> None:
    """Put a text in place of the file in one step, when the disk has all of it."""
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def sync(path: Path) -> None:
    """Wait until the disk has a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def sole(file: IO[str], busy: Callable[[str], BadInput] | None = None) -> Iterator[None]:
    """The lock of a file is this process's until the block ends, and the file says whose it is.

    The system frees the lock of a killed process by itself.

    Args:
        file: Open for appending and reading.
        busy: Makes the error where another process, named by its id, holds it; None waits for it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX if busy is None else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        if busy is None:
            raise
        file.seek(0)
        raise busy(file.read().strip() or "unknown") from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    yield
    file.truncate(0)
