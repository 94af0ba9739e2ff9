"""The judgments of a project's own judges in the store: replaced in one step, read everywhere."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipelines import intake
from pipelines.config import RunConfig
from pipelines.errors import BadInput
from pipelines.importing import import_file
from pipelines.records import Judgment
from pipelines.store import PairStore


def imported(folder: Path, n_pairs: int, start: int = 0) -> PairStore:
    store = PairStore(folder / "project")
    path = folder / f"{start}.jsonl"
    pairs = [
        {
            "id": f"p{k}",
            "prompt": f"q{k}",
            "response_a": f"a{k}",
            "response_b": f"b{k}",
            "ai": [{"judge": "theirs", "order": "ab", "label": "A"}] * (k % 2),
        }
        for k in range(start, start + n_pairs)
    ]
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    import_file(store, path, RunConfig())
    return store


def judgments(name: str, keys: range) -> list[tuple[str, Judgment]]:
    """Both orders, some failures, some pairs without any."""
    found = []
    for k in keys:
        if k % 5 == 0:
            continue
        found.append((f"p{k}", Judgment(judge=name, order="ab", p_a=(k % 11) / 10, raw="said")))
        failure = Judgment(judge=name, order="ba", failure="unparsed", raw="?")
        found.append((f"p{k}", failure if k % 3 else Judgment(judge=name, order="ba", label="B")))
    return found


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "GROUP_ROWS", 8)
    monkeypatch.setattr(intake, "PART_ROWS", 24)


def test_what_is_put_is_read_with_the_pairs_and_as_arrays(tmp_path):
    store = imported(tmp_path, 50)
    mine = judgments("mine", range(50))
    shuffled = random.Random(1).sample(mine, len(mine))
    assert store.put_judgments("mine", shuffled) == len(mine)
    read = [
        (pair.id, judgment)
        for pair in store.iter_pairs()
        for judgment in pair.ai
        if judgment.judge == "mine"
    ]
    assert sorted(read, key=str) == sorted(mine, key=str)
    some = store.pairs([49, 3, 0])
    assert [len(pair.ai) for pair in some] == [3, 3, 0]
    annotations = store.annotations()
    assert annotations.judges == ("theirs", "mine")
    code = annotations.verdict_judge == 1
    assert int(code.sum()) == len(mine)
    assert int((annotations.verdict_failure[code] >= 0).sum()) == sum(
        judgment.failure is not None for _, judgment in mine
    )
    assert store.manifest().n_verdicts == len(annotations.verdict_pair)


def test_a_judge_is_replaced_whole_and_the_others_stay(tmp_path):
    store = imported(tmp_path, 30)
    empty = store.content_hash()
    store.put_judgments("mine", judgments("mine", range(30)))
    store.put_judgments("other", judgments("other", range(10)))
    first = store.content_hash()
    store.put_judgments("mine", judgments("mine", range(5)))
    assert store.content_hash() != first != empty
    names = [judgment.judge for pair in store.iter_pairs() for judgment in pair.ai]
    assert (names.count("mine"), names.count("other"), names.count("theirs")) == (8, 16, 15)
    store.put_judgments("mine", judgments("mine", range(30)))
    assert store.content_hash() == first  # a function of what is in it, not of how it got there
    store.put_judgments("mine", [])
    assert not any(j.judge == "mine" for pair in store.iter_pairs() for j in pair.ai)


def test_pairs_that_come_later_have_no_verdicts_until_they_are_judged(tmp_path):
    imported(tmp_path, 30)
    store = imported(tmp_path, 20, start=30)
    store = imported(tmp_path, 30)
    store.put_judgments("mine", judgments("mine", range(30)))
    later = imported(tmp_path, 20, start=100)
    assert [len(pair.ai) for pair in later.pairs([1, 50, 51])] == [3, 0, 1]
    assert len(later.annotations().verdict_pair) == later.manifest().n_verdicts


def test_a_put_that_fails_leaves_the_store_as_it_was(tmp_path):
    store = imported(tmp_path, 30)
    store.put_judgments("mine", judgments("mine", range(30)))
    before = store.content_hash()

    def broken() -> Iterator[tuple[int, Judgment]]:
        yield 0, Judgment(judge="mine", order="ab", label="A")
        raise RuntimeError("cut off")

    with pytest.raises(RuntimeError, match="cut off"):
        store.put_judgments_by_row("mine", broken())
    with pytest.raises(BadInput, match='no pair of this project has the id "nobody"'):
        store.put_judgments("mine", [("nobody", Judgment(judge="mine", label="A"))])
    verdict = Judgment(judge="mine", label="A")
    with pytest.raises(ValueError, match="row order, not 3 after 4"):
        store.put_judgments_by_row("mine", [(4, verdict), (3, verdict)])
    with pytest.raises(IndexError):
        store.put_judgments_by_row("mine", [(4, verdict), (30, verdict)])
    assert store.content_hash() == before
    (file,) = store.judged_folder.glob("*.parquet")
    assert file.name == store.manifest().judged[0].file


def test_by_row_and_by_id_are_the_same(tmp_path):
    store = imported(tmp_path, 60)
    mine = judgments("mine", range(60))
    store.put_judgments("mine", mine)
    by_id = store.content_hash()
    store.put_judgments_by_row("mine", ((int(key[1:]), judgment) for key, judgment in mine))
    assert store.content_hash() == by_id


def test_a_judge_with_the_name_of_an_imported_one_is_refused(tmp_path):
    store = imported(tmp_path, 10)
    with pytest.raises(BadInput, match='already hold verdicts of a judge "theirs"'):
        store.put_judgments("theirs", judgments("theirs", range(10)))


def test_long_and_broken_texts_are_bounded_and_cleaned(tmp_path):
    store = imported(tmp_path, 3)
    said = Judgment(judge="mine", label="A", raw="x" * 100_000, rationale="bad \ud83d half")
    store.put_judgments("mine", [("p0", said)])
    (kept,) = store.pairs([0])[0].ai
    assert kept.raw is not None
    assert len(kept.raw) == 20_000
    assert kept.rationale == "bad ? half"


def test_a_reader_that_opened_before_a_put_can_finish(tmp_path):
    store = imported(tmp_path, 30)
    store.put_judgments("mine", judgments("mine", range(30)))
    reading = store.iter_pairs()
    next(reading)
    store.put_judgments("mine", judgments("mine", range(5)))
    assert sum(1 for _ in reading) == 29


def test_texts_of_some_pairs_come_without_verdicts(tmp_path):
    store = imported(tmp_path, 30)
    wanted = np.zeros(30, dtype=np.bool_)
    wanted[[3, 17, 29]] = True
    found = list(store.iter_texts(wanted))
    assert [(row, pair.id, pair.ai) for row, pair in found] == [
        (row, f"p{row}", ()) for row in (3, 17, 29)
    ]
    assert len(set(store.text_hashes().tolist())) == 30
