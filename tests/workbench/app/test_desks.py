"""Active mode through the desk that the review page speaks to: a new stage when a page runs dry."""

import asyncio
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pipelines.importing import import_file
from workbench.app.desks import Desks
from workbench.app.findings import find, round_names
from workbench.audit.draw import draw_round
from workbench.audit.options import DrawOptions, StratumOptions
from workbench.audit.people import enter
from workbench.audit.queue import SyncRequest, mint_token
from workbench.db.session import writing
from workbench.project import Project

N_PAIRS, N_DRAWN = 400, 150  # stages of 60, 60 and 30


def active_project(folder: Path) -> tuple[Project, str]:
    """A project with an open active round, and the token of a person's page."""
    project = Project.create(folder)
    pairs = folder / "pairs.jsonl"
    with pairs.open("w") as file:
        for k in range(N_PAIRS):
            p_a = 0.5 + 0.49 * ((k * 37) % 100) / 100
            verdict = {"judge": "judge", "order": "ab", "p_a": p_a, "label": "A"}
            row = {"id": f"pair-{k}", "prompt": f"Question {k}?", "response_a": f"yes {k}"}
            file.write(json.dumps({**row, "response_b": f"no {k}", "ai": [verdict]}) + "\n")
    import_file(project.store, pairs, project.config)
    options = DrawOptions(mode="active", overlap=0.0, main=StratumOptions(n_pairs=N_DRAWN))
    drawn = draw_round(project, options)
    with writing(project.engine) as session:
        person = enter(session, "ana")
        return project, mint_token(session, drawn.round_id, person.id)


def label_all(desks: Desks, token: str) -> tuple[int, list[int]]:
    """Answer whatever comes until nothing comes; how many, and what was asked for on the way."""
    # On a thread: a browser test before this one may have left an event loop running on ours.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(_label_all(desks, token))).result()


async def _label_all(desks: Desks, token: str) -> tuple[int, list[int]]:
    n_answered, asked = 0, []
    queue: list[str] = []
    ops: list[dict[str, Any]] = []
    while True:
        request = SyncRequest.model_validate(
            {"token": token, "ops": ops, "want": 12, "have": queue, "active": True}
        )
        answer = json.loads(await desks.answer(request))
        assert all(status == "stored" for _, status in answer["acks"])
        asked.append(answer["progress"]["asked"])
        queue = [lease for lease in queue if lease not in answer["drop"]]
        queue += [item["id"] for item in answer["items"]]
        if not queue:
            return n_answered, asked
        lease = queue.pop(0)
        n_answered += 1
        ops = [
            {"kind": "vote", "id": str(uuid.uuid4()), "lease": lease, "label": "left"}
            | {"seconds": 5.0, "client_at": 1.0, "seq": n_answered}
        ]


def test_an_active_round_goes_on_stage_by_stage_to_its_size(tmp_path: Path) -> None:
    project, token = active_project(tmp_path / "project")
    desks = Desks(project)
    n_answered, asked = label_all(desks, token)
    desks.close()
    assert n_answered == N_DRAWN
    assert asked[0] == 60
    assert asked[-1] == N_DRAWN
    assert sorted(set(asked)) == [60, 120, 150]
    # Its page charts it as any other round's.
    path = find(project, round_names(project)[0]).paths["main"]
    assert path.t[-1] == N_DRAWN
    assert path.low[-1] < path.estimate[-1] < path.high[-1]


def test_a_stage_that_cannot_be_drawn_loses_no_vote(tmp_path: Path) -> None:
    project, token = active_project(tmp_path / "project")
    for part in (project.dir / "runs" / "imported").glob("manifest.json"):
        part.unlink()  # the owner moved the imported pairs away
    desks = Desks(project)
    n_answered, asked = label_all(desks, token)
    desks.close()
    assert n_answered == 60
    assert asked[-1] == 60
