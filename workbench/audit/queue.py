"""The queue of a round as its pages see it: one call that stores, deals and reports.

`sync` is the whole protocol of the review page. It runs inside the caller's transaction; commit
before its answer leaves, and nothing that was acknowledged can be lost.
"""

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from workbench.audit.board import Desk
from workbench.audit.dealing import prefetch_size
from workbench.audit.leases import OpenLease, queue_of, top_up
from workbench.audit.progress import Progress, open_rounds, progress
from workbench.audit.protocol import SyncRequest, read_ops
from workbench.audit.shown import PastOp, ShownItem, history, shown_items
from workbench.audit.tokens import (
    Holder,
    TokenRefused,
    find_holder,
    join,
    mint_token,
    note_action,
    note_seen,
    present_people,
)
from workbench.audit.votes import Ledger
from workbench.db.models import Round, Vote

__all__ = [
    "Desk",
    "Progress",
    "Reply",
    "SyncRequest",
    "TokenRefused",
    "join",
    "mint_token",
    "open_rounds",
    "progress",
    "sync",
]

RECENT = 8
# Somebody with nothing to do has the board checked sooner: an extension may have added slots.
STARVING_CHECK_S = 5.0


# Built once: putting a statement together costs more than running it.
_ROUND = (
    select(Round.design, Round.closed_at)
    .where(Round.id == bindparam("round"))
    .with_for_update(key_share=True)
)
_PACE = (
    select(Vote.seconds)
    .where(Vote.round_id == bindparam("round"), Vote.annotator_id == bindparam("person"))
    .order_by(Vote.created_at.desc())
    .limit(RECENT)
)


@dataclass(frozen=True)
class Reply:
    """What a page is told. `drop` names pairs of its queue that are no longer its own."""

    round_id: int
    acks: list[tuple[str, str]]
    items: list[ShownItem]
    drop: list[str]
    mine: int
    everyone: int
    asked: int
    closed: bool
    want: int
    history: list[PastOp] | None = None


def sync(session: Session, request: SyncRequest, desk: Desk, now: float | None = None) -> Reply:
    """Store what a page sends, and give it what it should hold.

    Raises:
        TokenRefused: The page's token is not, or no longer, good.
    """
    holder = find_holder(session, request.token, time.time() if now is None else now)
    design, closed_at = _locked(session, holder.round_id)
    # Under the lock: a vote that had to wait is not dated before what was committed meanwhile.
    now = time.time() if now is None else now
    seed, away_s = int(design["seed"]), 60.0 * float(design["lease_minutes"])
    board = desk.board(session, holder.round_id, seed, now)

    ops, refused = read_ops(request.ops)
    ledger = Ledger(session, holder, now, board)
    acks = [(op.id, ledger.store(op)) for op in ops] + refused

    note_seen(session, holder, now, leaving=request.want == 0)
    if ops or request.active:
        note_action(session, holder, now)
    present = present_people(session, holder.round_id, now - away_s)
    want = _want(session, holder)
    mine: list[OpenLease] = []
    if closed_at is None:
        mine = queue_of(session, holder, now, adopting=request.want > 0)
    # Topping up in small batches walks the board less often.
    if (
        request.want > 0
        and closed_at is None
        and holder.annotator_id in present
        and len(mine) <= want - max(1, want // 4)
    ):
        right = top_up(session, holder, board, present, want - len(mine), now)
        mine = queue_of(session, holder, now)
        known = board
        if not right:
            board = desk.refresh(session, holder.round_id, seed, now)
        elif not mine:
            board = desk.board(session, holder.round_id, seed, now, STARVING_CHECK_S)
        if not right or board is not known:
            top_up(session, holder, board, present, want - len(mine), now)
            mine = queue_of(session, holder, now)
    owned = {lease.lease_id for lease in mine}
    held = set(request.have)
    new = [(lease.lease_id, lease.item_id, lease.left) for lease in mine]
    new = [lease for lease in new if lease[0] not in held] if request.want > 0 else []
    return Reply(
        round_id=holder.round_id,
        acks=acks,
        items=shown_items(session, new),
        drop=[lease_id for lease_id in request.have if lease_id not in owned],
        mine=board.live_votes[holder.annotator_id],
        everyone=board.n_filled,
        asked=len(board.slot_ids),
        closed=closed_at is not None,
        want=want,
        history=history(session, holder) if request.history else None,
    )


def _locked(session: Session, round_id: int) -> tuple[dict[str, Any], float | None]:
    """The round's design and state, its row locked: pages of a round are served one at a time.

    SQLite takes its write lock with the transaction and knows no row locks. The weaker lock of
    PostgreSQL lets other programs insert rows that point at the round.
    """
    row = session.execute(_ROUND, {"round": round_id}).one()
    return row.design, row.closed_at


def _want(session: Session, holder: Holder) -> int:
    recent = session.scalars(_PACE, {"round": holder.round_id, "person": holder.annotator_id})
    return prefetch_size([seconds for seconds in recent if seconds is not None])
