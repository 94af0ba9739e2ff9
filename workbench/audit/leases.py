"""Handing open slots to pages, and taking them back from people who are away."""

import secrets
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import insert, or_, select, update
from sqlalchemy.orm import Session

from workbench.audit.board import Board
from workbench.audit.dealing import ItemState, claims, left_response
from workbench.audit.tokens import Holder
from workbench.db.models import Annotator, Item, Lease, ReviewToken, Skip, Slot, Vote

# A page that was silent this long is gone; another page of the same person takes over its queue.
PAGE_GONE_S = 90.0


@dataclass(frozen=True)
class OpenLease:
    """One pair in the queue of one page."""

    lease_id: str
    slot_id: int
    item_id: int
    left: str


def adopt(session: Session, holder: Holder, now: float) -> None:
    """Give this page what lies in the queues of the same person's pages that are gone."""
    alive = select(ReviewToken.hash).where(
        ReviewToken.annotator_id == holder.annotator_id,
        ReviewToken.seen_at > now - PAGE_GONE_S,
        ReviewToken.expires_at > now,
    )
    in_round = select(Slot.id).where(Slot.round_id == holder.round_id)
    session.execute(
        update(Lease)
        .where(
            Lease.annotator_id == holder.annotator_id,
            Lease.ended_at.is_(None),
            or_(Lease.holder.is_(None), Lease.holder != holder.token_hash),
            or_(Lease.holder.is_(None), Lease.holder.not_in(alive)),
            Lease.slot_id.in_(in_round),
        )
        .values(holder=holder.token_hash)
    )


def queue_of(session: Session, holder: Holder) -> list[OpenLease]:
    """What is in this page's queue, in queue order."""
    rows = session.execute(
        select(Lease.id, Lease.slot_id, Slot.item_id, Lease.left)
        .join(Slot, Slot.id == Lease.slot_id)
        .join(Item, Item.id == Slot.item_id)
        .where(
            Lease.annotator_id == holder.annotator_id,
            Lease.ended_at.is_(None),
            Lease.holder == holder.token_hash,
            Slot.round_id == holder.round_id,
        )
        .order_by(Item.rank, Item.id, Slot.number)
    )
    return [OpenLease(*row) for row in rows]


def open_leases(session: Session, round_id: int, present: Collection[int]) -> dict[int, int]:
    """Slot id -> who has it in their queue, for the people who are present."""
    rows = session.execute(
        select(Lease.slot_id, Lease.annotator_id)
        .join(Slot, Slot.id == Lease.slot_id)
        .where(Lease.annotator_id.in_(present), Lease.ended_at.is_(None), Slot.round_id == round_id)
    )
    return dict(rows.tuples().all())


def item_states(
    session: Session, item_ids: Sequence[int], present: Collection[int]
) -> dict[int, ItemState]:
    """What the database says of these items now, as the rule of dealing wants it."""
    slots: defaultdict[int, dict[int, int]] = defaultdict(dict)
    place: dict[int, tuple[int, int]] = {}
    for slot_id, item_id, number in session.execute(
        select(Slot.id, Slot.item_id, Slot.number).where(Slot.item_id.in_(item_ids))
    ):
        slots[item_id][number] = slot_id
        place[slot_id] = (item_id, number)
    filled: defaultdict[int, dict[int, int]] = defaultdict(dict)
    voted: defaultdict[int, set[int]] = defaultdict(set)
    for slot_id, item_id, who, counts in session.execute(
        select(Vote.slot_id, Vote.item_id, Vote.annotator_id, Vote.counts).where(
            Vote.item_id.in_(item_ids), Vote.undone_at.is_(None)
        )
    ):
        voted[item_id].add(who)
        if counts:
            filled[item_id][place[slot_id][1]] = who
    skipped: defaultdict[int, set[int]] = defaultdict(set)
    for item_id, who in session.execute(
        select(Skip.item_id, Skip.annotator_id).where(
            Skip.item_id.in_(item_ids), Skip.undone_at.is_(None)
        )
    ):
        skipped[item_id].add(who)
    leased: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for slot_id, who in session.execute(
        select(Lease.slot_id, Lease.annotator_id).where(
            Lease.slot_id.in_(place), Lease.ended_at.is_(None), Lease.annotator_id.in_(present)
        )
    ):
        item_id, number = place[slot_id]
        leased[item_id][number] = who
    return {
        item_id: ItemState(
            slots[item_id], filled[item_id], leased[item_id], voted[item_id], skipped[item_id]
        )
        for item_id in item_ids
    }


def top_up(
    session: Session,
    holder: Holder,
    board: Board,
    present: Collection[int],
    n_wanted: int,
    now: float,
) -> bool:
    """Hand this page up to `n_wanted` more of the slots that are its person's.

    Returns:
        Whether everything that the board proposed was right: if not, it should be read again.
    """
    leased = open_leases(session, holder.round_id, present)
    _promote(session, board, leased)
    proposed = list(islice(board.proposals(holder.annotator_id, present, leased), n_wanted))
    if not proposed:
        return True
    rows = [board.row_of[slot_id] for slot_id in proposed]
    items = [int(board.item_ids[row]) for row in rows]
    states = item_states(session, sorted(set(items)), present)
    granted = [
        (slot_id, item_id)
        for slot_id, item_id, row in zip(proposed, items, rows, strict=True)
        if slot_id not in states[item_id].leased.values()
        and claims(states[item_id], present, board.seed).get(int(board.numbers[row]))
        == holder.annotator_id
    ]
    if granted:
        _issue(session, holder, board.seed, granted, now)
    return len(granted) == len(proposed)


def _issue(
    session: Session, holder: Holder, seed: int, granted: Iterable[tuple[int, int]], now: float
) -> None:
    granted = list(granted)
    # What somebody who is away left open passes on.
    session.execute(
        update(Lease)
        .where(Lease.slot_id.in_([slot_id for slot_id, _ in granted]), Lease.ended_at.is_(None))
        .values(ended_at=now)
    )
    session.execute(
        insert(Lease),
        [
            {
                "id": secrets.token_urlsafe(12),
                "slot_id": slot_id,
                "annotator_id": holder.annotator_id,
                "holder": holder.token_hash,
                "left": left_response(seed, item_id, holder.annotator_id),
                "issued_at": now,
                "ended_at": None,
            }
            for slot_id, item_id in granted
        ],
    )


def _promote(session: Session, board: Board, leased: Collection[int]) -> None:
    """A slot that lost its counting vote, and that nobody has in their queue, takes a late one.

    Otherwise a pair whose late voter may not see it again could wait for ever.
    """
    waiting = [slot for slot in board.surplus if slot in board.row_of and slot not in leased]
    waiting = [slot for slot in waiting if board.filled_by[board.row_of[slot]] == 0]
    if not waiting:
        return
    filled = set(
        session.scalars(
            select(Vote.slot_id).where(
                Vote.slot_id.in_(waiting), Vote.counts.is_(True), Vote.undone_at.is_(None)
            )
        )
    )
    late = session.scalars(
        select(Vote)
        .join(Annotator, Annotator.id == Vote.annotator_id)
        .where(
            Vote.slot_id.in_(set(waiting) - filled),
            Vote.counts.is_(False),
            Vote.undone_at.is_(None),
        )
        .order_by(Vote.created_at, Vote.id)
    )
    for vote in late.all():
        if vote.slot_id not in filled:
            filled.add(vote.slot_id)
            vote.counts = True
            board.promoted(vote.slot_id, vote.annotator_id)
    board.surplus.difference_update(waiting)
    session.flush()
