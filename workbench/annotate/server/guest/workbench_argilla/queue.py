"""The pending queue: each person's own order of the records, read from an index.

Record ids are random. Their sixteen parts, by the first digit, come in an order that is the
person's own and stays; inside a part records come by id. So the next records are found by sixteen
short reads of the index (dataset, status, id), however many records there are.

The statements are built once: to build and to hash one of this size took SQLAlchemy longer than
the database took to answer it.
"""

import hashlib
from collections.abc import Collection
from functools import cache
from typing import Any
from uuid import UUID

from argilla_server.enums import RecordStatus
from argilla_server.models import Record, Response
from sqlalchemy import (
    Integer,
    Uuid,
    bindparam,
    case,
    exists,
    func,
    literal,
    not_,
    select,
    union_all,
)

from .json_sql import Condition

_DIGITS = "0123456789abcdef"


def parts(user_id: UUID) -> str:
    """The first digits of record ids in this person's order."""

    def key(digit: str) -> bytes:
        return hashlib.blake2b(f"{user_id}{digit}".encode()).digest()

    return "".join(sorted(_DIGITS, key=key))


def _bounds(digit: str) -> tuple[UUID, UUID]:
    return UUID(digit + "0" * 31), UUID(digit + "f" * 31)


def personal_order(user_id: UUID) -> list[Any]:
    """The same order for any query, as ORDER BY terms."""
    mine = parts(user_id)
    rank = case(*((Record.id <= _bounds(digit)[1], mine.index(digit)) for digit in _DIGITS))
    return [rank.asc(), Record.id.asc()]


_DATASET = bindparam("dataset", type_=Uuid())
_USER = bindparam("user", type_=Uuid())
_OPEN: list[Condition] = [Record.dataset_id == _DATASET, Record.status == RecordStatus.pending]


def _answered() -> Condition:
    return exists().where(Response.record_id == Record.id, Response.user_id == _USER)


@cache
def _page() -> Any:
    reads = []
    for place in range(len(_DIGITS)):
        low, high = (bindparam(f"{end}{place}", type_=Uuid()) for end in ("low", "high"))
        read = (
            select(literal(place).label("place"), Record.id.label("id"))
            .where(*_OPEN, not_(_answered()), Record.id.between(low, high))
            .order_by(Record.id)
            .limit(bindparam("most", type_=Integer()))
            .subquery()
        )
        reads.append(select(read.c.place, read.c.id))
    together = union_all(*reads).subquery()
    return (
        select(together.c.id)
        .order_by(together.c.place, together.c.id)
        .limit(bindparam("most", type_=Integer()))
    )


async def page(
    session: Any,
    dataset_id: UUID,
    user_id: UUID,
    blocked: Collection[UUID],
    offset: int,
    limit: int,
) -> list[UUID]:
    """One page of the pending queue.

    Args:
        session: Where to read.
        dataset_id: Whose records.
        user_id: Who asks; records they answered are not pending for them.
        blocked: Records that wait for other people.
        offset: How many to pass over.
        limit: How many to return.
    """
    given: dict[str, Any] = {"dataset": dataset_id, "user": user_id}
    for place, digit in enumerate(parts(user_id)):
        given[f"low{place}"], given[f"high{place}"] = _bounds(digit)
    # So many that enough are left when the blocked ones are taken out: a database takes only so
    # many values in one question.
    most = offset + limit + len(blocked)
    found = (await session.scalars(_page(), {**given, "most": most})).all()
    theirs = set(blocked)
    return [record for record in found if record not in theirs][offset : offset + limit]


@cache
def _n_answered() -> Any:
    of_open = exists().where(Record.id == Response.record_id, *_OPEN)
    return select(func.count()).select_from(Response).where(Response.user_id == _USER, of_open)


@cache
def _n_blocked() -> Any:
    among = Record.id.in_(bindparam("blocked", expanding=True, type_=Uuid()))
    return select(func.count()).select_from(Record).where(*_OPEN, among, not_(_answered()))


async def n_not_mine(
    session: Any, dataset_id: UUID, user_id: UUID, blocked: Collection[UUID]
) -> int:
    """How many open records are not in the queue of a person: those that they answered, and those
    that wait for other people."""
    given = {"dataset": dataset_id, "user": user_id}
    answered = int(await session.scalar(_n_answered(), given))
    if not blocked:
        return answered
    return answered + int(await session.scalar(_n_blocked(), {**given, "blocked": list(blocked)}))
