"""Training rows from every file that an export can be; bad rows in one line."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import BadInput
from pipelines.train.row_files import row_files
from pipelines.train.rows import _read, read_rows

TRL = {"prompt": "Why?", "chosen": "Because.", "rejected": "No."}
AB = {"prompt": "Why?", "response_a": "Because.", "response_b": "No."}


def read(tmp_path, lines, row, *others, kind="preference"):
    return read_rows(lines(tmp_path / "rows.jsonl", [row, *others]), kind)


def test_a_trl_row_with_everything(tmp_path, lines):
    turns = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Why?"}]
    row = {
        "prompt": turns,
        "chosen": [{"role": "assistant", "content": "Because."}],
        "rejected": [{"role": "assistant", "content": "No."}],
        "p_chosen": 0.8, "weight": 2.0, "margin": 0.6, "label_source": "adjudicated",
    }  # fmt: skip
    [pair] = read(tmp_path, lines, row).train
    assert [turn.role for turn in pair.prompt] == ["system", "user"]
    assert (pair.chosen, pair.rejected) == ("Because.", "No.")
    assert (pair.p_chosen, pair.weight, pair.margin, pair.by_human) == (0.8, 2.0, 0.6, True)


def test_what_a_row_does_not_say_is_certain_and_counts_once(tmp_path, lines):
    [pair] = read(tmp_path, lines, TRL).train
    assert (pair.p_chosen, pair.weight, pair.margin, pair.by_human) == (1.0, 1.0, None, False)
    assert pair.prompt[0].role == "user"


@pytest.mark.parametrize(
    ("label", "p_a", "expected"),
    [
        ("A", 0.9, ("Because.", "No.", 0.9)),
        ("B", 0.2, ("No.", "Because.", 0.8)),
        ("B", None, ("No.", "Because.", 1.0)),
    ],
)
def test_a_row_of_two_responses_goes_by_its_label(tmp_path, lines, label, p_a, expected):
    [pair] = read(tmp_path, lines, AB | {"label": label, "p_a": p_a}).train
    assert (pair.chosen, pair.rejected) == expected[:2]
    assert pair.p_chosen == pytest.approx(expected[2])


def test_a_label_less_probable_than_not_is_told_from_the_other_side(tmp_path, lines):
    row = TRL | {"p_chosen": 0.3, "margin": 0.5, "label_source": "human"}
    [pair] = read(tmp_path, lines, row).train
    assert (pair.chosen, pair.rejected, pair.margin) == ("No.", "Because.", -0.5)
    assert pair.p_chosen == pytest.approx(0.7)
    assert not pair.by_human  # the person said the contrary


@given(p=st.floats(0.0, 1.0), margin=st.floats(-3.0, 3.0))
def test_a_row_and_its_mirror_are_one_pair(p, margin):
    [one] = _read(TRL | {"p_chosen": p, "margin": margin}, "preference", "x")
    mirror = {"chosen": TRL["rejected"], "rejected": TRL["chosen"], "margin": -margin}
    [other] = _read(TRL | mirror | {"p_chosen": 1.0 - p}, "preference", "x")
    assert one.p_chosen >= 0.5
    assert one.p_chosen == pytest.approx(other.p_chosen)
    if one.p_chosen > 0.5 and other.p_chosen > 0.5:
        assert (one.chosen, one.margin) == (other.chosen, other.margin)


def test_what_cannot_be_learnt_from_is_counted_by_reason(tmp_path, lines):
    rows = read(
        tmp_path, lines, TRL, TRL | {"rejected": "Because."}, TRL | {"chosen": " "},
        TRL | {"weight": 0}, AB | {"label": "tie"}, AB | {"label": None}, TRL | {"split": "spare"},
    )  # fmt: skip
    assert rows.left_out == {
        "chosen equals rejected": 1, "empty response": 1, "weight 0": 1, "tie": 1, "no label": 1,
        'of split "spare"': 1,
    }  # fmt: skip
    assert (rows.n_in, len(rows.train)) == (7, 1)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"chosen": "a", "rejected": "b"}, "has no prompt; a preference row needs prompt, chosen"),
        (TRL | {"prompt": " "}, "has no prompt"),
        (TRL | {"prompt": [{"role": "user"}]}, "lacks role or content"),
        ({"prompt": "Why?", "chosen": "a"}, "rejected is missing or not a text"),
        (TRL | {"chosen": [{"content": "a"}, {"content": "b"}]}, "chosen is a whole conversation"),
        (TRL | {"p_chosen": 1.5}, "p_chosen 1.5 or weight 1.0 is out of range"),
        (TRL | {"weight": -1}, "out of range"),
        (TRL | {"weight": "much"}, "weight is not a number"),
        (TRL | {"margin": True}, "margin is not a number"),
        (AB | {"label": "A", "p_a": "high"}, "p_a is not a number"),
    ],
)
def test_a_bad_row_is_one_line_that_names_file_and_place(tmp_path, lines, row, words):
    with pytest.raises(BadInput, match=words) as mistake:
        read(tmp_path, lines, TRL, row)
    assert "rows.jsonl:2: " in str(mistake.value)
    assert "\n" not in str(mistake.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{"prompt": "Why?"', r"rows.jsonl:1: is not JSON"),
        (b"[1]\n", r"rows.jsonl:1: is not a JSON object"),
        (b"\xff\xfe", "cannot be read as UTF-8"),
        (b"\n\n", "holds no rows"),
    ],
)
def test_a_file_that_is_no_json_lines_is_refused(tmp_path, text, words):
    (tmp_path / "rows.jsonl").write_bytes(text)
    with pytest.raises(BadInput, match=words):
        read_rows(tmp_path / "rows.jsonl", "preference")


def test_a_torn_parquet_or_gzip_file_is_refused(tmp_path):
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(BadInput, match="is not a Parquet file"):
        read_rows(tmp_path / "rows.parquet", "preference")
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(b'{"prompt": 1}' * 99)[:20])
    with pytest.raises(BadInput, match=r"rows.jsonl.gz: cannot be read"):
        read_rows(tmp_path / "rows.jsonl.gz", "preference")


def test_replies_and_demonstrations_come_from_their_own_rows_or_from_pairs(tmp_path, lines):
    kto = {"prompt": "Why?", "completion": "Because.", "label": False}
    replies = read(tmp_path, lines, kto, TRL, TRL | {"p_chosen": 0.5}, kind="reply")
    assert [(row.completion, row.wanted) for row in replies.train] == [
        ("Because.", False), ("Because.", True), ("No.", False),
    ]  # fmt: skip
    assert replies.left_out == {"tie": 1}
    turns = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    shown = read(
        tmp_path, lines, {"messages": turns}, {"messages": turns[:1]}, {"messages": turns[1:]},
        {"prompt": "Why?", "completion": "Well."}, TRL, kind="demonstration",
    )  # fmt: skip
    assert [row.completion for row in shown.train] == ["So.", "Well.", "Because."]
    assert shown.left_out == {"no response at the end": 1, "no prompt": 1}
    with pytest.raises(BadInput, match="label is not true or false"):
        read(tmp_path, lines, kto | {"label": "yes"}, kind="reply")


def test_a_prompt_brings_its_other_columns(tmp_path, lines):
    [row] = read(tmp_path, lines, {"prompt": "Why?", "order": "7"}, kind="prompt").train
    assert row.columns == {"order": "7"}


@pytest.mark.parametrize("named", ["trl.jsonl", "trl-train.jsonl", "trl-test.jsonl"])
def test_the_splits_of_an_export_are_one_data_set(tmp_path, lines, named):
    for split in ("train", "test", "validation"):
        lines(tmp_path / f"trl-{split}.jsonl", [TRL | {"prompt": f"Why {split}?"}])
    lines(tmp_path / "kto-train.jsonl", [])
    rows = read_rows(tmp_path / named, "preference")
    assert {split: len(several) for split, several in rows.splits.items()} == {
        "train": 1, "test": 1, "validation": 1,
    }  # fmt: skip
    assert rows.held_out[0].prompt[0].content == "Why test?"


def test_folders_gzip_and_a_split_column_are_read(tmp_path, lines):
    folder = tmp_path / "hf-folder" / "data"
    folder.mkdir(parents=True)
    for name in ("train-00000-of-00001", "test-00000-of-00001"):
        table = pa.Table.from_pylist([TRL | {"prompt": name}] * 2)
        pq.write_table(table, folder / f"{name}.parquet")
    rows = read_rows(tmp_path / "hf-folder", "preference")
    assert (len(rows.train), len(rows.held_out)) == (2, 2)
    packed = tmp_path / "curated.jsonl.gz"
    packed.write_bytes(gzip.compress(json.dumps(TRL | {"split": "validation"}).encode()))
    assert len(read_rows(packed, "preference").held_out) == 1


def test_a_file_is_itself_where_no_split_stands_beside_it(tmp_path, lines):
    alone = lines(tmp_path / "my-pairs.jsonl", [TRL])
    assert row_files(alone) == [("train", alone)]
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"holds no \.parquet and no \.jsonl"):
        row_files(tmp_path / "empty")
    with pytest.raises(BadInput, match="there is no such file"):
        row_files(tmp_path / "none.jsonl")


def test_a_prompt_on_both_sides_of_a_split_is_refused(tmp_path, lines):
    with pytest.raises(BadInput, match="1 prompts are in both train and test"):
        read(tmp_path, lines, TRL, TRL | {"split": "test"})
