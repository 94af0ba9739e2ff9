"""Reading the store: narrow columns, random access, hashes."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines import intake
from pipelines.agreement.annotations import Annotations
from pipelines.config import RunConfig
from pipelines.errors import BadInput
from pipelines.formats.reading import read_pairs
from pipelines.importing import import_file
from pipelines.preferences.annotations import AnnotationsBuilder
from pipelines.records import PreferencePair
from pipelines.store import PairStore


def rows(n: int, start: int = 0) -> list[dict[str, Any]]:
    """Pairs with a varying number of verdicts and labels, some with none."""
    found = []
    for k in range(start, start + n):
        ai = [{"judge": f"j{m}", "order": "ab", "p_a": (k % 11) / 10} for m in range(k % 3)]
        human = [{"annotator": f"ann{m}", "label": "tie"} for m in range(k % 2)]
        pair = {
            "id": f"p{k}",
            "prompt": f"q{k % 7}",
            "response_a": "x" * (k % 5),
            "response_b": f"b{k}",
        }
        more = {
            "subset": None if k % 4 == 0 else f"s{k % 4}",
            "meta": {"tags": [k]} if k % 3 else {},
        }
        found.append({**pair, **more, "ai": ai, "human": human})
    return found


def imported(folder: Path, *files: list[dict[str, Any]]) -> PairStore:
    store = PairStore(folder / "project")
    for number, file in enumerate(files):
        path = folder / f"{number}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in file))
        import_file(store, path, RunConfig())
    return store


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several row groups a part, and several parts a file."""
    monkeypatch.setattr(intake, "GROUP_ROWS", 8)
    monkeypatch.setattr(intake, "PART_ROWS", 24)


def assert_equal(one: Annotations, other: Annotations) -> None:
    for field in dataclasses.fields(Annotations):
        left, right = getattr(one, field.name), getattr(other, field.name)
        np.testing.assert_array_equal(left, right, err_msg=field.name)


@pytest.mark.usefixtures("small_groups")
def test_the_arrays_are_those_of_the_records(tmp_path):
    store = imported(tmp_path, rows(50), rows(30, start=50))
    builder = AnnotationsBuilder()
    for pair in store.iter_pairs():
        builder.add(pair)
    assert_equal(store.annotations(), builder.build())
    assert len(store.manifest().parts) == 5


@pytest.mark.usefixtures("small_groups")
def test_any_rows_come_in_the_order_asked_for(tmp_path):
    store = imported(tmp_path, rows(50), rows(30, start=50))
    everything = list(store.iter_pairs())
    wanted = [79, 0, 33, 33, 7, 8, 50]
    assert store.pairs(wanted) == [everything[row] for row in wanted]
    assert store.pairs([]) == []
    with pytest.raises(IndexError, match="0 to 79"):
        store.pairs([80])


@pytest.mark.usefixtures("small_groups")
def test_ids_and_rows_are_inverse(tmp_path):
    store = imported(tmp_path, rows(50))
    assert store.pair_ids() == [f"p{k}" for k in range(50)]
    assert store.rows_of(["p7", "nobody", "p49"]).tolist() == [7, -1, 49]


def test_features_are_columns_about_the_pairs(tmp_path):
    store = imported(tmp_path, rows(12))
    features = store.features()
    assert features["chars_a"].tolist() == [k % 5 for k in range(12)]
    assert features["empty"].tolist() == [k % 5 == 0 for k in range(12)]
    assert features["subset"].tolist() == [None if k % 4 == 0 else f"s{k % 4}" for k in range(12)]
    assert features["model_a"].tolist() == [None] * 12
    assert features["turns"].tolist() == [1] * 12
    assert {name: len(column) for name, column in features.items()} == dict.fromkeys(features, 12)


def test_meta_is_read_by_key(tmp_path):
    store = imported(tmp_path, rows(7))
    assert store.meta_values("tags").tolist() == [None, [1], [2], None, [4], [5], None]
    assert store.meta_values("tag").tolist() == [None] * 7


def test_the_content_hash_changes_with_any_label_and_with_nothing_else(tmp_path):
    for name in "abcd":
        (tmp_path / name).mkdir()
    whole = imported(tmp_path / "a", rows(20))
    halves = imported(tmp_path / "b", rows(12), rows(8, start=12))
    changed = rows(20)
    changed[13]["human"][0]["label"] = "A"
    assert whole.content_hash() == halves.content_hash()
    assert whole.content_hash() != imported(tmp_path / "c", changed).content_hash()
    assert whole.content_hash() != imported(tmp_path / "d", rows(20)[::-1]).content_hash()


def test_an_empty_project_has_empty_arrays(tmp_path):
    store = PairStore(tmp_path)
    assert (len(store), store.pair_ids(), list(store.iter_pairs())) == (0, [], [])
    annotations = store.annotations()
    assert (annotations.n_pairs, annotations.judges, len(annotations.label_pair)) == (0, (), 0)
    assert store.rows_of(["x"]).tolist() == [-1]
    assert len(store.features()["subset"]) == 0
    assert store.content_hash() == PairStore(tmp_path / "other").content_hash()


def test_a_damaged_manifest_is_one_sentence(tmp_path):
    store = imported(tmp_path, rows(3))
    store.manifest_path.write_text("{")
    with pytest.raises(BadInput, match=r"manifest\.json: damaged"):
        len(store)


def test_real_files_give_the_arrays_that_a_stream_gives(tmp_path, shared_data):
    store, builder = PairStore(tmp_path), AnnotationsBuilder()
    for name in ("pandalm", "llmbar-natural-small", "tulu-human-eval"):
        path = shared_data / f"{name}.jsonl"
        import_file(store, path, RunConfig())
        for row in read_pairs(path):
            assert isinstance(row, PreferencePair)
            builder.add(row)
    assert_equal(store.annotations(), builder.build())
