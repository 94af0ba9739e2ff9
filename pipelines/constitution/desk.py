"""Responses on their way: what is asked next, of whom, and what becomes of each reply.

As the judges' desk, with one counter for each engine: the critic's and the reviser's requests wait
in line at their own. A response is taken up at the critic's counter, when nothing waits there.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping

from pipelines.constitution.log import LogState, Mark, Saved, trajectory_line
from pipelines.constitution.loop import Call, Loop, Role
from pipelines.constitution.trajectory import Trajectory
from pipelines.models.completions import Price
from pipelines.models.engine import Reply, Request
from pipelines.stages.budget import Budget
from pipelines.stages.log import Spend, StageLog, step_line
from pipelines.stages.stop import Stop

# Responses under way; past this the critic waits for the reviser, so that memory stays bounded.
_MOST_OPEN = 2048


class Ticket:
    """One response on its way."""

    __slots__ = ("call", "loop", "mark", "n_open", "number", "replies")

    def __init__(self, mark: Mark, loop: Loop[Trajectory]):
        self.mark = mark
        self.loop = loop
        self.number = -1  # of the call
        self.call: Call | None = None
        self.replies: list[Reply | None] = []
        self.n_open = 0

    def advance(self) -> Trajectory | None:
        """Go on to the next call; the trajectory when there is none."""
        try:
            if self.number < 0:
                self.call = next(self.loop)
            else:
                self.call = self.loop.send(tuple(one for one in self.replies if one is not None))
        except StopIteration as end:
            trajectory: Trajectory = end.value
            return trajectory
        self.number += 1
        self.replies = [None] * len(self.call.requests)
        self.n_open = len(self.call.requests)
        return None

    def take(self, place: int, reply: Reply) -> None:
        """One of this call's replies."""
        self.replies[place] = reply
        self.n_open -= 1


Asked = tuple[Ticket, int, Request, float]  # whose, which of its call, and what is put aside for it


class Counter:
    """The requests for one engine: an async iterator, as engines read it."""

    def __init__(self, desk: "Desk", price: Price | None, opens: bool):
        self.price = price
        self.opens = opens  # whether new responses are taken up here
        self.ready: deque[tuple[Ticket, int, Request]] = deque()
        self.n_out = 0  # requests without a reply
        self._desk = desk
        self._waiter: asyncio.Future[None] | None = None

    def __aiter__(self) -> "Counter":
        return self

    async def __anext__(self) -> tuple[Asked, Request]:
        while True:
            found = self._desk.next_at(self)
            if found is not None:
                return found
            if self._desk.closed(self):
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def wake(self) -> None:
        """Something changed."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Desk:
    """Keeps the responses under way, and takes the replies."""

    def __init__(
        self,
        fresh: Iterator[Ticket],
        log: StageLog,
        state: LogState,
        budget: Budget,
        on_done: Callable[[Ticket, Trajectory, int], None],
        on_change: Callable[[], None],
    ):
        self.stopped: Stop | None = None
        self.spent = Spend()  # in this run
        self.n_outages = 0  # replies that a service owes us
        self.last_outage: str | None = None
        self._fresh = fresh
        self._exhausted = False
        self._n_open = 0
        self._log = log
        self._state = state
        self._budget = budget
        self._on_done = on_done
        self._on_change = on_change
        self._counters: dict[Role, Counter] = {}

    def counters(
        self, prices: Mapping[str, Price | None], roles: Mapping[Role, str]
    ) -> list[Counter]:
        """One counter for each engine, in the order of `prices`.

        Args:
            prices: By the engine's name.
            roles: The engine that plays each role; it may be the same.
        """
        made = {
            name: Counter(self, price, opens=roles["critic"] == name)
            for name, price in prices.items()
        }
        self._counters = {role: made[name] for role, name in roles.items()}
        return list(made.values())

    def next_at(self, counter: Counter) -> tuple[Asked, Request] | None:
        """The next request for an engine, if there is one now."""
        if self.stopped is not None:
            return None
        if not counter.ready and counter.opens:
            self._open(counter)
        if not counter.ready:
            return None
        ticket, place, request = counter.ready[0]
        most_usd = self._budget.most_usd(request, counter.price)
        bound = self._budget.blocked(most_usd)
        if bound is None:
            counter.ready.popleft()
            self._budget.ask(most_usd)
            counter.n_out += 1
            return (ticket, place, request, most_usd), request
        # What is put aside for requests in flight may turn out not to be needed.
        if bound == "max_requests" or not any(one.n_out for one in self._counters.values()):
            self.stop(bound)
        return None

    def closed(self, counter: Counter) -> bool:
        """Whether nothing will ever be asked at a counter again."""
        return self.stopped is not None or (self._exhausted and not self._n_open)

    def stop(self, reason: Stop, /) -> None:
        """Ask nothing more; what is in flight may still come."""
        self.stopped = self.stopped or reason
        self._wake()

    def take(self, counter: Counter, asked: Asked, reply: Reply) -> None:
        """A reply: written to the log before anything else happens."""
        ticket, place, request, most_usd = asked
        counter.n_out -= 1
        self._budget.settle(most_usd, request, reply)
        self.spent.add(reply)
        if reply.outage:
            self.n_outages += 1
            self.last_outage = reply.detail
        self._log.append(step_line(ticket.mark, ticket.number, place, reply))
        ticket.take(place, reply)
        if not ticket.n_open:
            self._go_on(ticket)
        self._wake()
        self._on_change()

    def _open(self, counter: Counter) -> None:
        """Take up responses until one of them has a request for this engine."""
        while not counter.ready and not self._exhausted and self._n_open < _MOST_OPEN:
            ticket = next(self._fresh, None)
            if ticket is None:
                self._exhausted = True
                self._wake()
                return
            self._n_open += 1
            self._go_on(ticket)

    def _go_on(self, ticket: Ticket) -> None:
        """To its next call, past all calls that the log holds the replies to."""
        attempts = self._state.steps.get(ticket.mark.key, {})
        saved: Saved = attempts.get(ticket.mark.attempt, {})
        while True:
            trajectory = ticket.advance()
            if trajectory is not None:
                offset = self._log.append(trajectory_line(ticket.mark, trajectory))
                self._state.steps.pop(ticket.mark.key, None)
                self._n_open -= 1
                self._on_done(ticket, trajectory, offset)
                return
            if ticket.call is None:
                raise ValueError("a ticket that goes on has a call")
            for place in range(len(ticket.call.requests)):
                reply = saved.get((ticket.number, place))
                if reply is not None:
                    ticket.take(place, reply)
            if ticket.n_open:
                break
        queue = self._counters[ticket.call.role].ready
        for place, request in enumerate(ticket.call.requests):
            if ticket.replies[place] is None:
                queue.append((ticket, place, request))
        self._wake()

    def _wake(self) -> None:
        for counter in self._counters.values():
            counter.wake()
