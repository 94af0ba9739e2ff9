"""A file into the store: counted, all or nothing, once."""

import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines.config import RunConfig
from pipelines.errors import BadInput
from pipelines.formats.options import ReadOptions
from pipelines.formats.reading import read_pairs
from pipelines.importing import ImportSummary, import_file
from pipelines.records import PreferencePair
from pipelines.store import PairStore

PAIR: dict[str, Any] = {"prompt": "Why?", "response_a": "So.", "response_b": "No."}


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    )
    return path


def take(store: PairStore, path: Path, **options: Any) -> ImportSummary:
    return import_file(store, path, RunConfig(), **options)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


@pytest.fixture
def store(tmp_path: Path) -> PairStore:
    return PairStore(tmp_path / "project")


def test_what_comes_out_is_what_went_in(store, shared_data):
    expected: list[PreferencePair] = []
    for name in ("pandalm", "llmbar-natural-small", "tulu-human-eval"):
        path = shared_data / f"{name}.jsonl"
        expected += [row for row in read_pairs(path) if isinstance(row, PreferencePair)]
        take(store, path)
    assert list(store.iter_pairs()) == expected


def test_every_row_is_accounted_for(store, tmp_path):
    rows = [
        PAIR,
        PAIR,
        "{broken",
        {**PAIR, "response_b": "So."},
        {**PAIR, "response_b": " "},
        {
            **PAIR,
            "prompt": "Who?",
            "ai": [{"judge": "j", "label": "A"}, {"judge": "j", "failure": "refused"}],
        },
        {
            **PAIR,
            "prompt": "Who?",
            "response_a": "I",
            "human": [{"annotator": "ana", "label": "tie"}],
        },
        {**PAIR, "colour": "red"},
        "{broken",
    ]
    summary = take(store, write(tmp_path / "pairs.jsonl", rows))
    counts = summary.counts
    assert (counts.taken, counts.rejected) == (6, {"broken JSON": 2, "unknown key": 1})
    assert (counts.duplicate, counts.identical, counts.empty) == (1, 1, 1)
    assert (counts.verdicts, counts.labels) == ({"A": 1, "failed": 1}, {"tie": 1})
    assert summary.n_pairs == len(store) == 6
    assert summary.rejects_path is not None
    rejects = [json.loads(line) for line in summary.rejects_path.read_text().splitlines()]
    assert [(bad["line"], bad["reason"]) for bad in rejects] == [
        (3, "broken JSON"),
        (8, "unknown key"),
        (9, "broken JSON"),
    ]
    assert "colour" in rejects[1]["detail"]


def test_the_manifest_says_what_was_done(store, tmp_path):
    path = write(tmp_path / "pairs.jsonl", [PAIR, "{broken"])
    take(store, path, options=ReadOptions(labels_are="human"))
    (run,) = store.manifest().imports
    assert (run.file, run.format, run.n_bytes) == ("pairs.jsonl", "pairs", path.stat().st_size)
    assert len(run.sha256 or "") == 64
    assert run.options == {"labels_are": "human", "scores": "all"}
    assert run.config["audit"]["share"] == 0.10
    assert run.counts.taken == 1
    assert run.rejects == "rejects/00000-pairs.jsonl.rejects.jsonl"
    assert run.version


def test_a_file_imported_twice_changes_nothing_and_says_so(store, tmp_path):
    path = write(tmp_path / "pairs.jsonl", [PAIR, PAIR, {**PAIR, "id": "x", "prompt": "Who?"}, "{"])
    take(store, path)
    before = snapshot(store.folder)
    assert take(store, path).earlier
    assert snapshot(store.folder) == before
    # Other bytes, the same rows: every row is looked at and known.
    copy = write(
        tmp_path / "copy.jsonl",
        [PAIR, dict(reversed(PAIR.items())), {**PAIR, "id": "x", "prompt": "Who?"}],
    )
    again = take(store, copy)
    assert (again.counts.taken, again.counts.known, again.committed) == (0, 3, False)
    assert snapshot(store.folder) == before


def test_a_grown_file_adds_only_its_new_rows(store, tmp_path):
    path = write(tmp_path / "pairs.jsonl", [PAIR, PAIR])
    take(store, path)
    write(path, [PAIR, PAIR, PAIR, {**PAIR, "prompt": "Who?"}])
    summary = take(store, path)
    assert (summary.counts.known, summary.counts.taken, summary.counts.duplicate) == (2, 2, 1)
    ids = store.pair_ids()
    assert len(set(ids)) == 4
    assert ids[2] == f"{ids[0]}-3"


def test_an_id_that_the_project_has_with_other_content_is_refused(store, tmp_path):
    take(store, write(tmp_path / "a.jsonl", [{**PAIR, "id": "x"}]))
    summary = take(
        store, write(tmp_path / "b.jsonl", [{**PAIR, "id": "x", "prompt": "Who?"}, PAIR])
    )
    assert summary.counts.rejected == {"duplicate id": 1}
    assert (summary.counts.taken, summary.counts.duplicate) == (1, 1)


def test_strict_refuses_the_whole_file_for_one_bad_row(store, tmp_path):
    path = write(tmp_path / "pairs.jsonl", [PAIR, "{broken", {**PAIR, "colour": 1}])
    with pytest.raises(BadInput, match=r"pairs\.jsonl:2: .*2 rows are bad.*--strict"):
        take(store, path, strict=True)
    assert len(store) == 0
    assert list(store.parts_folder.iterdir()) == []
    (rejects,) = (store.folder / "rejects").iterdir()
    assert len(rejects.read_text().splitlines()) == 2
    assert take(store, write(path, [PAIR]), strict=True).committed


def test_a_dry_run_counts_and_keeps_nothing(store, tmp_path):
    path = write(tmp_path / "pairs.jsonl", [PAIR, "{broken"])
    summary = take(store, path, dry_run=True)
    assert (summary.counts.taken, summary.committed, summary.n_pairs) == (1, False, 0)
    assert [bad.line for bad in summary.first_rejects] == [2]
    assert snapshot(store.folder) == {}


def test_a_damaged_file_leaves_no_trace(store, tmp_path):
    take(store, write(tmp_path / "good.jsonl", [PAIR]))
    before = snapshot(store.folder)
    bad = tmp_path / "bad.csv"
    bad.write_text("model_a,model_b,winner\nx,y,a\n" * 3 + 'x,"y\n')
    with pytest.raises(BadInput, match="quoting"):
        take(store, bad)
    assert snapshot(store.folder) == before


def test_two_imports_at_once_are_not_possible(store, tmp_path):
    path = write(tmp_path / "pairs.jsonl", [PAIR])
    store.folder.mkdir(parents=True)
    with (store.folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711")
        lock.flush()
        with pytest.raises(BadInput, match="process 4711"):
            take(store, path)
    assert take(store, path).committed


KILLED = """
import os, signal, sys
from pathlib import Path
from pipelines.config import RunConfig
from pipelines.importing import import_file
from pipelines.store import PairStore

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

class Doomed(PairStore):
    commit = die

where, project, path = sys.argv[1:]
store = Doomed(Path(project)) if where == "commit" else PairStore(Path(project))
after = 0 if where == "commit" else int(where)
on_bytes = lambda n: die() if after and n >= after else None
import_file(store, Path(path), RunConfig(), on_bytes=on_bytes)
"""


@pytest.mark.parametrize("where", ["1", "600000", "commit"])
def test_a_killed_import_leaves_the_store_as_it_was(store, tmp_path, where):
    take(store, write(tmp_path / "first.jsonl", [{**PAIR, "id": "first"}]))
    before = store.manifest(), store.content_hash()
    rows = [
        {**PAIR, "prompt": f"{n} " * 40, "ai": [{"judge": "j", "label": "A"}]} for n in range(3000)
    ]
    path = write(tmp_path / "second.jsonl", [*rows, "{broken"])
    command = [sys.executable, "-c", KILLED, where, str(store.folder.parents[1]), str(path)]
    killed = subprocess.run(command, env=os.environ, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (store.manifest(), store.content_hash()) == before
    assert [pair.id for pair in store.iter_pairs()] == ["first"]
    summary = take(store, path)
    assert (summary.counts.taken, summary.n_pairs) == (3000, 3001)
    files = {path.name for path in store.parts_folder.iterdir()}
    assert files == {
        f"{table}-{part:05d}.parquet"
        for table in ("pairs", "verdicts", "labels")
        for part in (0, 1)
    }
    assert len(list((store.folder / "rejects").iterdir())) == 1


def test_a_row_that_repeats_its_id_and_content_is_taken_once_and_is_no_bad_row(store, tmp_path):
    row = {**PAIR, "id": "x"}
    summary = take(store, write(tmp_path / "pairs.jsonl", [row, row, row]), strict=True)
    assert (summary.counts.taken, summary.counts.repeated) == (1, 2)
    assert summary.counts.rejected == {}


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "project").write_text("a file, not a folder")
    with pytest.raises(BadInput, match="cannot be written"):
        take(PairStore(tmp_path / "project"), write(tmp_path / "pairs.jsonl", [PAIR]))
