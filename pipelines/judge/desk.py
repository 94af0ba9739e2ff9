"""Judgments on their way: what is asked next, and what becomes of each reply.

The desk is the source of requests that an engine reads, and takes the engine's replies. Each
judgment is a generator of the judge's mode; its replies so far are in the log, so one that was cut
off goes on where it stopped.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Literal

from pipelines.judge.budget import Bound, Budget
from pipelines.judge.index import LogIndex, Saved
from pipelines.judge.log import JudgmentLog, Mark, Spend, judged_line, step_line
from pipelines.models.completions import Price
from pipelines.models.engine import Reply, Request
from pipelines.records import Judgment

Steps = Generator[tuple[Request, ...], tuple[Reply, ...], Judgment]
Stop = Literal["interrupted"] | Bound


class Ticket:
    """One judgment in the making."""

    __slots__ = ("column", "detail", "mark", "n_open", "number", "replies", "steps", "wanted")

    def __init__(self, mark: Mark, column: int, steps: Steps):
        self.mark = mark
        self.column = column
        self.steps = steps
        self.number = -1  # of the round of requests
        self.wanted: tuple[Request, ...] = ()
        self.replies: list[Reply | None] = []
        self.n_open = 0
        self.detail: str | None = None  # why the latest failed reply failed

    def advance(self) -> Judgment | None:
        """Go on to the next round of requests; the judgment when there is none."""
        try:
            if self.number < 0:
                self.wanted = next(self.steps)
            else:
                replies = tuple(reply for reply in self.replies if reply is not None)
                self.wanted = self.steps.send(replies)
        except StopIteration as end:
            judgment: Judgment = end.value
            return judgment
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


Key = tuple[Ticket, int, float]  # whose, which of its round, what is put aside for it


class Desk:
    """An async iterator of requests, and the one who takes the replies."""

    def __init__(
        self,
        fresh: Iterator[Ticket],
        log: JudgmentLog,
        index: LogIndex,
        budget: Budget,
        price: Price | None,
        on_change: Callable[[], None],
    ):
        self.stopped: Stop | None = None
        self.spent = Spend()  # in this run
        self.n_judged = 0
        self.n_failed = 0
        self.n_outages = 0  # replies that the service owes us
        self.last_outage: str | None = None
        self._fresh = fresh
        self._log = log
        self._index = index
        self._budget = budget
        self._price = price
        self._on_change = on_change
        self._ready: deque[tuple[Ticket, int]] = deque()
        self._n_out = 0  # requests without a reply
        self._waiter: asyncio.Future[None] | None = None

    def __aiter__(self) -> "Desk":
        return self

    async def __anext__(self) -> tuple[Key, Request]:
        while True:
            if self.stopped is not None:
                raise StopAsyncIteration
            if not self._ready:
                self._open()
            if self._ready:
                ticket, place = self._ready[0]
                request = ticket.wanted[place]
                most_usd = self._budget.most_usd(request, self._price)
                bound = self._budget.blocked(most_usd)
                if bound is None:
                    self._ready.popleft()
                    self._budget.ask(most_usd)
                    self._n_out += 1
                    return (ticket, place, most_usd), request
                # What is put aside for requests in flight may turn out not to be needed.
                if bound == "max_requests" or not self._n_out:
                    self.stopped = bound
                    continue
            elif not self._n_out:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def stop(self, reason: Stop) -> None:
        """Ask nothing more; what is in flight may still come."""
        self.stopped = self.stopped or reason
        self._wake()

    def take(self, key: Key, reply: Reply) -> None:
        """A reply: written to the log before anything else happens."""
        ticket, place, most_usd = key
        self._n_out -= 1
        self._budget.settle(most_usd, ticket.wanted[place], reply)
        self.spent.add(reply)
        if reply.outage:
            self.n_outages += 1
            self.last_outage = reply.detail
        ticket.take(place, reply)
        if ticket.n_open:
            self._log.append(step_line(ticket.mark, ticket.number, place, reply))
        else:
            number = ticket.number
            judgment = ticket.advance()
            if judgment is None:
                self._log.append(step_line(ticket.mark, number, place, reply))
                self._queue(ticket)
            else:
                self._finish(ticket, judgment, reply)
        self._wake()
        self._on_change()

    def _open(self) -> None:
        """Start judgments until one of them asks something."""
        for ticket in self._fresh:
            judgment = ticket.advance()
            saved = self._index.steps.get((ticket.mark.row, ticket.column), {})
            while judgment is None and self._replay(ticket, saved):
                judgment = ticket.advance()
            if judgment is None:
                self._queue(ticket)
                return
            self._finish(ticket, judgment, None)
            self._on_change()

    def _replay(self, ticket: Ticket, saved: Saved) -> bool:
        """Give a round the replies that the log holds; whether that was all of them."""
        for place in range(len(ticket.wanted)):
            reply = saved.get((ticket.number, place))
            if reply is not None:
                ticket.take(place, reply)
        return ticket.n_open == 0

    def _queue(self, ticket: Ticket) -> None:
        for place, reply in enumerate(ticket.replies):
            if reply is None:
                self._ready.append((ticket, place))

    def _finish(self, ticket: Ticket, judgment: Judgment, last: Reply | None) -> None:
        failed = judgment.failure is not None
        line = judged_line(ticket.mark, judgment, last, ticket.detail if failed else None)
        offset = self._log.append(line)
        self._index.note(ticket.mark.row, ticket.column, judgment.failure, offset)
        self.n_judged += not failed
        self.n_failed += failed

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
