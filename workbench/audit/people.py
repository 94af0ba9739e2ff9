"""The people of a project: who may open which page, by name on one machine, by link from others."""

import secrets
import time
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipelines.errors import BadInput
from workbench.audit.tokens import hashed
from workbench.db.models import Annotator

Role = Literal["annotator", "owner"]
MAX_NAME = 60


def clean_name(name: str) -> str:
    """The name without surplus blanks.

    Raises:
        BadInput: Nothing is left, it is too long, or it holds characters that cannot be shown.
    """
    name = " ".join(name.split())
    if not name:
        raise BadInput("Type a name: it is how your answers are kept apart from other people's.")
    if len(name) > MAX_NAME or not name.isprintable():
        raise BadInput(f"A name has at most {MAX_NAME} characters, all of them printable.")
    return name


def by_name(session: Session, name: str) -> Annotator | None:
    """The person of that name; upper and lower case are the same."""
    folded = clean_name(name).casefold()
    people = session.scalars(select(Annotator).order_by(Annotator.id))
    return next((person for person in people if person.name.casefold() == folded), None)


def enter(session: Session, name: str, now: float | None = None) -> Annotator:
    """The person of that name, added when new: the way in on the owner's own machine.

    Raises:
        BadInput: The name cannot be used, or its access was taken back.
    """
    person = by_name(session, name)
    if person is None:
        person = Annotator(
            name=clean_name(name),
            created_at=time.time() if now is None else now,
            link_hash=None,
            role="annotator",
            revoked_at=None,
        )
        session.add(person)
        session.flush()
    if person.revoked_at is not None:
        raise BadInput(
            f"The access of {person.name} was taken back; `workbench annotator add` gives it again."
        )
    return person


def make_link(session: Session, name: str, role: Role) -> str:
    """The token of a new personal link; an older link of the same person stops working.

    It also gives access again to somebody whose access was taken back. Only the hash is stored,
    so the link can be made anew but never be shown again.

    Raises:
        BadInput: The name cannot be used.
    """
    person = by_name(session, name)
    if person is None:
        person = enter(session, name)
    token = secrets.token_urlsafe(24)
    person.link_hash, person.role, person.revoked_at = hashed(token), role, None
    session.flush()
    return token


def by_link(session: Session, token: str) -> Annotator | None:
    """Whose personal link this is; nobody's when unknown or taken back."""
    return session.scalar(
        select(Annotator).where(
            Annotator.link_hash == hashed(token), Annotator.revoked_at.is_(None)
        )
    )


def revoke(session: Session, name: str) -> Annotator:
    """Take a person's access back: their link and open pages stop working, their votes stay.

    Raises:
        BadInput: There is no such person.
    """
    person = by_name(session, name)
    if person is None:
        known = ", ".join(session.scalars(select(Annotator.name).order_by(Annotator.name)))
        raise BadInput(f"nobody is called {name!r}; there are {known or 'no people yet'}")
    if person.revoked_at is None:
        person.revoked_at = time.time()
    person.link_hash = None
    session.flush()
    return person


def n_invited(session: Session) -> int:
    """How many personal links work now."""
    links = select(func.count()).where(
        Annotator.link_hash.is_not(None), Annotator.revoked_at.is_(None)
    )
    return session.scalar(links) or 0
