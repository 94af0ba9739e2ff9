"""Who an open page speaks for: seats in a round, and the short-lived tokens of open pages."""

import hashlib
import secrets
import time
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.orm import Session

from pipelines.errors import BadInput, WorkbenchError
from workbench.db.models import Annotator, ReviewToken, Round, Seat

TOKEN_S = 12 * 3600.0
# The clock of "away" is written at most this often, so that an idle page costs no disk write.
WRITE_EVERY_S = 5.0


class TokenRefused(WorkbenchError):
    """The page's token is unknown, too old, or its owner's access was taken back."""


@dataclass(frozen=True)
class Holder:
    """One open page: whose it is, for which round, when it and its person were last heard of."""

    token_hash: str
    annotator_id: int
    round_id: int
    seen_at: float
    last_action_at: float


# Built once: putting a statement together costs more than running it.
_HOLDER = (
    select(
        ReviewToken.annotator_id,
        ReviewToken.round_id,
        ReviewToken.seen_at,
        Seat.last_action_at,
    )
    .join(Annotator, Annotator.id == ReviewToken.annotator_id)
    .join(
        Seat,
        (Seat.annotator_id == ReviewToken.annotator_id) & (Seat.round_id == ReviewToken.round_id),
    )
    .where(
        ReviewToken.hash == bindparam("hash"),
        ReviewToken.expires_at > bindparam("now"),
        Annotator.revoked_at.is_(None),
    )
)
_PRESENT = (
    select(Seat.annotator_id)
    .join(Annotator, Annotator.id == Seat.annotator_id)
    .where(
        Seat.round_id == bindparam("round"),
        Seat.last_action_at > bindparam("since"),
        Annotator.revoked_at.is_(None),
    )
)


def hashed(token: str) -> str:
    """What is stored of a token: its SHA-256; it is long and random, so no salt is needed."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def join(session: Session, round_id: int, annotator_id: int, now: float | None = None) -> None:
    """Seat a person in a round, or note that they are back."""
    now = time.time() if now is None else now
    seat = session.get(Seat, (round_id, annotator_id))
    if seat is not None:
        seat.last_action_at = max(seat.last_action_at, now)
        return
    session.add(
        Seat(round_id=round_id, annotator_id=annotator_id, joined_at=now, last_action_at=now)
    )
    session.flush()


def mint_token(session: Session, round_id: int, annotator_id: int, now: float | None = None) -> str:
    """A token for one open page; it also seats the person. Only its hash is stored.

    Raises:
        BadInput: There is no such round, or the person's access was taken back.
    """
    now = time.time() if now is None else now
    if session.get(Round, round_id) is None:
        raise BadInput(f"There is no round {round_id}; draw one with `workbench audit draw`.")
    annotator = session.get(Annotator, annotator_id)
    if annotator is None or annotator.revoked_at is not None:
        raise BadInput("This person's access was taken back; ask the owner for a new link.")
    session.execute(delete(ReviewToken).where(ReviewToken.expires_at < now))
    token = secrets.token_urlsafe(24)
    session.add(
        ReviewToken(
            hash=hashed(token),
            annotator_id=annotator_id,
            round_id=round_id,
            expires_at=now + TOKEN_S,
            seen_at=now,
        )
    )
    join(session, round_id, annotator_id, now)
    session.flush()
    return token


def find_holder(session: Session, token: str, now: float) -> Holder:
    """The page that this token was made for.

    Raises:
        TokenRefused: Unknown, expired, or revoked.
    """
    token_hash = hashed(token)
    row = session.execute(_HOLDER, {"hash": token_hash, "now": now}).one_or_none()
    if row is None:
        raise TokenRefused("This page's access has ended; reload the page.")
    return Holder(token_hash, *row)


def note_seen(session: Session, holder: Holder, now: float, *, leaving: bool) -> None:
    """Note that the page is there, or (seen_at 0) that it said good-bye."""
    seen_at = 0.0 if leaving else now
    if leaving != (holder.seen_at == 0.0) or abs(seen_at - holder.seen_at) > WRITE_EVERY_S:
        session.execute(
            update(ReviewToken).where(ReviewToken.hash == holder.token_hash).values(seen_at=seen_at)
        )


def note_action(session: Session, holder: Holder, now: float) -> None:
    """Note that the person did something, which keeps their open slots theirs."""
    if now - holder.last_action_at > WRITE_EVERY_S:
        session.execute(
            update(Seat)
            .where(Seat.round_id == holder.round_id, Seat.annotator_id == holder.annotator_id)
            .values(last_action_at=now)
        )


def present_people(session: Session, round_id: int, since: float) -> set[int]:
    """Everyone seated who did something after `since` and whose access stands."""
    return set(session.scalars(_PRESENT, {"round": round_id, "since": since}))
