"""Many annotators at once against the real server: how long a vote takes to be committed.

    python benchmarks/review_load.py                    20 people, 1 vote a second, 100,000 pairs
    python benchmarks/review_load.py --hz 4 --answered 0.9

Each person is a thread with a connection of its own that does what the page does: votes one pair,
sends the vote at once, and takes what the answer gives. Afterwards the database is counted.
"""

import argparse
import http.client
import json
import os
import platform
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
from review_lab import make_project, plain_pairs
from sqlalchemy import insert, select

from workbench.audit.people import enter
from workbench.audit.queue import mint_token
from workbench.db.models import Item, Round, Slot, Vote
from workbench.db.session import writing
from workbench.project import Project

SERVE = [sys.executable, "-c", "from workbench.cli.main import main; main()", "serve"]


def answer_earlier(project: Project, share: float, n_people: int) -> int:
    """Fill a share of the slots, in queue order, as if people had worked for weeks."""
    with writing(project.engine) as session:
        round_id = session.scalars(select(Round.id)).one()
        people = [enter(session, f"earlier {k}").id for k in range(n_people)]
        slots = session.execute(
            select(Slot.id, Slot.item_id, Slot.number)
            .join(Item, Item.id == Slot.item_id)
            .order_by(Item.rank, Slot.number)
        ).all()
        votes = [
            {
                "id": f"earlier-{slot_id}",
                "round_id": round_id,
                "item_id": item_id,
                "slot_id": slot_id,
                "annotator_id": people[(item_id + number) % n_people],
                "label": "A",
                "counts": True,
                "seconds": 20.0,
                "details": {},
                "origin": "simulated",
                "created_at": 0.0,
            }
            for slot_id, item_id, number in slots[: int(share * len(slots))]
        ]
        if votes:
            session.execute(insert(Vote), votes)
        return len(votes)


class Person(threading.Thread):
    """One annotator with one page."""

    def __init__(self, port: int, token: str, n_votes: int, hz: float, seed: int) -> None:
        super().__init__()
        self.port, self.token, self.n_votes, self.hz = port, token, n_votes, hz
        self.rng = random.Random(seed)
        self.waits_ms: list[float] = []
        self.first_ms = 0.0
        self.acks: dict[str, str] = {}

    def run(self) -> None:
        """Take a queue, then vote at the given pace."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        queue: list[str] = []

        def sync(ops: list[dict[str, Any]]) -> float:
            body = {"token": self.token, "ops": ops, "want": 12, "have": queue, "active": True}
            start = time.perf_counter()
            connection.request("POST", "/api/review/sync", json.dumps(body).encode())
            answer = json.loads(connection.getresponse().read())
            took = (time.perf_counter() - start) * 1000
            self.acks |= dict(answer["acks"])
            queue[:] = [lease for lease in queue if lease not in answer["drop"]]
            queue.extend(item["id"] for item in answer["items"])
            return took

        self.first_ms = sync([])
        time.sleep(self.rng.random() / self.hz)
        for _ in range(self.n_votes):
            start = time.perf_counter()
            op = {"kind": "vote", "id": str(uuid.uuid4()), "lease": queue.pop(0)}
            took = sync([op | {"label": "left", "seconds": 1 / self.hz}])
            self.waits_ms.append(took)
            pause = self.rng.uniform(0.7, 1.3) / self.hz - (time.perf_counter() - start)
            time.sleep(max(0.0, pause))


def quantile(values: list[float], share: float) -> float:
    """The value below which this share of the values lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    """Build the round, run the people, count what was stored."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--people", type=int, default=20)
    arguments.add_argument("--votes", type=int, default=30, help="each person's")
    arguments.add_argument("--hz", type=float, default=1.0, help="votes a second and person")
    arguments.add_argument("--items", type=int, default=100_000)
    arguments.add_argument("--answered", type=float, default=0.5, help="share answered before")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="review-load-") as name:
        folder = make_project(
            Path(name) / "project", plain_pairs(given.items), people=[], overlap=0.15
        )
        project = Project.open(folder)
        earlier = answer_earlier(project, given.answered, 10)
        with writing(project.engine) as session:
            round_id = session.scalars(select(Round.id)).one()
            people = [enter(session, f"person {k}").id for k in range(given.people)]
            tokens = [mint_token(session, round_id, who) for who in people]
        project.engine.dispose()
        server = subprocess.Popen(
            [*SERVE, "--project", str(folder), "--port", "0", "--no-open"],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stdout is not None
            said = re.search(r":(\d+) ", server.stdout.readline())
            assert said
            load(given, int(said.group(1)), tokens, psutil.Process(server.pid), folder, earlier)
        finally:
            server.terminate()
            server.wait()


def load(
    given: argparse.Namespace,
    port: int,
    tokens: list[str],
    server: psutil.Process,
    folder: Path,
    earlier: int,
) -> None:
    """Run the people and print one line of results."""
    people = [Person(port, token, given.votes, given.hz, seed) for seed, token in enumerate(tokens)]
    cpu, start = sum(server.cpu_times()[:2]), time.perf_counter()
    for person in people:
        person.start()
    for person in people:
        person.join()
    took = time.perf_counter() - start
    cpu = sum(server.cpu_times()[:2]) - cpu
    waits = [wait for person in people for wait in person.waits_ms]
    acked = {op_id for person in people for op_id in person.acks}
    with closing(sqlite3.connect(folder / "workbench.db")) as database:
        rows = database.execute(
            "SELECT id, slot_id, counts FROM vote WHERE undone_at IS NULL AND origin = 'workbench'"
        ).fetchall()
        asked = database.execute("SELECT count(*) FROM slot").fetchone()[0]
    stored = {op_id for op_id, _, _ in rows}
    print(
        f"{given.people} people, {given.hz:g} votes/s each, {asked:,} slots ({earlier:,} answered "
        f"before), {platform.machine()}, {os.cpu_count()} cores: {len(waits)} votes; "
        f"committed and acknowledged p50 {quantile(waits, 0.5):.0f} ms, "
        f"p95 {quantile(waits, 0.95):.0f} ms, max {max(waits):.0f} ms; "
        f"first page max {max(person.first_ms for person in people):.0f} ms; "
        f"lost {len(acked - stored)}, surplus {sum(not counts for _, _, counts in rows)}, "
        f"doubled {len(rows) - len({slot for _, slot, _ in rows})}; "
        f"server CPU {cpu / took:.0%} of a core, {server.memory_info().rss / 2**20:.0f} MB"
    )


if __name__ == "__main__":
    main()
