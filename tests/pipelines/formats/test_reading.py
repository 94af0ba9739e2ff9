"""Any file as a stream of pairs: containers, detection, bad rows, ids."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import BadInput
from pipelines.formats.reading import Reject, file_format, read_pairs
from pipelines.records import PreferencePair

PAIR: dict[str, Any] = {"prompt": "Why?", "response_a": "So.", "response_b": "No."}
JUDGED = {
    **PAIR,
    "id": "p-1",
    "model_a": "m",
    "ai": [{"judge": "j", "order": "ba", "label": "B", "p_a": 0.25, "rationale": "…"}],
    "human": [{"annotator": "ana", "label": "tie", "seconds": 3.5}],
    "meta": {"tags": ["x"], "n": 1},
}


def write(path: Path, rows: list[Any], end: str = "\n") -> Path:
    texts = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_bytes("".join(text + end for text in texts).encode())
    return path


def pairs_in(path: Path, format: str | None = None) -> list[PreferencePair]:
    rows = list(read_pairs(path, format))
    assert not [row for row in rows if isinstance(row, Reject)]
    return [row for row in rows if isinstance(row, PreferencePair)]


def rejects_in(path: Path, format: str | None = None) -> list[Reject]:
    return [row for row in read_pairs(path, format) if isinstance(row, Reject)]


def test_every_container_gives_the_same_pairs(tmp_path):
    rows = [JUDGED, {**PAIR, "id": "p-2", "prompt": [{"role": "user", "content": 'a [ " { b'}]}]
    lines = write(tmp_path / "a.jsonl", rows)
    expected = pairs_in(lines)
    assert [pair.id for pair in expected] == ["p-1", "p-2"]
    array = tmp_path / "a.json"
    array.write_text(json.dumps(rows, indent=2))
    zipped = tmp_path / "a.jsonl.gz"
    zipped.write_bytes(gzip.compress(lines.read_bytes()))
    zipped_array = tmp_path / "b.json.gz"
    zipped_array.write_bytes(gzip.compress(json.dumps(rows).encode()))
    marked = tmp_path / "bom.jsonl"
    marked.write_bytes(b"\xef\xbb\xbf" + lines.read_bytes().replace(b"\n", b"\r\n"))
    for path in (array, zipped, zipped_array, marked):
        assert pairs_in(path) == expected, path


def test_parquet_gives_the_same_pairs_and_its_nulls_are_absent_keys(tmp_path):
    table = pa.Table.from_pylist([JUDGED, {**PAIR, "id": "p-2"}])
    pq.write_table(table, tmp_path / "a.parquet")
    assert pairs_in(tmp_path / "a.parquet") == pairs_in(
        write(tmp_path / "a.jsonl", [JUDGED, {**PAIR, "id": "p-2"}])
    )


def test_parquet_meta_may_be_a_json_text(tmp_path):
    table = pa.Table.from_pylist([{**PAIR, "meta": '{"n": 1}'}, {**PAIR, "meta": "{"}])
    pq.write_table(table, tmp_path / "a.parquet")
    taken, bad = read_pairs(tmp_path / "a.parquet")
    assert isinstance(taken, PreferencePair)
    assert taken.meta == {"n": 1}
    assert isinstance(bad, Reject)
    assert (bad.line, bad.reason) == (2, "broken JSON")


def test_one_bad_row_never_takes_a_good_one_with_it(tmp_path):
    good = json.dumps(PAIR)
    path = tmp_path / "a.jsonl"
    bad: list[tuple[bytes, str, str]] = [
        (b'{"prompt": "x"', "broken JSON", ""),
        (b"[1]", "not an object", ""),
        (b'{"prompt": "x", "response_a": "\xff", "response_b": ""}', "not UTF-8", ""),
        (b'{"prompt": "\\ud800", "response_a": "", "response_b": ""}', "lone surrogate", ""),
        (b'{"prompt": "x", "response_a": "y"}', "missing key", "response_b"),
        (good[:-1].encode() + b', "respons_a": 1}', "unknown key", '"respons_a"'),
        (
            good[:-1].encode() + b', "ai": [{"judge": "j", "labl": "A"}]}',
            "unknown key",
            "ai[0].labl",
        ),
        (good[:-1].encode() + b', "ai": [{"judge": "j", "label": "C"}]}', "unknown label", "'C'"),
        (good[:-1].encode() + b', "ai": [{"judge": "j", "p_a": 1.5}]}', "out of range", "1.5"),
        (good[:-1].encode() + b', "ai": [{"judge": "j", "p_a": NaN}]}', "NaN or infinity", ""),
        (good[:-1].encode() + b', "ai": [{"judge": "j"}]}', "label and failure", "exactly one"),
        (good[:-1].encode() + b', "meta": {"a": [NaN]}}', "NaN or infinity", ""),
        (good[:-1].encode() + b', "model_a": 3}', "wrong type", "model_a is 3"),
        (b'{"prompt": 3, "response_a": "", "response_b": ""}', "wrong type", "prompt is 3"),
        (
            b'{"prompt": [{"role": "bob", "content": ""}], "response_a": "", "response_b": ""}',
            "unknown value",
            "prompt[0].role is 'bob'",
        ),
    ]
    lines = [good.encode()]
    for raw, _, _ in bad:
        lines += [raw, good.encode()]
    path.write_bytes(b"\n".join(lines))
    rows = list(read_pairs(path))
    assert sum(isinstance(row, PreferencePair) for row in rows) == len(bad) + 1
    rejects = [row for row in rows if isinstance(row, Reject)]
    assert [(row.line, row.reason) for row in rejects] == [
        (2 * place + 2, reason) for place, (_, reason, _) in enumerate(bad)
    ]
    for row, (_, _, detail) in zip(rejects, bad, strict=True):
        assert detail in row.detail


def test_blank_lines_are_no_rows_but_count_as_lines(tmp_path):
    path = write(tmp_path / "a.jsonl", ["", PAIR, "  ", "oops"])
    taken, bad = read_pairs(path)
    assert isinstance(taken, PreferencePair)
    assert isinstance(bad, Reject)
    assert bad.line == 4


def test_in_an_array_bad_elements_are_counted_by_line(tmp_path):
    path = tmp_path / "a.json"
    good = json.dumps(PAIR)
    path.write_text(f'[\n{good},\n17,\n"}}{{",\n{good},\n{{"prompt": oops}},\n{good}')
    rows = list(read_pairs(path, "pairs"))
    assert sum(isinstance(row, PreferencePair) for row in rows) == 3
    assert [(r.line, r.reason) for r in rows if isinstance(r, Reject)] == [
        (3, "not an object"),
        (3, "not an object"),  # its own line is 4; a run of such elements is told by its first
        (6, "broken JSON"),
    ]


def test_long_texts_and_long_talks_are_simply_read(tmp_path):
    long = 'a "quoted" \\ [bracket] {\n' * 250_000  # 6 MB
    talk = [
        {"role": "user" if turn % 2 == 0 else "assistant", "content": f"turn {turn}"}
        for turn in range(39)
    ]
    rows = [{**PAIR, "response_a": long}, {**PAIR, "prompt": talk}]
    array = tmp_path / "a.json"
    array.write_text(json.dumps(rows))
    for path in (array, write(tmp_path / "a.jsonl", rows)):
        first, second = pairs_in(path)
        assert first.response_a == long
        assert len(second.prompt) == 39


def test_a_missing_id_is_a_content_hash_and_repeats_are_numbered(tmp_path):
    path = write(tmp_path / "a.jsonl", [PAIR, PAIR, {**PAIR, "prompt": "Who?"}, PAIR])
    ids = [pair.id for pair in pairs_in(path)]
    base = PreferencePair(**PAIR).text_hash()[:16]
    assert [ids[0], ids[1], ids[3]] == [base, f"{base}-2", f"{base}-3"]
    assert ids[2] is not None
    assert not ids[2].startswith(base)
    assert [pair.id for pair in pairs_in(path)] == ids


def test_one_id_for_two_contents_is_refused_and_so_is_the_same_row_again(tmp_path):
    rows = [{**PAIR, "id": "x"}, {**PAIR, "id": "x", "prompt": "Who?"}, {**PAIR, "id": "x"}]
    bad = rejects_in(write(tmp_path / "a.jsonl", rows))
    assert [(row.line, row.reason) for row in bad] == [(2, "duplicate id"), (3, "repeated row")]


@pytest.mark.parametrize(
    ("row", "format"),
    [
        (PAIR, "pairs"),
        ({"prompt": "p", "chosen": "a", "rejected": "b"}, "trl"),
        (
            {"chosen": "\n\nHuman: p\n\nAssistant: a", "rejected": "\n\nHuman: p\n\nAssistant: b"},
            "hh",
        ),
        ({"instruction": "p", "completions": []}, "ultrafeedback"),
        ({"model_a": "x", "model_b": "y", "winner": "tie"}, "wins"),
    ],
)
def test_the_format_is_told_by_the_keys(tmp_path, row, format):
    assert file_format(write(tmp_path / "a.jsonl", ["broken", row])) == format


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", b"", "empty"),
        ("a.jsonl", b" \n ", "empty"),
        ("a.jsonl", b'{"text": "x"}\n', "text"),
        ("a.jsonl", "{}".encode("utf-16"), "UTF-16"),
        ("a.jsonl.gz", b"\x1f\x8b\x08\x00broken", "gzip"),
        ("a.parquet", b"PAR1broken", "Parquet"),
        ("a.md", b"# Title\n", "no JSON object"),
    ],
)
def test_a_file_that_is_nothing_known_is_one_sentence(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=words):
        list(read_pairs(tmp_path / name))


def test_a_gzip_that_ends_early_is_said_to(tmp_path):
    whole = gzip.compress(
        "".join(json.dumps({**PAIR, "id": str(n)}) + "\n" for n in range(5000)).encode()
    )
    (tmp_path / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match="make the file again"):
        list(read_pairs(tmp_path / "a.jsonl.gz"))


def test_an_unknown_format_name_lists_the_known_ones(tmp_path):
    with pytest.raises(BadInput, match="ultrafeedback"):
        list(read_pairs(write(tmp_path / "a.jsonl", [PAIR]), "csv"))


def test_a_hub_name_that_cannot_be_one_is_refused():
    with pytest.raises(BadInput, match="hf:ORG/NAME"):
        list(read_pairs(Path("hf:nonsense")))


@pytest.mark.parametrize(
    "name", ["pandalm", "llmbar-natural-small", "hh-harmless-test", "tulu-human-eval"]
)
def test_real_files_read_whole(shared_data, name):
    path = shared_data / f"{name}.jsonl"
    assert len(pairs_in(path)) == path.read_bytes().count(b"\n")


def test_pairs_may_come_as_csv_with_empty_cells_and_json_in_a_cell(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "id,prompt,response_a,response_b,model_a,ai\n"
        'p1,Why?,So.,,,"[{""judge"": ""j"", ""label"": ""A""}]"\n'
        "p2,Why?,So.,No.,m,[{]\n"
    )
    good, bad = read_pairs(path)
    assert isinstance(good, PreferencePair)
    assert (good.response_b, good.model_a, good.ai[0].label) == ("", None, "A")
    assert isinstance(bad, Reject)
    assert (bad.line, bad.reason) == (3, "broken JSON")


def test_the_index_column_of_pandas_is_nobodys_data(tmp_path):
    table = pa.Table.from_pylist([{**PAIR, "__index_level_0__": 7}])
    pq.write_table(table, tmp_path / "a.parquet")
    assert len(pairs_in(tmp_path / "a.parquet")) == 1
