"""A progress bar by bytes on stderr, for work that takes more than two seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_PATIENCE_S = 2.0


@contextmanager
def byte_progress(path: Path) -> Iterator[Callable[[int], None]]:
    """A function to call with the number of bytes of the file that were read so far."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        transient=True,
    )
    start = time.monotonic()
    n_bytes = path.stat().st_size if path.is_file() else None
    task = progress.add_task(path.name, total=n_bytes)
    running = False

    def on_bytes(n_read: int) -> None:
        nonlocal running
        if not running and time.monotonic() - start > _PATIENCE_S:
            progress.start()
            running = True
        progress.update(task, completed=n_read)

    try:
        yield on_bytes
    finally:
        if running:
            progress.stop()
