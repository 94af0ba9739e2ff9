"""Few connections and few trips to them: the same answers, and enough for many people at once."""

import json
import os
import subprocess
import threading
import uuid
from pathlib import Path
from typing import Any

import argilla_world
from argilla_world import Row, World, fill

from workbench.annotate.server import environment

SCRIPT = Path(argilla_world.__file__).with_name("argilla_trips.py")


def test_a_statement_is_one_trip_and_says_the_same(
    argilla_environment: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [str(argilla_environment), "-W", "error", str(SCRIPT), str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(environment.GUEST)},
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    (ours, n_ours), (stock, n_stock) = found["ours"], found["stock"]
    assert ours == stock
    assert stock[:4] == [1, [], 3, ["x", "y", "z"]]
    assert stock[4][0] == "IntegrityError"
    assert stock[-1] == ["OperationalError", True]
    assert (n_ours, n_stock) == (10, 50)


def test_more_people_at_once_than_there_are_connections(argilla: World) -> None:
    """Argilla's pool has fifteen; a request that took two of them waited for others' for ever."""
    dataset = argilla.dataset()
    fill(argilla.database, dataset, [Row(uuid.uuid4(), {"a": "x"}) for _ in range(30)])
    (_, known) = argilla.annotators(1)[0]
    callers = [argilla.caller(known.headers) for _ in range(24)]
    together, found = threading.Barrier(len(callers)), []
    scope = {"entity": "response", "property": "status"}
    asked = {"filters": {"and": [{"type": "terms", "scope": scope, "values": ["pending"]}]}}

    def work(caller: argilla_world.Caller) -> None:
        together.wait()
        answer: Any = caller.post(f"/me/datasets/{dataset}/records/search?limit=10", asked)
        found.append(len(answer["items"]))

    threads = [threading.Thread(target=work, args=[caller]) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [10] * len(callers)
