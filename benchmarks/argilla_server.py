"""Argilla's own server as `workbench argilla up` runs it: start, memory, logging, next, submit.

    python benchmarks/argilla_server.py                       2,000, 50,000 and 100,000 records
    python benchmarks/argilla_server.py --sizes 2000 --log 2000

Records are logged over HTTP as `push` does (500 at a time, no metadata properties); for the large
sizes they are written past the server. Annotators fetch ten pending records as the page does, and
answer them one by one. CPU is the server's own, so it says what an idle machine would give.
"""

import argparse
import os
import platform
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

import psutil

from workbench.annotate.server import environment, process
from workbench.annotate.server.account import owner_key

sys.path[:0] = [str(Path(__file__).parents[1] / "tests")]

from argilla_world import Caller, Row, World, fill, sqlite_url  # noqa: E402 - only after the path

WORDS = "The quick brown fox jumps over the lazy dog and says why. " * 17  # about 1 kB
FIELDS = (("prompt", "chat"), ("a", "text"), ("b", "text"))
CONTENT = {"prompt": [{"role": "user", "content": "Why?"}], "a": WORDS, "b": WORDS}


def _pending(entity: str) -> dict[str, object]:
    scope = {"entity": entity, "property": "status"}
    return {"type": "terms", "scope": scope, "values": ["pending"]}


PENDING = {"filters": {"and": [_pending("response"), _pending("record")]}}


def quantile(values: list[float], share: float) -> float:
    """The value below which this share of the values lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def cpu(server: psutil.Process) -> float:
    """CPU seconds so far."""
    used = server.cpu_times()
    return float(used.user + used.system)


def log(world: World, n_records: int, server: psutil.Process) -> None:
    """Log records as the client does."""
    dataset, owner = world.dataset(fields=FIELDS), world.owner()
    start, before = time.perf_counter(), cpu(server)
    for first in range(0, n_records, 500):
        items = [{"fields": CONTENT, "external_id": f"p-{first + k}"} for k in range(500)]
        status, said = owner.ask("PUT", f"/datasets/{dataset}/records/bulk", {"items": items})
        assert status in (200, 201), said
    seconds, used = time.perf_counter() - start, cpu(server) - before
    print(
        f"| log {n_records:,} records | {n_records / seconds:.0f}/s; "
        f"by CPU {n_records / used:.0f}/s |"
    )


def label(world: World, dataset: str, n_people: int, n_pages: int, pause_s: float) -> str:
    """People label; a row of the table."""
    nexts: list[float] = []
    submits: list[float] = []

    def work(caller: Caller) -> None:
        path = f"/me/datasets/{dataset}/records/search?include=responses&include=suggestions"
        for _ in range(n_pages):
            start = time.perf_counter()
            page = caller.post(f"{path}&offset=0&limit=10", PENDING)
            nexts.append(1000 * (time.perf_counter() - start))
            for item in page["items"]:
                answer = {"status": "submitted", "values": {"choice": {"value": "A"}}}
                start = time.perf_counter()
                caller.post(f"/records/{item['record']['id']}/responses", answer)
                submits.append(1000 * (time.perf_counter() - start))
                time.sleep(pause_s)

    threads = [threading.Thread(target=work, args=[who]) for _, who in world.annotators(n_people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    both = [f"{quantile(v, 0.5):.0f} / {quantile(v, 0.95):.0f}" for v in (nexts, submits)]
    return " | ".join(both)


def main() -> None:
    """Start the server, measure, stop it."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--sizes", type=int, nargs="*", default=[2_000, 50_000, 100_000])
    arguments.add_argument("--log", type=int, nargs="*", default=[2_000, 50_000])
    arguments.add_argument("--pause", type=float, default=1.0, help="seconds between answers")
    given = arguments.parse_args()
    environment.ensure(lambda n_done, n_all: None)
    with tempfile.TemporaryDirectory(prefix="argilla-bench-") as name:
        folder = Path(name)
        process.up(folder, port=0)
        process.down(folder)
        start = time.perf_counter()
        found = process.up(folder, port=0).server
        seconds, server = time.perf_counter() - start, psutil.Process(found.pid)
        world = World(found.url, owner_key(folder), sqlite_url(folder))
        try:
            print(f"load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}\n")
            print("| what | figure |\n|---|---|")
            print(f"| start, once installed | {seconds:.1f} s; {cpu(server):.1f} CPU s |")
            for n_records in given.log:
                log(world, n_records, server)
            print("\n| records | annotators | next page p50 / p95, ms | submit p50 / p95, ms |")
            print("|---:|---:|---|---|")
            for n_records in given.sizes:
                dataset = world.dataset(fields=FIELDS)
                rows = [Row(uuid.uuid4(), CONTENT, number=k) for k in range(n_records)]
                fill(world.database, dataset, rows)
                for n_people, n_pages in ((1, 6), (10, 2)):
                    row = label(world, dataset, n_people, n_pages, given.pause)
                    print(f"| {n_records:,} | {n_people} | {row} |", flush=True)
            print(
                f"\nmemory {server.memory_info().rss / 2**20:.0f} MB, load {os.getloadavg()[0]:.1f}"
            )
        finally:
            world.close()
            process.down(folder)


if __name__ == "__main__":
    main()
