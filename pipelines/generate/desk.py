"""Candidates on their way: each prompt's are one piece of work at the desk."""

from collections.abc import Callable, Iterator

from pipelines.generate.log import Drawn, LogState, Mark, Saved, drawn_line
from pipelines.generate.records import Candidate
from pipelines.models.completions import Price
from pipelines.models.engine import Reply
from pipelines.stages.budget import Budget
from pipelines.stages.log import StageLog
from pipelines.stages.work import Work, WorkDesk

Ticket = Work[Mark, tuple[Candidate, ...]]


class Desk(WorkDesk[Ticket, tuple[Candidate, ...]]):
    """Asks for candidates, and notes them in log and state."""

    def __init__(
        self,
        fresh: Iterator[Ticket],
        log: StageLog,
        state: LogState,
        budget: Budget,
        price: Price | None,
        on_change: Callable[[], None],
    ):
        super().__init__(fresh, log, budget, price, on_change)
        self.n_drawn = 0  # prompts
        self.n_new = 0  # candidates that were not there before
        self.n_aside = 0  # samples set aside, near-identical or failed
        self.n_near_identical = 0
        self.failed: dict[str, int] = {}
        self._state = state

    def saved(self, work: Ticket) -> Saved:
        """See `WorkDesk.saved`."""
        return self._state.steps.get(work.mark.key, {})

    def finish(self, work: Ticket, outcome: tuple[Candidate, ...], last: Reply | None) -> None:
        """See `WorkDesk.finish`."""
        before = self._state.drawn.get(work.mark.key)
        drawn = Drawn.of(self._log.append(drawn_line(work.mark, outcome, last)), outcome)
        self._state.note(work.mark.key, drawn)
        self.n_drawn += 1
        self.n_new += drawn.n - (before.n if before else 0)
        self.n_aside += drawn.n_aside - (before.n_aside if before else 0)
        for name, n in drawn.failed.items():
            self.failed[name] = self.failed.get(name, 0) + n
        self.n_near_identical += sum(one.near_identical for one in outcome)
