"""Which votes stand; apart from the reading of labels, whose statistics a queue need not load."""

from sqlalchemy import ColumnElement, and_, or_

from workbench.db.models import Vote


def live_vote(as_of: float | None = None) -> ColumnElement[bool]:
    """Whether a vote stands, now or at a time in Unix seconds."""
    if as_of is None:
        return Vote.undone_at.is_(None)
    return and_(Vote.created_at <= as_of, or_(Vote.undone_at.is_(None), Vote.undone_at > as_of))
