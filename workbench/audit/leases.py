"""Handing open slots to pages, and taking them back from people who are away."""

import secrets
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session

from workbench.audit.argilla_votes import ASSISTED
from workbench.audit.board import Board
from workbench.audit.dealing import ItemState, claims, left_response
from workbench.audit.tokens import Holder
from workbench.db.models import Annotator, Item, Lease, ReviewToken, Skip, Slot, Vote

# A page that was silent this long is gone; another page of the same person takes over its queue.
PAGE_GONE_S = 90.0


@dataclass(frozen=True)
class OpenLease:
    """One pair in the queue of one page; `holder` is that page's token, hashed."""

    lease_id: str
    slot_id: int
    item_id: int
    left: str
    holder: str | None


# Built once: putting a statement together costs more than running it.
_MINE = (
    select(Lease.id, Lease.slot_id, Slot.item_id, Lease.left, Lease.holder)
    .join(Slot, Slot.id == Lease.slot_id)
    .join(Item, Item.id == Slot.item_id)
    .where(
        Lease.annotator_id == bindparam("person"),
        Lease.ended_at.is_(None),
        Slot.round_id == bindparam("round"),
    )
    .order_by(Item.rank, Item.id, Slot.number)
)
_OPEN = (
    select(Lease.slot_id, Lease.annotator_id)
    .join(Slot, Slot.id == Lease.slot_id)
    .where(
        Lease.annotator_id.in_(bindparam("present", expanding=True)),
        Lease.ended_at.is_(None),
        Slot.round_id == bindparam("round"),
    )
)
_SLOTS = select(Slot.id, Slot.item_id, Slot.number).where(
    Slot.item_id.in_(bindparam("items", expanding=True))
)
_VOTES = select(Vote.slot_id, Vote.item_id, Vote.annotator_id, Vote.counts).where(
    Vote.item_id.in_(bindparam("items", expanding=True)), Vote.undone_at.is_(None)
)
_SKIPS = select(Skip.item_id, Skip.annotator_id).where(
    Skip.item_id.in_(bindparam("items", expanding=True)), Skip.undone_at.is_(None)
)
_LEASES = select(Lease.slot_id, Lease.annotator_id).where(
    Lease.slot_id.in_(bindparam("slots", expanding=True)), Lease.ended_at.is_(None)
)


def queue_of(
    session: Session, holder: Holder, now: float, *, adopting: bool = False
) -> list[OpenLease]:
    """What is in this page's queue, in queue order.

    Args:
        session: The database.
        holder: The page.
        now: Unix seconds.
        adopting: Take over first what lies in the queues of the person's pages that are gone.
    """
    rows = session.execute(_MINE, {"person": holder.annotator_id, "round": holder.round_id})
    leases = [OpenLease(*row) for row in rows]
    mine = [lease for lease in leases if lease.holder == holder.token_hash]
    if adopting and len(mine) < len(leases):
        alive = set(
            session.scalars(
                select(ReviewToken.hash).where(
                    ReviewToken.annotator_id == holder.annotator_id,
                    ReviewToken.seen_at > now - PAGE_GONE_S,
                    ReviewToken.expires_at > now,
                )
            )
        ) - {holder.token_hash}
        orphans = [lease.lease_id for lease in leases if lease.holder not in alive]
        session.execute(update(Lease).where(Lease.id.in_(orphans)).values(holder=holder.token_hash))
        mine = [lease for lease in leases if lease.holder not in alive]
    return mine


def item_states(
    session: Session, item_ids: Sequence[int], present: Collection[int]
) -> tuple[dict[int, ItemState], set[int]]:
    """What the database says of these items now, as the rule of dealing wants it.

    Returns:
        The states by item, and the slots that are in the queue of somebody who is away.
    """
    items = {"items": list(item_ids)}
    slots: defaultdict[int, dict[int, int]] = defaultdict(dict)
    place: dict[int, tuple[int, int]] = {}
    for slot_id, item_id, number in session.execute(_SLOTS, items):
        slots[item_id][number] = slot_id
        place[slot_id] = (item_id, number)
    filled: defaultdict[int, dict[int, int]] = defaultdict(dict)
    voted: defaultdict[int, set[int]] = defaultdict(set)
    for slot_id, item_id, who, counts in session.execute(_VOTES, items):
        voted[item_id].add(who)
        if counts:
            filled[item_id][place[slot_id][1]] = who
    skipped: defaultdict[int, set[int]] = defaultdict(set)
    for item_id, who in session.execute(_SKIPS, items):
        skipped[item_id].add(who)
    leased: defaultdict[int, dict[int, int]] = defaultdict(dict)
    abandoned: set[int] = set()
    for slot_id, who in session.execute(_LEASES, {"slots": list(place)}):
        item_id, number = place[slot_id]
        if who in present:
            leased[item_id][number] = who
        else:
            abandoned.add(slot_id)
    states = {
        item_id: ItemState(
            slots[item_id], filled[item_id], leased[item_id], voted[item_id], skipped[item_id]
        )
        for item_id in item_ids
    }
    return states, abandoned


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
    open_now = session.execute(_OPEN, {"present": list(present), "round": holder.round_id})
    leased = dict(open_now.all())
    _promote(session, board, leased, now)
    proposed = list(islice(board.proposals(holder.annotator_id, present, leased), n_wanted))
    if not proposed:
        return True
    rows = [board.row_of[slot_id] for slot_id in proposed]
    items = [int(board.item_ids[row]) for row in rows]
    states, abandoned = item_states(session, sorted(set(items)), present)
    granted = [
        (slot_id, item_id)
        for slot_id, item_id, row in zip(proposed, items, rows, strict=True)
        if int(board.numbers[row]) not in states[item_id].leased
        and claims(states[item_id], present, board.seed).get(int(board.numbers[row]))
        == holder.annotator_id
    ]
    passing_on = abandoned.intersection(slot_id for slot_id, _ in granted)
    if passing_on:
        session.execute(
            update(Lease)
            .where(Lease.slot_id.in_(passing_on), Lease.ended_at.is_(None))
            .values(ended_at=now)
        )
    if granted:
        _issue(session, holder, board.seed, granted, now)
    return len(granted) == len(proposed)


def _issue(
    session: Session, holder: Holder, seed: int, granted: Sequence[tuple[int, int]], now: float
) -> None:
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


def _promote(session: Session, board: Board, leased: Collection[int], now: float) -> None:
    """A slot that lost its counting vote, and that nobody has in their queue, takes a late one.

    Otherwise a pair whose late voter may not see it again could wait for ever. The vote is dated
    anew, so that the round as it was before can still be read; `client_at` keeps its own time.
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
            Vote.origin != ASSISTED,
        )
        .order_by(Vote.created_at, Vote.id)
    )
    for vote in late.all():
        if vote.slot_id not in filled:
            filled.add(vote.slot_id)
            vote.counts, vote.created_at = True, now
            board.promoted(vote.slot_id, vote.annotator_id)
    board.surplus.difference_update(waiting)
    session.flush()
