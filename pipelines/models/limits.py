"""How many calls may be in flight: additive increase, multiplicative decrease, and pauses.

A server that is too busy (429, 503) halves the number once per round of calls, and nobody sends
while it asked for rest; every answer gives a little back, one more call per round trip.

Source: Chiu & Jain (1989), doi:10.1016/0169-7552(89)90019-6.
"""

import asyncio
import random
from collections import deque

from pipelines.models.retry import Backoff

# Without an answer in between they grow; while others are answered, a short rest is enough.
_PAUSE = Backoff(first_s=0.05, longest_s=30.0)


class AdaptiveLimit:
    """Lets at most `limit` calls out at once, first come, first served."""

    def __init__(self, ceiling: int, rng: random.Random):
        self.limit = float(ceiling)
        self.lowest = ceiling
        self.n_in_flight = 0
        self.n_throttled = 0
        self._ceiling = ceiling
        self._rng = rng
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._cut_at = float("-inf")  # loop time of the last cut
        self._open_at = 0.0  # loop time before which nothing is sent
        self._n_cuts = 0  # without an answer between them
        self._timer: asyncio.TimerHandle | None = None

    async def enter(self) -> float:
        """Wait for a place; returns the loop time at which the call may start."""
        now = asyncio.get_running_loop().time()
        if not self._waiting and self._room(now):
            self.n_in_flight += 1
            return now
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._let_in()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()  # the place was given and will not be used
            raise
        return asyncio.get_running_loop().time()

    def leave(self) -> None:
        """The call is over, however it went."""
        self.n_in_flight -= 1
        if self._waiting:
            self._let_in()

    def answered(self) -> None:
        """A call was answered in full: room for a little more."""
        self._n_cuts = 0
        if self.limit < self._ceiling:
            self.limit = min(self._ceiling, self.limit + 1.0 / self.limit)

    def throttled(self, started: float, asked_s: float | None) -> None:
        """A call was turned away.

        Args:
            started: What `enter` returned for it. Calls that were under way at the last cut say
                nothing new, so they cut nothing.
            asked_s: The wait that the server asked for, in seconds; None where it did not.
        """
        now = asyncio.get_running_loop().time()
        self.n_throttled += 1
        if started > self._cut_at:
            self._cut_at = now
            self._n_cuts += 1
            self.limit = max(1.0, self.limit / 2.0)
            self.lowest = min(self.lowest, int(self.limit))
            if asked_s is None:
                asked_s = _PAUSE.wait_s(self._n_cuts, self._rng)
        if asked_s is not None:
            self._open_at = max(self._open_at, now + asked_s)

    def _room(self, now: float) -> bool:
        return self.n_in_flight < int(self.limit) and now >= self._open_at

    def _let_in(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._waiting and self._room(now):
            turn = self._waiting.popleft()
            if not turn.done():
                self.n_in_flight += 1
                turn.set_result(None)
        if self._waiting and now < self._open_at and self._timer is None:
            self._timer = loop.call_at(self._open_at + 1e-3, self._reopen)

    def _reopen(self) -> None:
        self._timer = None
        self._let_in()
