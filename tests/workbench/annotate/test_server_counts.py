"""A large dataset is counted once; after that the counts follow what people do."""

import uuid
from typing import Any

from argilla_world import Caller, Row, World, fill

N_RECORDS = 5_100  # above counts.LARGE


def _pending(entity: str) -> dict[str, Any]:
    scope = {"entity": entity, "property": "status"}
    return {"type": "terms", "scope": scope, "values": ["pending"]}


QUEUE = {"filters": {"and": [_pending("response"), _pending("record")]}}


def test_counts_follow_answers_and_records(argilla: World) -> None:
    dataset = argilla.dataset()
    fill(argilla.database, dataset, [Row(uuid.uuid4(), {"a": "x"}) for _ in range(N_RECORDS)])
    (_, ana), (_, ben) = argilla.annotators(2)
    owner = argilla.owner()
    path = f"/me/datasets/{dataset}/records/search?limit=4"

    def pending(caller: Caller) -> int:
        return int(caller.post(path, QUEUE)["total"])

    def progress() -> tuple[int, int, int]:
        found = owner.get(f"/datasets/{dataset}/progress")
        return found["total"], found["completed"], found["pending"]

    assert pending(ana) == N_RECORDS
    mine = [item["record"]["id"] for item in ana.post(path, QUEUE)["items"]]
    # What she has on her screen waits for her.
    assert pending(ben) == N_RECORDS - 4
    answer = {"status": "submitted", "values": {"choice": {"value": "A"}}}
    first = ana.post(f"/records/{mine[0]}/responses", answer)
    ana.post(f"/records/{mine[1]}/responses", answer)
    ana.post(f"/records/{mine[2]}/responses", {"status": "discarded"})
    assert progress() == (N_RECORDS, 2, N_RECORDS - 2)
    assert pending(ana) == N_RECORDS - 3 - 4  # ben has four others now
    # An answer that is changed stays one; one that is taken back opens the record again.
    assert ana.ask("PUT", f"/responses/{first['id']}", answer)[0] == 200
    assert progress() == (N_RECORDS, 2, N_RECORDS - 2)
    assert ana.ask("DELETE", f"/responses/{first['id']}")[0] < 300
    assert progress() == (N_RECORDS, 1, N_RECORDS - 1)
    owner.post(f"/datasets/{dataset}/records/bulk", {"items": [{"fields": {"a": "new"}}]})
    assert progress() == (N_RECORDS + 1, 1, N_RECORDS)
    assert owner.ask("DELETE", f"/datasets/{dataset}/records?ids={mine[1]}")[0] == 204
    assert progress() == (N_RECORDS, 0, N_RECORDS)
