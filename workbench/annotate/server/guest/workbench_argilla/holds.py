"""Who has which records on the screen or prefetched: so that no record gets surplus answers.

Argilla deals every pending record to everybody until it is complete. Here a record that still
needs k answers is dealt to at most k people at a time. A hold ends with the answer, or when its
holder was not heard of for a while. Holds live in the server's memory: after a restart a few
records may be dealt twice, and their surplus answers are kept like all others.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from uuid import UUID

# Without a sign of life for this long, a person's records go to others.
PATIENCE_S = 15 * 60.0
# A page of Argilla's bulk view; somebody who fetches more holds the newest.
MOST_HELD = 100


class Holds:
    """The holds of one dataset."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.lock = asyncio.Lock()
        self._clock = clock
        self._seen: dict[UUID, float] = {}
        self._held: dict[UUID, dict[UUID, None]] = defaultdict(dict)

    def by_others(self, user_id: UUID) -> dict[UUID, int]:
        """How many other people hold each record that anybody else holds."""
        late = self._clock() - PATIENCE_S
        for user in [user for user, seen in self._seen.items() if seen < late]:
            del self._seen[user]
            self._held.pop(user, None)
        counts: dict[UUID, int] = defaultdict(int)
        for user, records in self._held.items():
            if user != user_id:
                for record in records:
                    counts[record] += 1
        return dict(counts)

    def hold(self, user_id: UUID, records: Iterable[UUID]) -> None:
        """This person has these records now, beside those they had."""
        self.heard_of(user_id)
        mine = self._held[user_id]
        for record in records:
            mine.pop(record, None)
            mine[record] = None
        for record in list(mine)[:-MOST_HELD]:
            del mine[record]

    def heard_of(self, user_id: UUID) -> None:
        """A sign of life: all that this person holds stays theirs."""
        self._seen[user_id] = self._clock()

    def answered(self, user_id: UUID, record_id: UUID) -> None:
        """The record is no longer in this person's hands."""
        self.heard_of(user_id)
        self._held[user_id].pop(record_id, None)


_of_dataset: dict[UUID, Holds] = defaultdict(Holds)


def of(dataset_id: UUID) -> Holds:
    """The holds of a dataset in this process; a server has one."""
    return _of_dataset[dataset_id]


def forget(dataset_id: UUID) -> None:
    """The dataset is gone."""
    _of_dataset.pop(dataset_id, None)
