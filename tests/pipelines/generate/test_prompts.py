"""Prompts from every kind of file, with what is left out counted and named."""

import csv
import json
from pathlib import Path

import pytest

from pipelines.errors import BadInput
from pipelines.formats.rejects import DUPLICATE_ID
from pipelines.generate.prompts import EMPTY, read_prompts
from pipelines.records import Message


def written(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def test_a_text_file_has_one_a_line(tmp_path):
    path = tmp_path / "p.txt"
    path.write_text("\ufeffName a river.\n\n[sic] is Latin.\nName a river.\n  什么是河？ \n")
    read = read_prompts(path)
    assert [one.prompt for one in read.prompts] == [
        "Name a river.",
        "[sic] is Latin.",
        "什么是河？",
    ]
    assert (read.n_rows, read.n_duplicates, read.rejects) == (4, 1, ())
    # An id is of the text, so it is the same wherever the prompt stands.
    (again,) = read_prompts(written(tmp_path / "p.jsonl", "什么是河？")).prompts
    assert again.id == read.prompts[2].id


def test_jsonl_has_texts_messages_systems_and_what_belongs_to_them(tmp_path):
    turns = [
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Name a river."},
        {"role": "assistant", "content": "The Rhine."},
    ]
    path = written(
        tmp_path / "p.jsonl",
        {"id": 7, "prompt": "Name a lake.", "subset": "lakes", "meta": {"a": 1}, "level": 2},
        {"messages": turns, "system": "Be brief."},
        {"instruction": "Translate.", "input": "Fluss", "output": "river"},
    )
    lake, river, translate = read_prompts(path).prompts
    assert (lake.id, lake.subset, lake.meta) == ("7", "lakes", {"a": 1, "level": 2})
    # What follows the last user's turn is the data set's own response.
    assert river.prompt == (
        Message(role="system", content="Be brief."),
        *(Message.model_validate(turn) for turn in turns[:3]),
    )
    assert translate.prompt == "Translate.\n\nFluss"


def test_csv_has_columns_and_messages_in_a_cell(tmp_path):
    path = tmp_path / "p.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "prompt", "system", "level"])
        rows.writerow(["a", "Name a river,\nplease.", "Be brief.", "1"])
        rows.writerow(["b", json.dumps([{"role": "user", "content": "Hi."}]), "", "2"])
    first, second = read_prompts(path).prompts
    assert [turn.content for turn in first.prompt] == ["Be brief.", "Name a river,\nplease."]
    assert second.prompt == (Message(role="user", content="Hi."),)
    assert second.meta == {"level": "2"}


def test_hh_transcripts_give_what_both_sides_share(tmp_path):
    before = "\n\nHuman: Name a river.\n\nAssistant: The Rhine.\n\nHuman: Another.\n\nAssistant: "
    path = written(
        tmp_path / "hh.jsonl",
        {"chosen": before + "The Elbe.", "rejected": before + "No."},
        {"transcript": before + "The Elbe."},
    )
    read = read_prompts(path)
    assert read.n_duplicates == 1
    (prompt,) = read.prompts
    assert [turn.role for turn in prompt.prompt] == ["user", "assistant", "user"]


def test_real_hh_rows_become_prompts(shared_data):
    read = read_prompts(shared_data / "hh-harmless-test.jsonl")
    assert len(read.prompts) > 100
    assert len(read.rejects) < 0.05 * read.n_rows


def test_a_saved_data_set_and_a_folder_of_files(tmp_path):
    datasets = pytest.importorskip("datasets")
    saved = datasets.Dataset.from_dict({"prompt": ["Name a river.", "Name a lake."]})
    saved.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": saved}).save_to_disk(str(tmp_path / "splits"))
    assert len(read_prompts(tmp_path / "one").prompts) == 2
    assert len(read_prompts(tmp_path / "splits").prompts) == 2
    folder = tmp_path / "files"
    folder.mkdir()
    written(folder / "a.jsonl", {"prompt": "Name a river."})
    saved.to_parquet(str(folder / "b.parquet"))
    read = read_prompts(folder)
    assert (len(read.prompts), read.n_duplicates) == (2, 1)


def test_bad_rows_are_left_out_with_their_line_or_refuse_all(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text(
        '{"prompt": "Name a river.", "id": "a"}\n'
        '{"prompt": "  "}\n'
        '{"prompt": "Name a lake.", "id": "a"}\n'
        '{"messages": [{"role": "assistant", "content": "Hi."}]}\n'
        '{"answer": "The Rhine."}\n'
        '{"prompt": \n'
        '{"prompt": "x", "system": "s", "messages": null, "meta": [1]}\n'
        '{"prompt": 3}\n'
    )
    read = read_prompts(path)
    assert len(read.prompts) == 1
    assert [one.line for one in read.rejects] == [2, 3, 4, 5, 6, 7, 8]
    assert [read.rejects[0].reason, read.rejects[1].reason] == [EMPTY, DUPLICATE_ID]
    with pytest.raises(BadInput, match=r"p\.jsonl:2: the prompt is empty; 7 rows are bad"):
        read_prompts(path, strict=True)


@pytest.mark.parametrize("text", ['{"prompt": ""}\n', '{"a": 1}\n'])
def test_a_file_without_a_prompt_says_why(tmp_path, text):
    path = tmp_path / "p.jsonl"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"holds no prompt; row 1: .*; write one a line") as mistake:
        read_prompts(path)
    assert "\n" not in str(mistake.value)
