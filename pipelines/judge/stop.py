"""Telling a run to stop."""

import asyncio

from pipelines.judge.desk import Desk

GRACE_S = 10.0  # for what is in flight


class StopSignal:
    """How a run is told to stop: once, and it finishes what is in flight; twice, and it does not.

    Safe to call from a signal handler of the event loop.
    """

    def __init__(self, grace_s: float = GRACE_S):
        self.asked = False
        self._grace_s = grace_s
        self._desk: Desk | None = None
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

    def watch(self, desk: Desk, task: asyncio.Task[None]) -> None:
        """From now on this run is meant."""
        self._desk, self._task = desk, task
        if self.asked:
            desk.stop("interrupted")
