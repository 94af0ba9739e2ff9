"""Prompts of the sandbox: two halves that never meet."""

import json
from collections import Counter

import pytest

from pipelines.constitution.records import load_constitution
from pipelines.errors import BadInput
from pipelines.sandbox.world import WEIGHTS, faults, read_situation
from pipelines.sandbox.world_prompts import (
    HELD_OUT_SHARE,
    demonstration_row,
    draw_demonstrations,
    draw_prompts,
    parse_kinds,
    prompt_row,
    split_of,
)
from workbench.data_files import data_dir

HELPDESK = data_dir() / "helpdesk"


def test_the_halves_never_meet_and_hold_their_shares():
    train = {one.text for one in draw_prompts(2000, 1, "train")}
    held_out = {one.text for one in draw_prompts(1000, 2, "held-out")}
    assert len(train) == 2000
    assert len(held_out) == 1000
    assert not train & held_out
    drawn = [one.situation.text for one in draw_demonstrations(2000, 0)]
    assert not {"held-out"} & {split_of(text) for text in drawn}
    numbers = [split_of(f"any text {number}") for number in range(5000)]
    # five standard errors: 5 * sqrt(0.2 * 0.8 / 5000) = 0.028
    assert numbers.count("held-out") / 5000 == pytest.approx(HELD_OUT_SHARE, abs=0.028)


def test_a_large_draw_keeps_the_mixture():
    kinds = Counter(one.kind for one in draw_prompts(1500, 0, "held-out"))
    # five standard errors of shares of 1,500
    assert kinds["harm"] / 1500 == pytest.approx(0.2, abs=0.052)
    assert kinds["odd"] / 1500 == pytest.approx(0.2, abs=0.052)


def test_hostile_prompts_can_be_had_alone_and_the_same_seed_gives_the_same():
    hostile = draw_prompts(60, 3, kinds=["harm"])
    assert {one.kind for one in hostile} == {"harm"}
    assert hostile == draw_prompts(60, 3, kinds=["harm"])
    assert hostile != draw_prompts(60, 4, kinds=["harm"])
    both = Counter(one.kind for one in draw_prompts(60, 3, kinds=parse_kinds(["harm", "odd"])))
    assert both == {"harm": 30, "odd": 30}


def test_more_prompts_than_there_are_is_one_clear_line():
    with pytest.raises(BadInput, match="has not 900 different held-out prompts of this mixture"):
        draw_prompts(900, 0, "held-out", kinds=["odd"])
    with pytest.raises(BadInput, match='"odder" is no kind of message; choose among order, harm'):
        parse_kinds(["odder"])


def test_rows_say_what_they_are():
    one = draw_prompts(1, 0, kinds=["odd"])[0]
    row = prompt_row(one)
    assert (row["prompt"], row["subset"]) == (one.text, "odd")
    assert str(row["id"]).startswith("odd-")
    (demonstration,) = draw_demonstrations(1, 0)
    user, assistant = demonstration_row(demonstration)["messages"]
    assert (user["role"], assistant["role"]) == ("user", "assistant")
    assert read_situation(user["content"]) == demonstration.situation
    assert assistant["content"] == demonstration.reply


@pytest.mark.parametrize("split", ["train", "held-out"])
def test_the_prompts_that_ship_are_those_that_the_command_makes(split):
    lines = (HELPDESK / f"prompts-{split}.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        prompt_row(one) for one in draw_prompts(300, 0, split)
    ]


def test_the_constitution_has_the_principles_that_the_truth_knows():
    constitution = load_constitution(HELPDESK / "constitution.toml")
    assert {one.id: one.weight for one in constitution.principles} == WEIGHTS
    examples = [(one.id, each) for one in constitution.principles for each in one.examples]
    assert len(examples) >= 5
    for principle, each in examples:
        situation = read_situation(each.prompt)
        assert situation is not None
        assert faults(situation, each.response) == ({principle} if each.violates else set())
