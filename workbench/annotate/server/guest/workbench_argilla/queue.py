"""The pending queue: each person's own order of the records, read from an index.

Record ids are random. Their sixteen parts, by the first digit, come in an order that is the
person's own and stays; inside a part records come by id. So the next records are found by sixteen
short reads of the index (dataset, status, id), however many records there are.
"""

import hashlib
from collections.abc import Collection
from typing import Any
from uuid import UUID

from argilla_server.enums import RecordStatus
from argilla_server.models import Record, Response
from sqlalchemy import case, exists, func, literal, not_, select, union_all

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


def _answered_by(user_id: UUID) -> Condition:
    return exists().where(Response.record_id == Record.id, Response.user_id == user_id)


def _open(dataset_id: UUID, user_id: UUID, blocked: Collection[UUID]) -> list[Condition]:
    conditions: list[Condition] = [
        Record.dataset_id == dataset_id,
        Record.status == RecordStatus.pending,
        not_(_answered_by(user_id)),
    ]
    if blocked:
        conditions.append(Record.id.not_in(blocked))
    return conditions


def page(
    dataset_id: UUID, user_id: UUID, blocked: Collection[UUID], offset: int, limit: int
) -> Any:
    """The query of one page of the pending queue: record ids.

    Args:
        dataset_id: Whose records.
        user_id: Who asks; records they answered are not pending for them.
        blocked: Records that wait for other people.
        offset: How many to pass over.
        limit: How many to return.
    """
    reads = []
    for place, digit in enumerate(parts(user_id)):
        low, high = _bounds(digit)
        read = (
            select(literal(place).label("place"), Record.id.label("id"))
            .where(*_open(dataset_id, user_id, blocked), Record.id.between(low, high))
            .order_by(Record.id)
            .limit(offset + limit)
            .subquery()
        )
        reads.append(select(read.c.place, read.c.id))
    together = union_all(*reads).subquery()
    return (
        select(together.c.id).order_by(together.c.place, together.c.id).offset(offset).limit(limit)
    )


def n_open(dataset_id: UUID) -> Any:
    """The query of the number of records that are open for anybody: it reads the whole index."""
    pending = [Record.dataset_id == dataset_id, Record.status == RecordStatus.pending]
    return select(func.count()).where(*pending)


def n_not_mine(dataset_id: UUID, user_id: UUID, blocked: Collection[UUID]) -> Any:
    """The query of how many open records are not in the queue of a person: those that they
    answered, and those held by others."""
    open_record = exists().where(
        Record.id == Response.record_id,
        Record.dataset_id == dataset_id,
        Record.status == RecordStatus.pending,
    )
    answered = (
        select(func.count())
        .select_from(Response)
        .where(Response.user_id == user_id, open_record)
        .scalar_subquery()
    )
    if not blocked:
        return select(answered)
    held = (
        select(func.count())
        .select_from(Record)
        .where(
            Record.dataset_id == dataset_id,
            Record.status == RecordStatus.pending,
            Record.id.in_(blocked),
            not_(_answered_by(user_id)),
        )
        .scalar_subquery()
    )
    return select(answered + held)
