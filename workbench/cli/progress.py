"""Progress bars on stderr, where that is a terminal and the work takes more than two seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

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
        if not running and _is_due(progress, start):
            progress.start()
            running = True
        progress.update(task, completed=n_read)

    try:
        yield on_bytes
    finally:
        if running:
            progress.stop()


@contextmanager
def count_progress(description: str) -> Iterator[Callable[[int, int], None]]:
    """A function to call with the number of things done and of all."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    bar = Progress(
        "{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        transient=True,
    )
    task = bar.add_task(description)
    start = time.monotonic()

    def on_count(n_done: int, n_all: int) -> None:
        if not bar.live.is_started and _is_due(bar, start):
            bar.start()
        bar.update(task, completed=n_done, total=n_all)

    try:
        yield on_count
    finally:
        if bar.live.is_started:  # a bar that never started would still end with an empty line
            bar.stop()


def _is_due(bar: "Progress", start: float) -> bool:
    """Whether somebody sees the bar, and waits for it long enough."""
    return bar.console.is_terminal and time.monotonic() - start > _PATIENCE_S
