"""Work on its way, of any stage: what is asked next, and what becomes of each reply.

A piece of work (a judgment, a prompt's candidates) is a generator that yields rounds of requests
and returns its outcome. The desk is the source of requests that an engine reads, and takes the
engine's replies. The replies so far are in the stage's log, so work that was cut off goes on where
it stopped.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Generic, Self, TypeVar

from pipelines.errors import ServiceFailed, WorkbenchError
from pipelines.models.completions import Price
from pipelines.models.engine import Engine, Reply, Request
from pipelines.stages.budget import Budget
from pipelines.stages.log import Head, Spend, StageLog, step_line
from pipelines.stages.manifest import Ended
from pipelines.stages.stop import Stop, Stoppable, StopSignal

HeadT = TypeVar("HeadT", bound=Head)
Outcome = TypeVar("Outcome")


class Work(Generic[HeadT, Outcome]):
    """One piece of work."""

    __slots__ = ("detail", "mark", "n_open", "number", "replies", "steps", "wanted")

    def __init__(
        self,
        mark: HeadT,
        steps: Generator[tuple[Request, ...], tuple[Reply, ...], Outcome],
    ):
        self.mark = mark
        self.steps = steps
        self.number = -1  # of the round of requests
        self.wanted: tuple[Request, ...] = ()
        self.replies: list[Reply | None] = []
        self.n_open = 0
        self.detail: str | None = None  # why the latest failed reply failed

    def advance(self) -> Outcome | None:
        """Go on to the next round of requests; the outcome when there is none."""
        try:
            if self.number < 0:
                self.wanted = next(self.steps)
            else:
                replies = tuple(reply for reply in self.replies if reply is not None)
                self.wanted = self.steps.send(replies)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        self.number += 1
        self.replies = [None] * len(self.wanted)
        self.n_open = len(self.wanted)
        return None

    def take(self, place: int, reply: Reply) -> None:
        """One of this round's replies."""
        self.replies[place] = reply
        self.n_open -= 1
        if reply.failure is not None:
            self.detail = reply.detail


WorkT = TypeVar("WorkT", bound=Work[Any, Any])


class WorkDesk(ABC, Generic[WorkT, Outcome]):
    """An async iterator of requests, and the one who takes the replies."""

    def __init__(
        self,
        fresh: Iterator[WorkT],
        log: StageLog,
        budget: Budget,
        price: Price | None,
        on_change: Callable[[], None],
    ):
        self.stopped: Stop | None = None
        self.spent = Spend()  # in this run
        self.n_outages = 0  # replies that the service owes us
        self.last_outage: str | None = None
        self._fresh = fresh
        self._log = log
        self._budget = budget
        self._price = price
        self._on_change = on_change
        self._ready: deque[tuple[WorkT, int]] = deque()
        self._n_out = 0  # requests without a reply
        self._waiter: asyncio.Future[None] | None = None

    @abstractmethod
    def saved(self, work: WorkT) -> Mapping[tuple[int, int], Reply]:
        """The replies that the log holds, by round and place."""

    @abstractmethod
    def finish(self, work: WorkT, outcome: Outcome, last: Reply | None) -> None:
        """Log an outcome, with the reply that led to it when no step line holds that."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[tuple[WorkT, int, float], Request]:
        while True:
            if self.stopped is not None:
                raise StopAsyncIteration
            if not self._ready:
                self._open()
            if self._ready:
                work, place = self._ready[0]
                request = work.wanted[place]
                most_usd = self._budget.most_usd(request, self._price)
                bound = self._budget.blocked(most_usd)
                if bound is None:
                    self._ready.popleft()
                    self._budget.ask(most_usd)
                    self._n_out += 1
                    return (work, place, most_usd), request
                # What is put aside for requests in flight may turn out not to be needed.
                if bound == "max_requests" or not self._n_out:
                    self.stopped = bound
                    continue
            elif not self._n_out:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def stop(self, reason: Stop, /) -> None:
        """Ask nothing more; what is in flight may still come."""
        self.stopped = self.stopped or reason
        self._wake()

    def take(self, key: tuple[WorkT, int, float], reply: Reply) -> None:
        """A reply: written to the log before anything else happens.

        Args:
            key: Whose it is, which of its round, and what was put aside for it in dollars.
            reply: What came back.
        """
        work, place, most_usd = key
        self._n_out -= 1
        self._budget.settle(most_usd, work.wanted[place], reply)
        self.spent.add(reply)
        if reply.outage:
            self.n_outages += 1
            self.last_outage = reply.detail
        work.take(place, reply)
        if work.n_open:
            self._log.append(step_line(work.mark, work.number, place, reply))
        else:
            number = work.number
            outcome = work.advance()
            if outcome is None:
                self._log.append(step_line(work.mark, number, place, reply))
                self._queue(work)
            else:
                self.finish(work, outcome, reply)
        self._wake()
        self._on_change()

    def _open(self) -> None:
        """Start work until some of it asks something."""
        for work in self._fresh:
            outcome = work.advance()
            saved = self.saved(work)
            while outcome is None and self._replay(work, saved):
                outcome = work.advance()
            if outcome is None:
                self._queue(work)
                return
            self.finish(work, outcome, None)
            self._on_change()

    def _replay(self, work: WorkT, saved: Mapping[tuple[int, int], Reply]) -> bool:
        """Give a round the replies that the log holds; whether that was all of them."""
        for place in range(len(work.wanted)):
            reply = saved.get((work.number, place))
            if reply is not None:
                work.take(place, reply)
        return work.n_open == 0

    def _queue(self, work: WorkT) -> None:
        for place, reply in enumerate(work.replies):
            if reply is None:
                self._ready.append((work, place))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


async def answer(
    desk: WorkDesk[Any, Any], engine: Callable[[], Engine], due: bool, stop: StopSignal
) -> tuple[Ended, WorkbenchError | None]:
    """Let the engine answer until nothing is left, or something stops it.

    Args:
        desk: Asks, and takes the replies.
        engine: Opens who answers.
        due: Whether anything is to be asked: no engine is opened, and no model loaded, for nothing.
        stop: Calling it ends the run cleanly.
    """
    if not due:
        return "done", None
    try:
        opened = engine()
    except WorkbenchError as error:
        return "failed", error

    async def exchange() -> None:
        async with aclosing(opened.ask(desk)) as replies:
            async for key, reply in replies:
                desk.take(key, reply)

    return await until_stopped(desk, exchange(), stop)


async def until_stopped(
    desk: Stoppable, exchange: Coroutine[Any, Any, None], stop: StopSignal
) -> tuple[Ended, WorkbenchError | None]:
    """How the exchange with the engines ended."""
    task = asyncio.create_task(exchange)
    stop.watch(desk, task)
    try:
        await task
    except asyncio.CancelledError:
        if not stop.asked:
            raise
        return "interrupted", None
    except ServiceFailed as error:
        return "service", error
    except WorkbenchError as error:
        return "failed", error
    return desk.stopped or "done", None
