"""Chosen and rejected in TRL's and Anthropic's shapes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.formats.conversations import split_text
from pipelines.formats.options import ReadOptions
from pipelines.formats.placing import Side, first_side
from pipelines.formats.preference import hh_pairs, trl_pairs
from pipelines.formats.reading import Reject, read_pairs
from pipelines.formats.rejects import BadRow
from pipelines.records import Message, PreferencePair

USER = {"role": "user", "content": "Why?"}
SO = {"role": "assistant", "content": "So."}
NO = {"role": "assistant", "content": "No."}


def one(row: dict[str, Any], **options: Any) -> PreferencePair:
    (pair,) = trl_pairs(row, ReadOptions(**options))
    return pair


def chosen_text(pair: PreferencePair) -> str:
    """The response that the pair's one verdict prefers."""
    (verdict,) = (*pair.ai, *pair.human)
    assert verdict.label in ("A", "B")
    return pair.response_a if verdict.label == "A" else pair.response_b


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Why?", "chosen": "So.", "rejected": "No."},
        {"question": "Why?", "chosen": "So.", "rejected": "No."},
        {"prompt": "Why?", "chosen": [SO], "rejected": [NO]},
        {"prompt": [USER], "chosen": [SO], "rejected": [NO]},
        {"prompt": [USER], "chosen": "So.", "rejected": "No."},
        {"prompt": [USER], "chosen": [USER, SO], "rejected": [USER, NO]},
        {"prompt": "Why?", "chosen": [USER, SO], "rejected": [USER, NO]},  # UltraFeedback binarized
        {"chosen": [USER, SO], "rejected": [USER, NO]},
        {
            "chosen": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}],
            "rejected": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "No."}],
        },
    ],
)
def test_every_trl_shape_gives_the_prompt_and_both_responses(row):
    pair = one(row)
    assert pair.prompt in ("Why?", (Message(role="user", content="Why?"),))
    assert {pair.response_a, pair.response_b} == {"So.", "No."}
    assert chosen_text(pair) == "So."
    assert [judgment.judge for judgment in pair.ai] == ["chosen"]


def test_an_implied_prompt_ends_before_the_word_in_which_the_texts_part():
    pair = one({"chosen": "The sky is blue.", "rejected": "The sky is bright."})
    assert pair.prompt == "The sky is "
    assert chosen_text(pair) == "blue."


@given(st.text(), st.text())
def test_an_implied_prompt_loses_no_character(chosen, rejected):
    prompt, one_rest, other_rest = split_text(chosen, rejected)
    assert (prompt + one_rest, prompt + other_rest) == (chosen, rejected)


def test_who_chose_can_be_said():
    pair = one({"prompt": "p", "chosen": "a", "rejected": "b"}, labels_are="human")
    assert pair.ai == ()
    assert [label.annotator for label in pair.human] == ["chosen"]


def test_scores_and_models_go_with_their_response_and_other_columns_are_kept():
    row = {
        "prompt": "p",
        "chosen": "a",
        "rejected": "b",
        "score_chosen": 8,
        "score_rejected": "2.5",
        "rejected_model": "tiny",
        "difficulty": "hard",
        "nothing": None,
    }
    pair = one(row)
    won_a = pair.response_a == "a"
    assert pair.meta == {
        "difficulty": "hard",
        "score_a": 8.0 if won_a else 2.5,
        "score_b": 2.5 if won_a else 8.0,
    }
    assert (pair.model_b if won_a else pair.model_a) == "tiny"


def test_a_system_prompt_becomes_a_message():
    pair = one({"system": "Be brief.", "prompt": "Why?", "chosen": "a", "rejected": "b"})
    assert [message.role for message in pair.prompt if isinstance(message, Message)] == [
        "system",
        "user",
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "p", "chosen": "a", "rejected": None}, "missing key"),
        ({"prompt": "p", "chosen": "a", "rejected": [NO]}, "wrong type"),
        ({"prompt": 3, "chosen": "a", "rejected": "b"}, "wrong type"),
        ({"chosen": [SO], "rejected": [NO]}, "no shared prompt"),
        (
            {"chosen": [USER, {"role": "bob", "content": ""}], "rejected": [USER, NO]},
            "unknown value",
        ),
        ({"chosen": [USER, {"role": "user"}], "rejected": [USER, NO]}, "missing key"),
        (
            {
                "prompt": "p",
                "chosen": [{"role": "user", "content": [{"image": 1}]}],
                "rejected": [NO],
            },
            "wrong type",
        ),
        ({"prompt": "p", "chosen": "a", "rejected": "b", "score_chosen": "nan"}, "NaN or infinity"),
    ],
)
def test_rows_that_do_not_fit_together_are_refused(row, reason):
    with pytest.raises(BadRow) as refusal:
        one(row)
    assert refusal.value.reason == reason


def hh(chosen: str, rejected: str) -> PreferencePair:
    (pair,) = hh_pairs({"chosen": chosen, "rejected": rejected}, ReadOptions())
    return pair


def test_a_transcript_splits_where_the_two_part():
    start = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Why?\n\nThink.\n\nAssistant:"
    pair = hh(f"{start} So.", f"{start} No.\n\nReally: no.")
    assert [(turn.role, turn.content) for turn in pair.prompt if isinstance(turn, Message)] == [
        ("user", "Hi"),
        ("assistant", "Hello."),
        ("user", "Why?\n\nThink."),
    ]
    assert {pair.response_a, pair.response_b} == {"So.", "No.\n\nReally: no."}
    assert chosen_text(pair) == "So."
    assert [label.annotator for label in pair.human] == ["chosen"]


def test_transcripts_that_part_early_keep_the_rest_as_a_transcript():
    pair = hh(
        "\n\nHuman: Hi\n\nAssistant: A\n\nHuman: x\n\nAssistant: B", "\n\nHuman: Hi\n\nAssistant: C"
    )
    assert chosen_text(pair) == "Assistant: A\n\nHuman: x\n\nAssistant: B"


def test_equal_transcripts_give_equal_responses_and_an_empty_answer_stays_empty():
    same = "\n\nHuman: Hi\n\nAssistant: A"
    pair = hh(same, same)
    assert pair.response_a == pair.response_b == "A"
    assert hh("\n\nHuman: Hi\n\nAssistant:", same).response_a in ("", "A")


@pytest.mark.parametrize("other", ["\n\nHuman: Bye\n\nAssistant: A", "just text", ""])
def test_transcripts_without_a_shared_turn_are_refused(other):
    with pytest.raises(BadRow):
        hh("\n\nHuman: Hi\n\nAssistant: A", other)


@given(st.text(max_size=4), st.text(max_size=4), st.text(max_size=4))
def test_which_response_is_a_never_depends_on_the_choice(prompt, one_text, other_text):
    forth = (Side(one_text), Side(other_text))
    first = first_side(prompt, forth)
    again = first_side(prompt, forth[::-1])
    assert forth[first].response == forth[::-1][again].response


def test_position_carries_no_information_about_the_choice(tmp_path):
    # 2,000 pairs whose chosen text always sorts first and is always longer: a fair coin gives
    # 1,000 +- 22.4, so 5 standard deviations are 112.
    path = tmp_path / "trl.jsonl"
    rows = [{"prompt": f"p{n}", "chosen": f"a{n} long", "rejected": f"b{n}"} for n in range(2000)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = [pair for pair in read_pairs(path) if not isinstance(pair, Reject)]
    n_first = sum(pair.ai[0].label == "A" for pair in pairs)
    assert abs(n_first - 1000) < 112
