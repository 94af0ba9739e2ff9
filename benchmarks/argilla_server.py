"""Argilla's own server as `workbench argilla up` runs it, beside this project's own review page.

    python benchmarks/argilla_server.py                            every part: half an hour
    python benchmarks/argilla_server.py --part start log-2000      only these, each with its server
    python benchmarks/argilla_server.py --list                     the names of the parts

Records are logged over HTTP as `push` does (500 at a time, 2 kB, no metadata properties); for
labelling (no metadata properties either) and searching (two) they are written past the server.
Annotators fetch ten pending records as the page does and answer them one by one, ten answers a
second in all. CPU is the server's own; a busy machine raises it too.
"""

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from workbench.annotate.server import environment, process
from workbench.annotate.server.account import owner_key

sys.path[:0] = [str(Path(__file__).parents[1] / "tests")]

from argilla_world import Caller, Row, World, fill, sqlite_url  # noqa: E402 - only after the path

SIZES = (2_000, 50_000, 100_000)
FIELDS = (("prompt", "chat"), ("a", "text"), ("b", "text"))
METADATA = (("topic", "terms", True), ("size", "integer", True))
ANSWERS_PER_S = 10
REVIEW = Path(__file__).with_name("review_load.py")


def _pending(entity: str) -> dict[str, Any]:
    scope = {"entity": entity, "property": "status"}
    return {"type": "terms", "scope": scope, "values": ["pending"]}


PENDING = [_pending("response"), _pending("record")]


class Words:
    """Texts of about 1 kB, of words as unevenly common as a language's."""

    def __init__(self) -> None:
        rng = random.Random(1)
        letters = "abcdefghijklmnopqrstuvwxyz"
        self.words = ["".join(rng.choices(letters, k=rng.randint(3, 9))) for _ in range(5_000)]
        weights = [1 / (rank + 1) for rank in range(len(self.words))]
        self._texts = [" ".join(rng.choices(self.words, weights, k=160)) for _ in range(3_000)]
        self._rng = rng

    def fields(self) -> dict[str, Any]:
        """The fields of one record."""
        a, b = self._rng.choices(self._texts, k=2)
        return {
            "prompt": [{"role": "user", "content": self._rng.choice(a.split())}],
            "a": a,
            "b": b,
        }

    def rows(self, n_records: int, *, with_metadata: bool) -> list[Row]:
        """Records to be written past the server."""
        return [
            Row(
                uuid.UUID(int=self._rng.getrandbits(128), version=4),
                self.fields(),
                self._metadata() if with_metadata else None,
                number=number,
            )
            for number in range(n_records)
        ]

    def _metadata(self) -> dict[str, Any]:
        return {"topic": self._rng.choice(["code", "math"]), "size": self._rng.randrange(1000)}


class Meter:
    """A server's CPU and one's own waits."""

    def __init__(self, pid: int) -> None:
        self.server = psutil.Process(pid)
        self.start_s, self._before = time.perf_counter(), self._cpu()

    def _cpu(self) -> float:
        used = self.server.cpu_times()
        return float(used.user + used.system)

    def cpu_s(self) -> float:
        """The server's CPU seconds since this meter was made."""
        return self._cpu() - self._before

    def wall_s(self) -> float:
        """Seconds since this meter was made."""
        return time.perf_counter() - self.start_s

    def memory_mb(self) -> float:
        """Memory of the server's own, without the database file that it maps."""
        return float(self.server.memory_full_info().uss / 2**20)


def quantile(values: list[float], share: float) -> float:
    """The value below which this share of the values lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def both(values: list[float]) -> str:
    """Median and 95th percentile."""
    return f"{quantile(values, 0.5):.0f} / {quantile(values, 0.95):.0f}"


@contextmanager
def server() -> Iterator[tuple[World, int]]:
    """A server on a new folder."""
    with tempfile.TemporaryDirectory(prefix="argilla-bench-") as name:
        folder = Path(name)
        found = process.up(folder, port=0).server
        world = World(found.url, owner_key(folder), sqlite_url(folder))
        try:
            yield world, found.pid
        finally:
            world.close()
            process.down(folder)


def start() -> None:
    """The first start makes the schema; the others are those of every day."""
    with tempfile.TemporaryDirectory(prefix="argilla-bench-") as name:
        for kind in ("first", "later", "later", "later"):
            begun = time.perf_counter()
            found = process.up(Path(name), port=0).server
            seconds = time.perf_counter() - begun
            meter = psutil.Process(found.pid)
            used, memory = meter.cpu_times(), meter.memory_full_info().uss / 2**20
            cpu_s = used.user + used.system
            print(f"{kind} start: {seconds:.1f} s, {cpu_s:.1f} CPU s, {memory:.0f} MB")
            process.down(Path(name))


def log(n_records: int) -> None:
    """Log records as the client does."""
    words = Words()
    with server() as (world, pid):
        dataset, owner = world.dataset(fields=FIELDS), world.owner()
        batches = [
            [{"fields": words.fields(), "external_id": f"p-{first + k}"} for k in range(500)]
            for first in range(0, n_records, 500)
        ]
        meter = Meter(pid)
        for items in batches:
            status, said = owner.ask("PUT", f"/datasets/{dataset}/records/bulk", {"items": items})
            assert status in (200, 201), said
        print(
            f"log {n_records:,}: {n_records / meter.wall_s():.0f}/s; by the server's CPU "
            f"{n_records / meter.cpu_s():.0f}/s; {meter.memory_mb():.0f} MB"
        )


def label(n_records: int) -> None:
    """One annotator, then ten; each row with the review page's figures of the same minute."""
    with server() as (world, pid):
        dataset = world.dataset(fields=FIELDS)  # as `push` makes it
        fill(world.database, dataset, Words().rows(n_records, with_metadata=False))
        world.annotators(1)[0][1].post(_search_path(dataset), {"filters": {"and": PENDING}})
        for n_people, n_pages in ((1, 25), (10, 3)):
            load = os.getloadavg()[0]
            meter = Meter(pid)
            nexts, submits = _work(world, dataset, n_people, n_pages)
            cpu_ms = 1000 * meter.cpu_s() / len(submits)
            ours = _review_page(n_records, n_people)
            print(
                f"| {n_records:,} | {n_people} | {both(nexts)} | {both(submits)} | {cpu_ms:.0f} "
                f"| {ours} | {meter.memory_mb():.0f} | {load:.1f} |",
                flush=True,
            )


def _search_path(dataset: str) -> str:
    included = "include=responses&include=suggestions"
    return f"/me/datasets/{dataset}/records/search?{included}&offset=0&limit=10"


def _work(world: World, dataset: str, n_people: int, n_pages: int) -> tuple[list[float], ...]:
    nexts: list[float] = []
    submits: list[float] = []

    def timed(waits: list[float], caller: Caller, path: str, body: Any) -> Any:
        begun = time.perf_counter()
        found = caller.post(path, body)
        waits.append(1000 * (time.perf_counter() - begun))
        return found

    def work(caller: Caller, late_s: float) -> None:
        time.sleep(late_s)
        for _ in range(n_pages):
            asked = {"filters": {"and": PENDING}}
            for item in timed(nexts, caller, _search_path(dataset), asked)["items"]:
                answer = {"status": "submitted", "values": {"choice": {"value": "A"}}}
                timed(submits, caller, f"/records/{item['record']['id']}/responses", answer)
                time.sleep(n_people / ANSWERS_PER_S)

    people = world.annotators(n_people)
    threads = [
        threading.Thread(target=work, args=(caller, number / ANSWERS_PER_S))
        for number, (_, caller) in enumerate(people)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(submits) == 10 * n_people * n_pages, "somebody failed"
    return nexts, submits


def _review_page(n_items: int, n_people: int) -> str:
    """A vote on this project's own page: committed, and the next pair there; p50 / p95."""
    asked = ["--people", str(n_people), "--hz", str(ANSWERS_PER_S / n_people), "--votes"]
    command = [sys.executable, str(REVIEW), *asked, str(200 // n_people), "--items", str(n_items)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"p50 (\d+) ms, p95 (\d+) ms", said)
    assert found, said
    return f"{found.group(1)} / {found.group(2)}"


def search(n_records: int) -> None:
    """What else the page asks of a large dataset."""
    words = Words()
    with server() as (world, pid):
        dataset = world.dataset(fields=FIELDS, metadata=METADATA)
        fill(world.database, dataset, words.rows(n_records, with_metadata=True))
        (_, who) = world.annotators(1)[0]
        path = _search_path(dataset)

        def ask(text: str = "", more: tuple[Any, ...] = (), **body: Any) -> Callable[[], Any]:
            asked = {"filters": {"and": [*PENDING, *more]}, **body}
            if text:
                asked["query"] = {"text": {"q": text}}
            return lambda: who.post(path, asked)

        topic, size = ({"entity": "metadata", "metadata_property": row[0]} for row in METADATA)
        code = {"type": "terms", "scope": topic, "values": ["code"]}
        small = {"type": "range", "scope": size, "ge": 10, "le": 20}
        questions = {
            "progress": lambda: who.get(f"/datasets/{dataset}/progress"),
            "own metrics": lambda: who.get(f"/me/datasets/{dataset}/metrics"),
            "a rare word": ask(words.words[4000]),
            "a word in every record": ask(words.words[0]),
            "metadata term, half of the records": ask(more=(code,)),
            "metadata range, one in a hundred": ask(more=(small,)),
            "sorted by metadata": ask(sort=[{"scope": size, "order": "asc"}]),
        }
        ask()()  # the first question of all counts the records
        for name, question in questions.items():
            waits, meter = [], Meter(pid)
            for _ in range(7):
                begun = time.perf_counter()
                question()
                waits.append(1000 * (time.perf_counter() - begun))
            cpu_ms = 1000 * meter.cpu_s() / len(waits)
            load = os.getloadavg()[0]
            print(f"| {n_records:,} | {name} | {both(waits)} | {cpu_ms:.0f} | {load:.1f} |")


def parts() -> dict[str, Callable[[], None]]:
    """What can be measured by itself."""
    return {
        "start": start,
        **{f"log-{n}": partial(log, n) for n in SIZES[:2]},
        **{f"label-{n}": partial(label, n) for n in SIZES},
        f"search-{SIZES[2]}": partial(search, SIZES[2]),
    }


def main() -> None:
    """Measure the parts that were asked for."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--part", nargs="*", choices=[*parts()], default=[*parts()])
    arguments.add_argument("--list", action="store_true", help="name the parts")
    given = arguments.parse_args()
    if given.list:
        print("\n".join(parts()))
        return
    environment.ensure(lambda n_done, n_all: None)
    for name in given.part:
        print(f"{name}, load {os.getloadavg()[0]:.1f}", flush=True)
        parts()[name]()


if __name__ == "__main__":
    main()
