"""Votes that were given in Argilla, and whether the AI's labels were shown there."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from workbench.audit.standing import live_vote
from workbench.db.models import ArgillaDataset, Vote

ORIGIN = "argilla"
# Given with the AI's label in sight: kept, and never the label that counts.
ASSISTED = "argilla-assisted"
ID_PREFIX = "argilla-"


def is_argilla(vote_id: str | None) -> bool:
    """Whether a vote of this id came from Argilla."""
    return vote_id is not None and vote_id.startswith(ID_PREFIX)


def assisted_datasets(session: Session, round_id: int, as_of: float | None) -> list[str]:
    """Names of the round's datasets in Argilla that showed the AI's labels by a time; None: now."""
    query = select(ArgillaDataset.name).where(
        ArgillaDataset.round_id == round_id, ArgillaDataset.assist.is_(True)
    )
    if as_of is not None:
        query = query.where(ArgillaDataset.created_at <= as_of)
    return list(session.scalars(query.order_by(ArgillaDataset.name)))


def n_assisted(session: Session, round_id: int, as_of: float | None) -> int:
    """Live votes of a round that were given with the AI's label in sight."""
    query = select(func.count()).where(
        Vote.round_id == round_id, Vote.origin == ASSISTED, live_vote(as_of)
    )
    return session.scalar(query) or 0
