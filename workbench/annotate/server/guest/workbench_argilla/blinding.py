"""What an annotator may see of a record, of a page of records and of a team."""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from argilla_server.api.schemas.v1.records import SearchRecordsQuery
from argilla_server.database import AsyncSessionLocal
from argilla_server.enums import UserRole
from argilla_server.models import MetadataProperty
from pydantic import ValidationError
from sqlalchemy import select


class Refused(Exception):
    """An annotator asks for what would unblind them; the message says what.

    Attributes:
        status: Of the HTTP answer.
    """

    def __init__(self, sentence: str, status: int = 403) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        id: None for an unknown caller, whom the application refuses itself.
        sees_all: An owner or an admin.
        assist: Suggestions are shown to annotators here.
    """

    id: UUID | None
    username: str
    sees_all: bool
    assist: bool


async def _visible_metadata(dataset_id: UUID) -> set[str]:
    query = select(MetadataProperty).where(MetadataProperty.dataset_id == dataset_id)
    async with AsyncSessionLocal() as session:
        found = (await session.scalars(query)).all()
    return {row.name for row in found if UserRole.annotator in row.allowed_roles}


async def checked_search(caller: Caller, dataset_id: str, body: bytes) -> bytes:
    """The body of a search, written anew from what was understood of it, and checked.

    The application sees what was checked and nothing else: a body that two readers understand
    differently (another encoding, half a surrogate) would pass by a check of the original.

    Raises:
        Refused: It cannot be read, or asks by suggestions, hidden metadata or the numbers of
            vectors: its hits would tell them.
    """
    try:
        asked = SearchRecordsQuery.model_validate(json.loads(body))
        dataset = UUID(dataset_id)
    except (ValidationError, ValueError, RecursionError):
        raise Refused("This search cannot be read.", 422) from None
    if asked.query and asked.query.vector and asked.query.vector.value:
        raise Refused("Records are found by their likeness to another record here.")
    filters = asked.filters.and_ if asked.filters and asked.filters.and_ else []
    scopes = [part.scope for part in [*filters, *(asked.sort or [])]]
    if not caller.assist and any(scope.entity == "suggestion" for scope in scopes):
        raise Refused("Suggestions are not shown here, so records cannot be found by them.")
    names = {scope.metadata_property for scope in scopes if scope.entity == "metadata"}
    if names and names - await _visible_metadata(dataset):
        raise Refused("Records cannot be found by metadata that annotators do not see.")
    understood: str = asked.model_dump_json(by_alias=True, exclude_unset=True)
    return understood.encode()


def _without_others(caller: Caller, record: dict[str, Any]) -> dict[str, Any]:
    record.pop("vectors", None)  # they have no visibility in Argilla, so nobody chose to show them
    if isinstance(record.get("responses"), list):
        mine = [row for row in record["responses"] if row.get("user_id") == str(caller.id)]
        record["responses"] = mine
    if isinstance(record.get("suggestions"), list) and not caller.assist:
        record["suggestions"] = []
    return record


async def own_view_of_page(caller: Caller, page: dict[str, Any]) -> dict[str, Any]:
    """Search results with this person's own answers only. Metadata was filtered by Argilla."""
    for item in page["items"]:
        _without_others(caller, item["record"])
    return page


async def own_view_of_record(caller: Caller, record: dict[str, Any]) -> dict[str, Any]:
    """One record with this person's own answers and the metadata that annotators may see."""
    if record.get("metadata"):
        visible = await _visible_metadata(UUID(record["dataset_id"]))
        kept = {name: value for name, value in record["metadata"].items() if name in visible}
        record["metadata"] = kept
    return _without_others(caller, record)


async def no_suggestions(caller: Caller, found: dict[str, Any]) -> dict[str, Any]:
    """The suggestions of a record: none."""
    return found if caller.assist else {**found, "items": []}


async def no_agents(caller: Caller, found: dict[str, Any]) -> dict[str, Any]:
    """The names of the judges whose suggestions there are: none."""
    if caller.assist:
        return found
    return {"items": [{**item, "agents": []} for item in found["items"]]}


async def only_me(caller: Caller, found: dict[str, Any]) -> dict[str, Any]:
    """The progress of a team: one's own."""
    mine = [row for row in found["users"] if row["username"] == caller.username]
    return {**found, "users": mine}
