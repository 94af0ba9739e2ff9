"""How many records of a dataset are pending and completed, without counting them at every request.

The labelling page asks after every answer, and to count a hundred thousand records takes longer
than all else in such a request. The server is one process and changes a record's status in one
place, so a count can follow the changes.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any
from uuid import UUID

from argilla_server.models import Record
from sqlalchemy import event, func, inspect, select

# Smaller datasets are counted every time; that takes two milliseconds and is never wrong.
LARGE = 5_000
# Then it is counted again: a second server on the same database changes it unseen.
BELIEVED_S = 300.0

_BEFORE = "workbench_status_before"


@event.listens_for(Record.status, "set")
def _remember_status(record: Record, _: Any, before: Any, __: Any) -> None:
    inspect(record).info.setdefault(_BEFORE, before)


class Counts:
    """The counts of one dataset, by status."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counted: tuple[float, dict[str, int]] | None = None
        self.version = 0

    @property
    def known(self) -> dict[str, int] | None:
        """The counts where they are known."""
        if self._counted is None or self._clock() - self._counted[0] > BELIEVED_S:
            return None
        return dict(self._counted[1])

    def counted(self, found: dict[str, int], version: int) -> None:
        """Keep a count, unless something changed since `version`, while it was taken."""
        if version == self.version and sum(found.values()) > LARGE:
            self._counted = self._clock(), dict(found)

    def changed(self, before: str, after: str) -> None:
        """A record went from one status to another."""
        self.version += 1
        if self._counted is not None:
            found = self._counted[1]
            found[before] = found.get(before, 0) - 1
            found[after] = found.get(after, 0) + 1

    def forget(self) -> None:
        """Records came or went."""
        self.version += 1
        self._counted = None


_of_dataset: dict[UUID, Counts] = defaultdict(Counts)


def records_changed(dataset_id: UUID) -> None:
    """Records came or went: count again."""
    _of_dataset[dataset_id].forget()


def dataset_deleted(dataset_id: UUID) -> None:
    """The dataset is gone."""
    _of_dataset.pop(dataset_id, None)


def status_saved(record: Record) -> None:
    """The server set a record's status, perhaps to what it was, and committed it."""
    before = inspect(record).info.pop(_BEFORE, None)
    if before in ("pending", "completed") and before != record.status:
        _of_dataset[record.dataset_id].changed(str(before.value), str(record.status.value))


async def of_records(session: Any, dataset_id: UUID) -> dict[str, int]:
    """The number of records by status."""
    counts = _of_dataset[dataset_id]
    found = counts.known
    if found is None:
        version = counts.version
        query = (
            select(Record.status, func.count())
            .where(Record.dataset_id == dataset_id)
            .group_by(Record.status)
        )
        found = {str(status.value): n for status, n in (await session.execute(query)).all()}
        counts.counted(found, version)
    return found
