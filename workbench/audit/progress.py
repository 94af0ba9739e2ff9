"""How far a round is, and who did how much of it: counts only."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from workbench.db.models import Annotator, Round, Seat, Skip, Slot, Vote


@dataclass(frozen=True)
class PersonProgress:
    """What one person did in a round."""

    annotator_id: int
    name: str
    n_votes: int
    n_skips: int
    last_action_at: float
    revoked: bool


@dataclass(frozen=True)
class Progress:
    """How far a round is, in slots; `people` are those seated."""

    answered: int
    asked: int
    people: tuple[PersonProgress, ...]


def progress(session: Session, round_id: int) -> Progress:
    """How far a round is, and who did how much of it."""
    asked = session.scalar(select(func.count()).where(Slot.round_id == round_id)) or 0
    live = (Vote.round_id == round_id, Vote.undone_at.is_(None))
    answered = session.scalar(select(func.count()).where(*live, Vote.counts.is_(True))) or 0
    n_votes = _by_person(session, Vote, round_id)
    n_skips = _by_person(session, Skip, round_id)
    seats = session.execute(
        select(Seat, Annotator)
        .join(Annotator, Annotator.id == Seat.annotator_id)
        .where(Seat.round_id == round_id)
        .order_by(Seat.joined_at, Annotator.id)
    )
    people = tuple(
        PersonProgress(
            annotator.id,
            annotator.name,
            n_votes.get(annotator.id, 0),
            n_skips.get(annotator.id, 0),
            seat.last_action_at,
            annotator.revoked_at is not None,
        )
        for seat, annotator in seats
    )
    return Progress(answered, asked, people)


def _by_person(session: Session, table: type[Vote] | type[Skip], round_id: int) -> dict[int, int]:
    rows = session.execute(
        select(table.annotator_id, func.count())
        .where(table.round_id == round_id, table.undone_at.is_(None))
        .group_by(table.annotator_id)
    )
    return dict(rows.all())


def open_rounds(session: Session) -> list[Round]:
    """The rounds that take votes, newest first."""
    return list(
        session.scalars(select(Round).where(Round.closed_at.is_(None)).order_by(Round.id.desc()))
    )
