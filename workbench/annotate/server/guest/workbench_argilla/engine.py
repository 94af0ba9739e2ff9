"""Argilla's search engine on its own SQL database: registered under the name "workbench".

Elasticsearch keeps a copy of the records; here there is none. The server writes every fact to SQL
before it tells the search engine, so the write hooks have nothing to do but to follow who answered
what (`holds`) and how many records are open (`counts`).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from argilla_server.database import AsyncSessionLocal, async_engine
from argilla_server.enums import MetadataPropertyType, ResponseStatus, SimilarityOrder
from argilla_server.models import Field, MetadataProperty, Question, Record, Response, Vector
from argilla_server.search_engine.base import (
    AndFilter,
    FloatMetadataMetrics,
    IntegerMetadataMetrics,
    RecordFilterScope,
    ResponseFilterScope,
    SearchEngine,
    SearchResponseItem,
    SearchResponses,
    TermsFilter,
    TermsMetrics,
    TextQuery,
)
from sqlalchemy import and_, func, literal, not_, or_, select, true
from sqlalchemy.ext.asyncio import async_object_session

from . import counts, filters, holds, queue, texts
from .json_sql import Condition, elements, has_text
from .similarity import nearest

NAME = "workbench"


@asynccontextmanager
async def _reading(known: Any = None) -> AsyncIterator[Any]:
    """Where to read: the session of the request that `known` was loaded for, else one of its own.

    A second connection for each request is one too many: fifteen requests at once would each hold
    one, wait for another, and find none.
    """
    session = None if known is None else async_object_session(known)
    if session is not None:
        yield session
        return
    async with AsyncSessionLocal() as own:
        yield own


@SearchEngine.register(engine_name=NAME)
class SqlSearchEngine(SearchEngine):  # type: ignore[misc]  # argilla_server is not installed where mypy runs
    """All of Argilla's search on SQLAlchemy, for SQLite and PostgreSQL."""

    @classmethod
    async def new_instance(cls) -> "SqlSearchEngine":
        """One for each request; what outlives a request is `holds`."""
        return cls()

    async def close(self) -> None:
        """There is nothing to close."""

    async def ping(self) -> bool:
        """Whether the database answers."""
        async with _reading() as session:
            return bool(await session.scalar(select(literal(1))) == 1)

    async def info(self) -> dict[str, str]:
        """What this is, for the server's status page."""
        return {"name": NAME, "database": async_engine.dialect.name}

    # --- what was written: SQL has it already

    async def create_index(self, dataset: Any) -> None:
        """Nothing to do."""

    async def delete_index(self, dataset: Any) -> None:
        """Nobody holds records of a deleted dataset."""
        holds.forget(dataset.id)
        counts.dataset_deleted(dataset.id)

    async def configure_metadata_property(self, dataset: Any, metadata_property: Any) -> None:
        """Nothing to do."""

    async def configure_index_vectors(self, vector_settings: Any) -> None:
        """Nothing to do."""

    async def index_records(self, dataset: Any, records: Any) -> None:
        """Records came."""
        counts.records_changed(dataset.id)

    async def partial_record_update(self, record: Any, **update: Any) -> None:
        """A record may be complete now, or pending again."""
        if "status" in update:
            counts.status_saved(record)

    async def delete_records(self, dataset: Any, records: Any) -> None:
        """Records went."""
        counts.records_changed(dataset.id)

    async def update_record_response(self, response: Any) -> None:
        """An answer ends its author's hold; a draft keeps it."""
        held = holds.of(response.record.dataset_id)
        if response.status == ResponseStatus.draft:
            held.hold(response.user_id, [response.record_id])
        else:
            held.answered(response.user_id, response.record_id)

    async def delete_record_response(self, response: Any) -> None:
        """The record is pending again, for its former author too."""
        holds.of(response.record.dataset_id).answered(response.user_id, response.record_id)

    async def update_record_suggestion(self, suggestion: Any) -> None:
        """Nothing to do."""

    async def delete_record_suggestion(self, suggestion: Any) -> None:
        """Nothing to do."""

    # --- progress

    async def get_dataset_progress(self, dataset: Any) -> dict[str, int]:
        """How many records of a published dataset there are, in all and by status."""
        if dataset.is_draft:
            return {}
        async with _reading(dataset) as session:
            found = await counts.of_records(session, dataset.id)
        return {"total": sum(found.values()), **found}

    async def get_dataset_user_progress(self, dataset: Any, user: Any) -> dict[str, int]:
        """How many answers of a person there are, in all and by status."""
        if dataset.is_draft:
            return {}
        query = (
            select(Response.status, func.count())
            .join(Record, Record.id == Response.record_id)
            .where(Record.dataset_id == dataset.id, Response.user_id == user.id)
            .group_by(Response.status)
        )
        async with _reading(dataset) as session:
            rows = (await session.execute(query)).all()
        found = {str(status.value): n for status, n in rows}
        return {"total": sum(found.values()), **found}

    # --- search

    async def search(
        self,
        dataset: Any,
        query: Any = None,
        filter: Any = None,
        sort: Any = None,
        offset: int = 0,
        limit: int = 100,
        user_id: UUID | None = None,
    ) -> Any:
        """One page of the records that pass, and how many there are.

        Without a sort, a person (`user_id`) sees them in an order of their own, the owner's
        client in the order they came. A search for what is pending for a person deals records:
        see `holds`.
        """
        if user_id is None or not _asks_for_pending(filter):
            async with _reading(dataset) as session:
                ask = _Ask(dataset, query, filter, sort, user_id, ())
                return await _page(session, ask, offset, limit)
        held = holds.of(dataset.id)
        async with held.lock, _reading(dataset) as session:
            blocked = await _blocked(session, dataset, held.by_others(user_id))
            ask = _Ask(dataset, query, filter, sort, user_id, blocked)
            if query is None and not sort and _is_queue(filter):
                ids = await queue.page(session, dataset.id, user_id, blocked, offset, limit)
                found = _answer([(record, 1.0) for record in ids], await _known_total(session, ask))
            else:
                found = await _page(session, ask, offset, limit)
            held.hold(user_id, [item.record_id for item in found.items])
            return found

    async def similarity_search(
        self,
        dataset: Any,
        vector_settings: Any,
        value: list[float] | None = None,
        record: Any = None,
        query: Any = None,
        filter: Any = None,
        max_results: int = 100,
        order: Any = SimilarityOrder.most_similar,
        threshold: float | None = None,
    ) -> Any:
        """The records whose vectors are nearest to a vector or to a record's.

        Raises:
            ValueError: Neither or both were given, or the record has no such vector.
        """
        if bool(value) == bool(record):
            raise ValueError("similarity needs either a vector or a record")
        target = value or record.vector_value_by_vector_settings(vector_settings)
        if not target:
            raise ValueError("the record has no vector of this name")
        async with _reading(dataset) as session:
            where = [*await _conditions(session, _Ask(dataset, query, filter, None, None, ()))]
            if record is not None:
                where.append(Record.id != record.id)
            rows = (
                await session.execute(
                    select(Record.id, Vector.value)
                    .join(Vector, Vector.record_id == Record.id)
                    .where(*where, Vector.vector_settings_id == vector_settings.id)
                )
            ).all()
        least = order == SimilarityOrder.least_similar
        scored = await asyncio.to_thread(
            nearest, [tuple(row) for row in rows], target, max_results,
            least=least, threshold=threshold,
        )  # fmt: skip
        return _answer(scored, len(scored))

    # --- metrics

    async def compute_metrics_for(self, metadata_property: Any) -> Any:
        """The terms of a metadata property with their counts, or its smallest and largest."""
        found = elements(Record.metadata_, metadata_property.name)
        ours = and_(Record.dataset_id == metadata_property.dataset_id, found.present)
        joined = select().select_from(Record).join(found.source, true()).where(ours)
        async with _reading(metadata_property) as session:
            if metadata_property.type == MetadataPropertyType.terms:
                counted = joined.add_columns(found.text, func.count()).group_by(found.text)
                rows = (await session.execute(counted)).all()
                rows = sorted(rows, key=lambda row: (-row[1], row[0]))
                return TermsMetrics(
                    total=sum(row[1] for row in rows),
                    values=[TermsMetrics.TermCount(term=row[0], count=row[1]) for row in rows],
                )
            ends = joined.add_columns(func.min(found.number), func.max(found.number))
            low, high = (await session.execute(ends)).one()
        if metadata_property.type == MetadataPropertyType.integer:
            return IntegerMetadataMetrics(
                min=None if low is None else int(low), max=None if high is None else int(high)
            )
        return FloatMetadataMetrics(min=low, max=high)


class _Ask:
    """What a search asks for."""

    def __init__(
        self, dataset: Any, query: Any, filter_: Any, sort: Any, user_id: Any, blocked: Any
    ) -> None:
        self.dataset, self.filter, self.sort = dataset, filter_, sort
        self.query = TextQuery(q=query) if isinstance(query, str) else query
        self.user_id, self.blocked = user_id, blocked


def _answer(scored: list[tuple[UUID, float]], total: int | None) -> Any:
    items = [SearchResponseItem(record_id=record, score=score) for record, score in scored]
    return SearchResponses(items=items, total=total or 0)


def _parts(given: Any) -> list[Any]:
    if given is None:
        return []
    return list(given.filters) if isinstance(given, AndFilter) else [given]


def _is_terms(part: Any, values: list[str]) -> bool:
    return isinstance(part, TermsFilter) and [str(value) for value in part.values] == values


def _is_pending_for_user(part: Any) -> bool:
    return (
        isinstance(part.scope, ResponseFilterScope)
        and part.scope.user is not None
        and not part.scope.question
        and _is_terms(part, ["pending"])
    )


def _is_open_record(part: Any) -> bool:
    scope = part.scope
    return (
        isinstance(scope, RecordFilterScope)
        and str(scope.property) == "status"
        and _is_terms(part, ["pending"])
    )


def _asks_for_pending(given: Any) -> bool:
    return any(_is_pending_for_user(part) for part in _parts(given))


def _is_queue(given: Any) -> bool:
    """Whether it is what the page of an annotator asks: open records, not yet answered by me."""
    found = _parts(given)
    known = all(_is_pending_for_user(part) or _is_open_record(part) for part in found)
    return known and any(_is_open_record(part) for part in found)


async def _blocked(session: Any, dataset: Any, held: dict[UUID, int]) -> list[UUID]:
    """The records that enough other people hold: with those who answered, as many as wanted."""
    wanted = int(dataset.distribution.get("min_submitted", 1))
    surely = [record for record, n in held.items() if n >= wanted]
    perhaps = [record for record, n in held.items() if n < wanted]
    if not perhaps:
        return surely
    query = (
        select(Response.record_id, func.count())
        .where(Response.record_id.in_(perhaps), Response.status == ResponseStatus.submitted)
        .group_by(Response.record_id)
    )
    answered = (await session.execute(query)).all()
    return surely + [record for record, n in answered if n + held[record] >= wanted]


async def _conditions(session: Any, ask: _Ask) -> list[Condition]:
    conditions: list[Condition] = [Record.dataset_id == ask.dataset.id]
    if ask.filter is not None:
        conditions.append(filters.condition(ask.filter, ask.dataset))
    if ask.query is not None:
        conditions.extend(await _text(session, ask))
    if ask.blocked:
        conditions.append(Record.id.not_in(ask.blocked))
    return conditions


async def _text(session: Any, ask: _Ask) -> list[Condition]:
    fields = [
        (field.name, field.settings["type"])
        for field in await session.scalars(select(Field).where(Field.dataset_id == ask.dataset.id))
        if field.settings["type"] != "image" and ask.query.field in (None, field.name)
    ]
    conditions = []
    for term in texts.parse(ask.query.q):
        found = or_(*(has_text(Record.fields, part, fields) for part in term.parts))
        conditions.append(not_(func.coalesce(found, False)) if term.negated else found)
    return conditions


async def _order(session: Any, ask: _Ask) -> list[Any]:
    if not ask.sort:
        if ask.user_id is not None:
            return queue.personal_order(ask.user_id)
        return [Record.inserted_at.asc(), Record.id.asc()]
    kinds: dict[str, Any] = {}
    for label, model in (("question", Question), ("metadata", MetadataProperty)):
        of_dataset = select(model).where(model.dataset_id == ask.dataset.id)
        for row in await session.scalars(of_dataset):
            kinds[f"{label}:{row.name}"] = row.type
    terms = [filters.order(given, ask.dataset, kinds) for given in ask.sort]
    return [*terms, Record.inserted_at.asc(), Record.id.asc()]


async def _known_total(session: Any, ask: _Ask) -> int | None:
    """How many records pass, where that is known without a look at each."""
    if ask.query is not None:
        return None
    if ask.filter is None and not ask.blocked:
        return sum((await counts.of_records(session, ask.dataset.id)).values())
    if ask.user_id is not None and _is_queue(ask.filter):
        n_open = (await counts.of_records(session, ask.dataset.id)).get("pending", 0)
        mine = [part for part in _parts(ask.filter) if _is_pending_for_user(part)]
        if mine:
            not_mine = await queue.n_not_mine(session, ask.dataset.id, ask.user_id, ask.blocked)
            return max(0, n_open - not_mine)
    return None


async def _page(session: Any, ask: _Ask, offset: int, limit: int) -> Any:
    where = await _conditions(session, ask)
    order = await _order(session, ask)
    page = select(Record.id).where(*where).order_by(*order).offset(offset).limit(limit)
    total = await _known_total(session, ask)
    if total is not None:
        ids = (await session.scalars(page)).all()
        return _answer([(record, 1.0) for record in ids], total)
    # One question both finds and counts: what reads every record does so once.
    rows = (await session.execute(page.add_columns(func.count().over()))).all()
    if not rows and offset:
        total = await session.scalar(select(func.count()).select_from(Record).where(*where))
    else:
        total = rows[0][1] if rows else 0
    return _answer([(row[0], 1.0) for row in rows], total)
