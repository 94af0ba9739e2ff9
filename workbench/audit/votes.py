"""Storing what people did: each operation once, however often it arrives, and nothing lost.

Operations reach the server late, twice, and in any order: a page keeps each until it is
acknowledged. So every one is known by the id that the page made for it.
"""

from dataclasses import dataclass

from sqlalchemy import bindparam, exists, or_, select, update
from sqlalchemy.orm import Session

from workbench.audit.board import Board
from workbench.audit.protocol import AmendOp, Op, SkipOp, UndoOp, VoteOp
from workbench.audit.tokens import Holder
from workbench.db.models import Amendment, Lease, Round, Skip, Slot, Undo, Vote

STORED, AGAIN, DUPLICATE, SURPLUS = "stored", "again", "duplicate", "surplus"


@dataclass(frozen=True)
class _Leased:
    """The lease that an operation names, and what it stands for."""

    lease_id: str
    left: str
    slot_id: int
    item_id: int
    round_id: int
    closed: bool


@dataclass(frozen=True)
class _State:
    """What stands already when an operation arrives."""

    undone: bool  # an undo of it came first
    voted: bool  # by this person, on this item
    skipped: bool  # likewise
    filled: bool  # the slot has its counting vote


# Built once: putting a statement together costs more than running it.
_LEASED = (
    select(Lease.left, Slot.id, Slot.item_id, Slot.round_id, Round.closed_at)
    .join(Slot, Slot.id == Lease.slot_id)
    .join(Round, Round.id == Slot.round_id)
    .where(Lease.id == bindparam("lease"), Lease.annotator_id == bindparam("person"))
)
_STATE = select(
    exists().where(Undo.target_id == bindparam("op"), Undo.annotator_id == bindparam("person")),
    exists().where(
        Vote.annotator_id == bindparam("person"),
        Vote.item_id == bindparam("item"),
        Vote.undone_at.is_(None),
    ),
    exists().where(
        Skip.annotator_id == bindparam("person"),
        Skip.item_id == bindparam("item"),
        Skip.undone_at.is_(None),
    ),
    exists().where(
        Vote.slot_id == bindparam("slot"), Vote.counts.is_(True), Vote.undone_at.is_(None)
    ),
)
_END_LEASES = (
    update(Lease)
    .where(
        Lease.slot_id.in_(select(Slot.id).where(Slot.item_id == bindparam("item"))),
        Lease.ended_at.is_(None),
        or_(Lease.annotator_id == bindparam("person"), Lease.slot_id == bindparam("slot")),
    )
    .values(ended_at=bindparam("now"))
    .execution_options(synchronize_session=False)
)
_NEWEST_AMENDMENT = (
    select(Amendment)
    .where(Amendment.vote_id == bindparam("vote"), Amendment.annotator_id == bindparam("person"))
    .order_by(Amendment.seq.desc(), Amendment.id)
    .limit(1)
)


def unswap(label: str, left: str) -> str:
    """A verdict on left and right as one on the responses: "A", "B" or "tie"."""
    if label in ("tie", "both_bad"):
        return "tie"
    right = "B" if left == "A" else "A"
    return left if label == "left" else right


def as_shown(vote: Vote) -> str:
    """The inverse of `unswap`: what the person pressed."""
    if vote.label == "tie":
        return "both_bad" if vote.both_bad else "tie"
    return "left" if vote.label == vote.left else "right"


def _unix(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


class Ledger:
    """Stores the operations of one person within one transaction."""

    def __init__(self, session: Session, holder: Holder, now: float, board: Board) -> None:
        self.session, self.now, self.board = session, now, board
        self.page, self.annotator_id = holder.token_hash, holder.annotator_id

    def store(self, op: Op) -> str:
        """Store one operation; what to tell the page of it."""
        match op:
            case VoteOp():
                return self._vote(op)
            case SkipOp():
                return self._skip(op)
            case UndoOp():
                return self._undo(op)
            case AmendOp():
                return self._amend(op)

    def _vote(self, op: VoteOp) -> str:
        known = self.session.get(Vote, op.id)
        if known is not None:
            return AGAIN if known.annotator_id == self.annotator_id else "rejected:id"
        leased = self._leased(op.lease)
        if leased is None:
            return "rejected:lease"
        state = self._state(leased, op.id)
        # A second verdict on the same pair (two tabs): the first stands, this one is kept aside.
        duplicate = state.voted and not state.undone
        counts = not (state.undone or duplicate or leased.closed or state.filled)
        vote = Vote(
            id=op.id,
            round_id=leased.round_id,
            item_id=leased.item_id,
            slot_id=leased.slot_id,
            annotator_id=self.annotator_id,
            lease_id=leased.lease_id,
            label=unswap(op.label, leased.left),
            both_bad=op.label == "both_bad",
            counts=counts,
            left=leased.left,
            seconds=op.seconds,
            comment=op.comment,
            details=op.details.model_dump(mode="json"),
            origin="workbench",
            client_at=_unix(op.client_at),
            created_at=self.now,
            undone_at=self.now if state.undone or duplicate else None,
        )
        self.session.add(vote)
        self.session.flush()
        self._apply_amendments(op.id)
        if duplicate:
            return DUPLICATE
        if state.undone:
            return STORED
        if state.skipped:
            self._retract_skip(leased)
        self._end_leases(leased, everybody=counts)
        if self.board.round_id == leased.round_id:
            self.board.voted(leased.slot_id, leased.item_id, self.annotator_id, counts=counts)
        return STORED if counts else SURPLUS

    def _skip(self, op: SkipOp) -> str:
        known = self.session.get(Skip, op.id)
        if known is not None:
            return AGAIN if known.annotator_id == self.annotator_id else "rejected:id"
        leased = self._leased(op.lease)
        if leased is None:
            return "rejected:lease"
        if leased.closed:
            return "rejected:closed"
        state = self._state(leased, op.id)
        duplicate = (state.voted or state.skipped) and not state.undone
        self.session.add(
            Skip(
                id=op.id,
                round_id=leased.round_id,
                item_id=leased.item_id,
                slot_id=leased.slot_id,
                annotator_id=self.annotator_id,
                lease_id=leased.lease_id,
                reason=op.reason,
                client_at=_unix(op.client_at),
                created_at=self.now,
                undone_at=self.now if state.undone or duplicate else None,
            )
        )
        self.session.flush()
        if duplicate:
            return DUPLICATE
        if not state.undone:
            self._end_leases(leased, everybody=False)
            if self.board.round_id == leased.round_id:
                self.board.skipped(leased.item_id, self.annotator_id)
        return STORED

    def _undo(self, op: UndoOp) -> str:
        known = self.session.get(Undo, op.id)
        if known is not None:
            return AGAIN if known.annotator_id == self.annotator_id else "rejected:id"
        earlier = self.session.scalar(select(Undo).where(Undo.target_id == op.target))
        if earlier is not None:
            return DUPLICATE if earlier.annotator_id == self.annotator_id else "rejected:target"
        target: Vote | Skip | None = self.session.get(Vote, op.target)
        target = target or self.session.get(Skip, op.target)
        if target is not None:
            if target.annotator_id != self.annotator_id:
                return "rejected:target"
            if self._is_closed(target.round_id):
                return "rejected:closed"
        # An undo that overtakes its vote waits here for it.
        self.session.add(
            Undo(
                id=op.id,
                target_id=op.target,
                annotator_id=self.annotator_id,
                created_at=self.now,
            )
        )
        if target is not None and target.undone_at is None:
            target.undone_at = self.now
            self.session.flush()
            self._reopen_lease(target)
            if self.board.round_id == target.round_id:
                self._tell_board(target)
        self.session.flush()
        return STORED

    def _amend(self, op: AmendOp) -> str:
        known = self.session.get(Amendment, op.id)
        if known is not None:
            return AGAIN if known.annotator_id == self.annotator_id else "rejected:id"
        vote = self.session.get(Vote, op.target)
        if vote is not None and vote.annotator_id != self.annotator_id:
            return "rejected:target"
        self.session.add(
            Amendment(
                id=op.id,
                vote_id=op.target,
                annotator_id=self.annotator_id,
                seq=op.seq,
                comment=op.comment,
                details=op.details.model_dump(mode="json"),
                created_at=self.now,
            )
        )
        self.session.flush()
        self._apply_amendments(op.target)
        return STORED

    def _apply_amendments(self, vote_id: str) -> None:
        """What was last said of a vote stands with it; all that was said before is kept."""
        newest = self.session.scalar(
            _NEWEST_AMENDMENT, {"vote": vote_id, "person": self.annotator_id}
        )
        if newest is None:
            return
        vote = self.session.get(Vote, vote_id)
        if vote is None:
            return
        if self.session.get(Amendment, vote_id) is None:  # what came with the vote: version one
            self.session.add(
                Amendment(
                    id=vote_id,
                    vote_id=vote_id,
                    annotator_id=self.annotator_id,
                    seq=-1.0,
                    comment=vote.comment,
                    details=vote.details,
                    created_at=vote.created_at,
                )
            )
        vote.comment, vote.details = newest.comment, newest.details
        self.session.flush()

    def _leased(self, lease_id: str) -> _Leased | None:
        row = self.session.execute(
            _LEASED, {"lease": lease_id, "person": self.annotator_id}
        ).one_or_none()
        if row is None:
            return None
        left, slot_id, item_id, round_id, closed_at = row
        return _Leased(lease_id, left, slot_id, item_id, round_id, closed_at is not None)

    def _state(self, leased: _Leased, op_id: str) -> _State:
        """What stands already about the pair of this operation, in one question."""
        row = self.session.execute(
            _STATE,
            {
                "op": op_id,
                "person": self.annotator_id,
                "item": leased.item_id,
                "slot": leased.slot_id,
            },
        ).one()
        return _State(*row)

    def _is_closed(self, round_id: int) -> bool:
        return self.session.scalar(select(Round.closed_at).where(Round.id == round_id)) is not None

    def _retract_skip(self, leased: _Leased) -> None:
        """A verdict after all (from another tab): the person's skip of the pair no longer holds."""
        self.session.execute(
            update(Skip)
            .where(
                Skip.annotator_id == self.annotator_id,
                Skip.item_id == leased.item_id,
                Skip.undone_at.is_(None),
            )
            .values(undone_at=self.now)
        )
        if self.board.round_id == leased.round_id:
            self.board.skip_undone(leased.item_id, self.annotator_id)

    def _end_leases(self, leased: _Leased, *, everybody: bool) -> None:
        """The pair leaves this person's queues and, once its slot is filled, everybody's."""
        self.session.execute(
            _END_LEASES,
            {
                "now": self.now,
                "person": self.annotator_id,
                "item": leased.item_id,
                "slot": leased.slot_id if everybody else -1,
            },
        )

    def _reopen_lease(self, target: Vote | Skip) -> None:
        """The pair returns to the person's queue, unless its slot went to somebody meanwhile."""
        if target.lease_id is None:
            return
        gone = select(
            exists().where(Lease.slot_id == target.slot_id, Lease.ended_at.is_(None))
            | exists().where(
                Vote.slot_id == target.slot_id, Vote.counts.is_(True), Vote.undone_at.is_(None)
            )
        )
        if not self.session.scalar(gone):
            self.session.execute(
                update(Lease)
                .where(Lease.id == target.lease_id)
                .values(ended_at=None, holder=self.page)
            )

    def _tell_board(self, target: Vote | Skip) -> None:
        if isinstance(target, Skip):
            self.board.skip_undone(target.item_id, self.annotator_id)
        else:
            self.board.vote_undone(
                target.slot_id, target.item_id, self.annotator_id, counts=target.counts
            )
