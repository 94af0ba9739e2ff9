"""The labels that a certificate reads: first-slot votes in draw order, the longest answered prefix.

Completion order would let whoever labels fast decide, so an item that is still open ends the
prefix, however many later ones are answered. An item that nobody will answer does not: it is read
as unanswered, the worst case of every test.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from pipelines.agreement.annotations import LABEL_NAMES, NONE
from pipelines.agreement.decision import outcomes
from workbench.audit.design import Ties
from workbench.audit.standing import live_vote
from workbench.db.models import Annotator, DrawStage, Item, Seat, Skip, Slot, Vote

_CODES: dict[str | None, int] = {name: code for code, name in enumerate(LABEL_NAMES)}
_CODES[None] = NONE


@dataclass(frozen=True)
class PrefixLabels:
    """One stratum's answered prefix, in draw order; arrays of shape (t,).

    `human` is -1, and `annotator_id` 0, where nobody will answer.
    """

    stratum: str
    n_drawn: int
    n_waiting: int  # answered pairs that stand behind the first open one, not read yet
    item_id: npt.NDArray[np.int64]
    pair_id: tuple[str, ...]
    ai: npt.NDArray[np.int8]
    human: npt.NDArray[np.int8]
    annotator_id: npt.NDArray[np.int64]
    vote_id: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.item_id)

    def outcomes(self, ties: Ties) -> npt.NDArray[np.int8]:
        """What the gate reads, shape (t,)."""
        return outcomes(self.ai, self.human, ties).astype(np.int8)


def read_prefix(
    session: Session,
    round_id: int,
    stratum: str,
    *,
    as_of: float | None = None,
) -> PrefixLabels:
    """The answered prefix of a stratum, now or as it was.

    Args:
        session: The database.
        round_id: The round.
        stratum: "main" or "safety".
        as_of: Read the pairs drawn and the votes live at this time, Unix seconds; what was drawn
            or edited later is ignored. None: now.
    """
    query = (
        select(Item.id, Item.pair_id, Item.ai_label, Vote.label, Vote.annotator_id, Vote.id)
        .join(Slot, and_(Slot.item_id == Item.id, Slot.number == 0))
        .outerjoin(Vote, and_(Vote.slot_id == Slot.id, Vote.counts, live_vote(as_of)))
        .where(Item.round_id == round_id, Item.stratum == stratum)
    )
    query = query.order_by(Item.position)
    if as_of is None:
        session.flush()
        rows = session.connection().execute(query).all()  # half the time of the session's rows
    else:
        query = query.where(Item.position < n_drawn_by(session, round_id, stratum, as_of))
        # Two votes of a slot may have been live then: the earlier one counted.
        rows = session.execute(query.order_by(Vote.created_at)).all()
        rows = [row for k, row in enumerate(rows) if k == 0 or rows[k - 1][0] != row[0]]
    if not rows:
        return _empty(stratum)
    item_id, pair_id, ai, human, who, vote_id = zip(*rows, strict=True)
    items = np.array(item_id, dtype=np.int64)
    labels = np.array([_CODES[label] for label in human], dtype=np.int8)
    given_up = np.isin(items, list(_given_up(session, round_id, as_of)))
    closed = (labels != NONE) | given_up
    stop = len(rows) if closed.all() else int(np.argmin(closed))
    return PrefixLabels(
        stratum=stratum,
        n_drawn=len(rows),
        n_waiting=int(np.sum(labels[stop:] != NONE)),
        item_id=items[:stop],
        pair_id=pair_id[:stop],
        ai=np.array([_CODES[label] for label in ai[:stop]], dtype=np.int8),
        human=labels[:stop],
        annotator_id=np.array([one or 0 for one in who[:stop]], dtype=np.int64),
        vote_id=vote_id[:stop],
    )


def n_drawn_by(session: Session, round_id: int, stratum: str, as_of: float | None) -> int:
    """Pairs of a stratum that had been drawn by a time; None: by now."""
    query = select(func.coalesce(func.sum(DrawStage.size), 0)).where(
        DrawStage.round_id == round_id, DrawStage.stratum == stratum
    )
    if as_of is not None:
        query = query.where(DrawStage.created_at <= as_of)
    return int(session.scalars(query).one())


def last_event(session: Session, round_id: int) -> float:
    """When the newest draw, vote, skip or undo of a round was stored, Unix seconds."""
    stages = select(func.max(DrawStage.created_at)).where(DrawStage.round_id == round_id)
    times = [session.scalar(stages)]
    for table in (Vote, Skip):
        newest = select(func.max(table.created_at), func.max(table.undone_at))
        times += session.execute(newest.where(table.round_id == round_id)).one()
    return max((when for when in times if when is not None), default=0.0)


def _given_up(session: Session, round_id: int, as_of: float | None) -> set[int]:
    """Items with a skip that every seated person has skipped or already labelled elsewhere.

    People whose access was revoked are not asked, so they are not waited for.
    """
    live_skip: ColumnElement[bool] = Skip.undone_at.is_(None)
    seated_query = (
        select(Seat.annotator_id)
        .join(Annotator, Annotator.id == Seat.annotator_id)
        .where(Seat.round_id == round_id)
    )
    if as_of is None:
        seated_query = seated_query.where(Annotator.revoked_at.is_(None))
    else:
        live_skip = and_(Skip.created_at <= as_of, or_(live_skip, Skip.undone_at > as_of))
        not_revoked = or_(Annotator.revoked_at.is_(None), Annotator.revoked_at > as_of)
        seated_query = seated_query.where(Seat.joined_at <= as_of, not_revoked)
    skips = session.execute(
        select(Skip.item_id, Skip.annotator_id).where(Skip.round_id == round_id, live_skip)
    ).all()
    if not skips:
        return set()
    seated = set(session.scalars(seated_query))
    done: defaultdict[int, set[int]] = defaultdict(set)
    for item_id, annotator_id in skips:
        done[item_id].add(annotator_id)
    votes = select(Vote.item_id, Vote.annotator_id).where(
        Vote.round_id == round_id, live_vote(as_of)
    )
    skipped_items = select(Skip.item_id).where(Skip.round_id == round_id)
    for item_id, annotator_id in session.execute(votes.where(Vote.item_id.in_(skipped_items))):
        done[item_id].add(annotator_id)
    return {item_id for item_id, people in done.items() if seated and seated <= people}


def _empty(stratum: str) -> PrefixLabels:
    none = np.zeros(0, dtype=np.int64)
    codes = np.zeros(0, dtype=np.int8)
    return PrefixLabels(stratum, 0, 0, none, (), codes, codes, none, ())
