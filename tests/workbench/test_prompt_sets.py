"""The prompt sets that ship: they load, nothing stands twice, and a project can start with one."""

import json

import pytest

from pipelines.errors import BadInput
from pipelines.generate.prompts import read_prompts
from workbench.data_files import data_dir
from workbench.prompt_sets import copy_prompts, prompt_sets, prompts_path

SETS = prompt_sets()


def test_every_use_case_is_there_in_both_languages():
    names = {path.stem for path in (data_dir() / "prompt-sets" / "en").glob("*.jsonl")}
    assert names == {path.stem for path in (data_dir() / "prompt-sets" / "zh").glob("*.jsonl")}
    assert len(names) == 8
    assert {one.name for one in SETS} == names | {f"{name}:zh" for name in names}
    readme = (data_dir() / "prompt-sets" / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in names)


@pytest.mark.parametrize("one", SETS, ids=lambda one: one.name)
def test_a_set_loads_whole_and_says_what_each_prompt_is_for(one):
    read = read_prompts(one.path, strict=True)
    assert 20 <= len(read.prompts) == one.n_prompts <= 30
    assert read.n_duplicates == 0
    for prompt in read.prompts:
        assert prompt.subset
        assert prompt.meta["language"] == one.language
        assert prompt.meta["use_case"] == one.path.stem
        text = prompt.prompt if isinstance(prompt.prompt, str) else prompt.prompt[-1].content
        assert any("\u4e00" <= letter <= "\u9fff" for letter in text) == (one.language == "zh")


def test_no_id_and_no_prompt_stands_in_two_sets():
    prompts = [prompt for one in SETS for prompt in read_prompts(one.path).prompts]
    assert len({prompt.id for prompt in prompts}) == len(prompts)
    assert len({prompt.text_hash() for prompt in prompts}) == len(prompts)


def test_safety_sets_say_what_is_expected():
    expected = {
        row["meta"]["expected"]
        for name in ("red-team", "red-team:zh", "looks-dangerous", "looks-dangerous:zh")
        for row in map(json.loads, prompts_path(name, data_dir()).read_text().splitlines())
    }
    assert expected == {"decline", "support", "answer"}


def test_a_project_starts_with_a_copy_of_its_own(tmp_path):
    copy_prompts("summarisation:zh", tmp_path)
    assert len(read_prompts(tmp_path / "prompts.jsonl").prompts) >= 20
    with pytest.raises(BadInput, match="never overwritten"):
        copy_prompts("summarisation", tmp_path)
    with pytest.raises(BadInput, match=r"`workbench prompts` lists the sets"):
        copy_prompts("nothing", tmp_path / "other")
