"""Judgments on their way: each is a generator of the judge's mode, at a desk of its own kind."""

from collections.abc import Callable, Generator, Iterator

from pipelines.judge.index import LogIndex, Saved
from pipelines.judge.log import Mark, judged_line
from pipelines.models.completions import Price
from pipelines.models.engine import Reply, Request
from pipelines.records import Judgment
from pipelines.stages.budget import Budget
from pipelines.stages.log import StageLog
from pipelines.stages.work import Work, WorkDesk

Steps = Generator[tuple[Request, ...], tuple[Reply, ...], Judgment]


class Ticket(Work[Mark, Judgment]):
    """One judgment in the making."""

    __slots__ = ("column",)

    def __init__(self, mark: Mark, column: int, steps: Steps):
        super().__init__(mark, steps)
        self.column = column


class Desk(WorkDesk[Ticket, Judgment]):
    """Asks for judgments, and notes them in log and index."""

    def __init__(
        self,
        fresh: Iterator[Ticket],
        log: StageLog,
        index: LogIndex,
        budget: Budget,
        price: Price | None,
        on_change: Callable[[], None],
    ):
        super().__init__(fresh, log, budget, price, on_change)
        self.n_judged = 0
        self.n_failed = 0
        self._index = index

    def saved(self, work: Ticket) -> Saved:
        """See `WorkDesk.saved`."""
        return self._index.steps.get((work.mark.row, work.column), {})

    def finish(self, work: Ticket, outcome: Judgment, last: Reply | None) -> None:
        """See `WorkDesk.finish`."""
        failed = outcome.failure is not None
        line = judged_line(work.mark, outcome, last, work.detail if failed else None)
        offset = self._log.append(line)
        self._index.note(work.mark.row, work.column, outcome.failure, offset)
        self.n_judged += not failed
        self.n_failed += failed
