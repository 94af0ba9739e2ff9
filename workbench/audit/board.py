"""One round's slots in memory, so that dealing from a hundred thousand of them takes milliseconds.

The board is a hint, never the truth: what it proposes is checked in the database, by the rule
itself, before anybody gets it. Other programs write too: now and then its counts are compared with
the database's, and it is loaded again when they differ.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from workbench.audit.dealing import score
from workbench.db.models import Item, Skip, Slot, Vote

CHECK_S = 30.0
FIRST_CHUNK = 256

Rows = NDArray[np.int64]
Ids = NDArray[np.int64]


class Board:
    """All slots of a round in queue order: by rank, the slots of one item side by side.

    Attributes:
        slot_ids: Shape (n_slots,), in queue order; `row_of` is its inverse.
        filled_by: Shape (n_slots,), the annotator of the counting vote, 0 while open.
    """

    def __init__(self, session: Session, round_id: int, seed: int, now: float) -> None:
        self.round_id, self.seed, self.checked_at = round_id, seed, now
        rows = session.execute(
            select(Slot.id, Slot.item_id, Slot.number)
            .join(Item, Item.id == Slot.item_id)
            .where(Slot.round_id == round_id)
            .order_by(Item.rank, Item.id, Slot.number)
        ).all()
        table = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 3)
        self.slot_ids, self.item_ids, self.numbers = table.T
        self.row_of: dict[int, int] = {slot: row for row, slot in enumerate(table[:, 0].tolist())}
        # The row of the item's slot before this one; -1 for an item's first.
        same_item = np.r_[False, self.item_ids[1:] == self.item_ids[:-1]] if len(rows) else []
        self.before = np.where(same_item, np.arange(len(rows)) - 1, -1)
        self._scores: dict[int, NDArray[np.uint64]] = {}
        self.reload(session, now)

    def reload(self, session: Session, now: float) -> None:
        """Read again who filled what, who skipped what, and who voted beside the count."""
        self.checked_at = now
        self.filled_by = np.zeros(len(self.slot_ids), dtype=np.int64)
        self.live_votes: Counter[int] = Counter()
        # Per item: people who may get none of its slots although they filled none.
        self.barred: defaultdict[int, set[int]] = defaultdict(set)
        self.surplus: set[int] = set()  # slots with a live vote that does not count
        live = select(Vote.slot_id, Vote.item_id, Vote.annotator_id, Vote.counts).where(
            Vote.round_id == self.round_id, Vote.undone_at.is_(None)
        )
        for slot_id, item_id, annotator_id, counts in session.execute(live):
            self.voted(slot_id, item_id, annotator_id, counts=counts)
        skips = select(Skip.item_id, Skip.annotator_id).where(
            Skip.round_id == self.round_id, Skip.undone_at.is_(None)
        )
        self.n_skips = 0
        for item_id, annotator_id in session.execute(skips):
            self.skipped(item_id, annotator_id)

    def has_all_slots(self, session: Session) -> bool:
        """Whether the round still has as many slots as this board: an extension adds some."""
        n_slots = session.scalar(
            select(func.count()).select_from(Slot).where(Slot.round_id == self.round_id)
        )
        return n_slots == len(self.slot_ids)

    def agrees(self, session: Session, now: float) -> bool:
        """Whether the database has as many live votes, counting ones and skips as this board."""
        self.checked_at = now
        n_live, n_counting = session.execute(
            select(func.count(), func.count().filter(Vote.counts.is_(True))).where(
                Vote.round_id == self.round_id, Vote.undone_at.is_(None)
            )
        ).one()
        n_skips = session.scalar(
            select(func.count()).where(Skip.round_id == self.round_id, Skip.undone_at.is_(None))
        )
        ours = (self.live_votes.total(), self.n_filled, self.n_skips)
        return ours == (n_live, n_counting, n_skips)

    # What the server itself writes, it also tells the board.

    def voted(self, slot_id: int, item_id: int, annotator_id: int, *, counts: bool) -> None:
        """A live vote was stored."""
        self.live_votes[annotator_id] += 1
        row = self.row_of.get(slot_id)
        if counts and row is not None:
            self.filled_by[row] = annotator_id
        else:
            self.surplus.add(slot_id)
            self.barred[item_id].add(annotator_id)

    def promoted(self, slot_id: int, annotator_id: int) -> None:
        """A vote that did not count now does."""
        self.filled_by[self.row_of[slot_id]] = annotator_id

    def vote_undone(self, slot_id: int, item_id: int, annotator_id: int, *, counts: bool) -> None:
        """A live vote was taken back."""
        self.live_votes[annotator_id] -= 1
        if counts and slot_id in self.row_of:
            self.filled_by[self.row_of[slot_id]] = 0
        self.barred[item_id].discard(annotator_id)

    def skipped(self, item_id: int, annotator_id: int) -> None:
        """A skip was stored."""
        self.n_skips += 1
        self.barred[item_id].add(annotator_id)

    def skip_undone(self, item_id: int, annotator_id: int) -> None:
        """A skip was taken back."""
        self.n_skips -= 1
        self.barred[item_id].discard(annotator_id)

    @property
    def n_filled(self) -> int:
        """How many slots have their counting vote."""
        return int(np.count_nonzero(self.filled_by))

    def proposals(
        self, annotator_id: int, present: Collection[int], leased: Mapping[int, int]
    ) -> Iterator[int]:
        """Slots that are this person's and in nobody's queue, in queue order, found lazily.

        Args:
            annotator_id: Who asks; one of `present`.
            present: Everyone seated, not away and not revoked.
            leased: Slot id -> the present person in whose queue it is.
        """
        people = np.array(sorted(present), dtype=np.int64)
        # Per slot: who filled it, has it in their queue or, once looked at, whose it is.
        claim = self.filled_by.copy()
        for slot_id, holder in leased.items():
            row = self.row_of.get(slot_id)
            if row is not None and claim[row] == 0:
                claim[row] = holder
        undecided = np.flatnonzero(claim == 0)
        start, size = 0, FIRST_CHUNK
        while start < len(undecided):
            rows = undecided[start : start + size]
            self._decide(rows, people, claim)
            for row in rows[claim[rows] == annotator_id].tolist():
                yield int(self.slot_ids[row])
            start, size = start + size, size * 2

    def _decide(self, rows: Rows, people: Ids, claim: Ids) -> None:
        """Write into `claim` whose each of these undecided rows is; first slots before second."""
        for number in np.unique(self.numbers[rows]).tolist():
            chosen = rows[self.numbers[rows] == number]
            scores = np.stack([self._scores_of(who, chosen) for who in people.tolist()])
            for column, row in enumerate(chosen.tolist()):
                for who in self.barred.get(int(self.item_ids[row]), ()):
                    scores[people == who, column] = 0
            for sibling in (self._previous(chosen), self._next(chosen)):
                has_one = sibling >= 0
                holder = np.where(has_one, claim[sibling], 0)
                scores[holder[None, :] == people[:, None]] = 0
            best = scores.argmax(axis=0)
            found = scores[best, np.arange(len(chosen))] > 0
            claim[chosen] = np.where(found, people[best], 0)

    def _previous(self, rows: Rows) -> Rows:
        return self.before[rows]

    def _next(self, rows: Rows) -> Rows:
        following = np.minimum(rows + 1, len(self.slot_ids) - 1)
        return np.where(self.before[following] == rows, following, -1)

    def _scores_of(self, annotator_id: int, rows: Rows) -> NDArray[np.uint64]:
        """This person's scores at these rows, shape (n_rows,); each is hashed once."""
        known = self._scores.get(annotator_id)
        if known is None:
            known = self._scores[annotator_id] = np.zeros(len(self.slot_ids), dtype=np.uint64)
        missing = rows[known[rows] == 0]
        if len(missing):
            slots = self.slot_ids[missing].tolist()
            known[missing] = [score(self.seed, slot_id, annotator_id) for slot_id in slots]
        return known[rows]


class Desk:
    """What one server process remembers between requests: a board per round."""

    def __init__(self) -> None:
        self._boards: dict[int, Board] = {}

    def board(
        self, session: Session, round_id: int, seed: int, now: float, max_age_s: float = CHECK_S
    ) -> Board:
        """The round's board; one that was not compared with the database so long is, first."""
        board = self._boards.get(round_id)
        if board is None:
            return self.refresh(session, round_id, seed, now)
        if abs(now - board.checked_at) <= max_age_s:
            return board
        if board.has_all_slots(session) and board.agrees(session, now):
            return board
        return self.refresh(session, round_id, seed, now)

    def refresh(self, session: Session, round_id: int, seed: int, now: float) -> Board:
        """The round's board as the database has it now."""
        board = self._boards.get(round_id)
        if board is None or not board.has_all_slots(session):
            board = self._boards[round_id] = Board(session, round_id, seed, now)
        else:
            board.reload(session, now)
        return board

    def forget(self) -> None:
        """Drop everything: after a transaction that failed, memory may be ahead of the database."""
        self._boards.clear()
