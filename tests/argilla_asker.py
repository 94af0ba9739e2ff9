"""Many searches at once, as Argilla's own handler asks its search engine: run by its Python.

python argilla_asker.py < questions.jsonl > answers.jsonl

A question is `{"dataset": id, "user": id or null, "body": ..., "offset": n, "limit": n}`, an answer
`{"ids": [...], "total": n}`. The same is asked as over HTTP, for half the time.
"""

import asyncio
import json
import sys
from typing import Any
from uuid import UUID

from argilla_server.api.handlers.v1.datasets.records import _get_search_responses
from argilla_server.api.schemas.v1.records import SearchRecordsQuery
from argilla_server.database import AsyncSessionLocal
from argilla_server.models import Dataset, User
from sqlalchemy.orm import selectinload
from workbench_argilla import database
from workbench_argilla.engine import SqlSearchEngine


async def _answers(questions: list[dict[str, Any]]) -> None:
    engine, parts = SqlSearchEngine(), [selectinload(Dataset.fields)]
    async with AsyncSessionLocal() as session:
        dataset = await Dataset.get_or_raise(
            session,
            UUID(questions[0]["dataset"]),
            options=[*parts, selectinload(Dataset.metadata_properties)],
        )
        for asked in questions:
            user = None if asked["user"] is None else await session.get(User, UUID(asked["user"]))
            found = await _get_search_responses(
                db=session,
                search_engine=engine,
                dataset=dataset,
                limit=asked["limit"],
                offset=asked["offset"],
                search_records_query=SearchRecordsQuery.model_validate(asked["body"]),
                user=user,
            )
            ids = [str(item.record_id) for item in found.items]
            print(json.dumps({"ids": ids, "total": found.total}))


if __name__ == "__main__":
    database.prepare("workbench", new_password=False)
    asyncio.run(_answers([json.loads(line) for line in sys.stdin]))
