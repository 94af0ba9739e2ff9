"""Telling a run to stop."""

import asyncio
from typing import Literal, Protocol

from pipelines.stages.budget import Bound

GRACE_S = 10.0  # for what is in flight


Stop = Literal["interrupted"] | Bound


class Stoppable(Protocol):
    """Whoever asks: it can be told to ask nothing more."""

    stopped: Stop | None  # why it asks nothing more

    def stop(self, reason: Literal["interrupted"], /) -> None:
        """Ask nothing more; what is in flight may still come."""
        ...


class StopSignal:
    """How a run is told to stop: once, and it finishes what is in flight; twice, and it does not.

    Safe to call from a signal handler of the event loop.
    """

    def __init__(self, grace_s: float = GRACE_S):
        self.asked = False
        self._grace_s = grace_s
        self._desk: Stoppable | None = None
        self._task: asyncio.Task[None] | None = None

    def __call__(self) -> None:
        """Stop."""
        if self._desk is None or self._task is None:
            self.asked = True
            return
        if self.asked:
            self._task.cancel()
        else:
            self.asked = True
            self._desk.stop("interrupted")
            asyncio.get_running_loop().call_later(self._grace_s, self._task.cancel)

    def watch(self, desk: Stoppable, task: asyncio.Task[None]) -> None:
        """From now on this run is meant."""
        self._desk, self._task = desk, task
        if self.asked:
            desk.stop("interrupted")
