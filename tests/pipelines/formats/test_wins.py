"""Win lists, with and without texts."""

import json
from typing import Any

import pytest

from pipelines.formats.options import ReadOptions
from pipelines.formats.reading import Reject, read_pairs
from pipelines.formats.rejects import BadRow
from pipelines.formats.wins import win_pairs
from pipelines.records import Message, PreferencePair


def one(**row: Any) -> PreferencePair:
    options = ReadOptions(labels_are=row.pop("labels_are", None))
    (pair,) = win_pairs({"model_a": "x", "model_b": "y", **row}, options)
    return pair


@pytest.mark.parametrize(
    ("winner", "label"),
    [
        ("model_a", "A"),
        ("B", "B"),
        ("y", "B"),
        ("left", "A"),
        ("2", "B"),
        (1, "A"),
        ("Tie", "tie"),
        ("tie (bothbad)", "tie"),
        ("0.5", "tie"),
    ],
)
def test_a_winner_may_be_said_in_many_words(winner, label):
    assert one(winner=winner).human[0].label == label


def test_a_winner_may_be_three_columns():
    assert one(winner_model_a=0, winner_model_b=1, winner_tie=0).human[0].label == "B"
    with pytest.raises(BadRow, match="neither"):
        one(winner_model_a=0, winner_model_b=0, winner_tie=0)


def test_an_unknown_winner_is_refused():
    with pytest.raises(BadRow) as refusal:
        one(winner="z")
    assert refusal.value.reason == "unknown label"


def test_who_chose_is_read_from_the_columns():
    assert one(winner="a", annotator="ana").human[0].annotator == "ana"
    assert one(winner="a", judge="gpt-4").ai[0].judge == "gpt-4"
    assert one(winner="a", judge=["gpt-4", "pair-v2"]).ai[0].judge == "gpt-4/pair-v2"
    assert one(winner="a", judge="arena_user_17").human[0].annotator == "arena_user_17"
    assert one(winner="a", labels_are="ai").ai[0].judge == "chosen"


def test_texts_come_as_columns_as_turns_or_as_conversations():
    texts = one(winner="a", prompt="Why?", response_a="So.", response_b="No.")
    turns = one(winner="a", prompt='["Why?"]', response_a='["So."]', response_b="[null]")
    user = {"role": "user", "content": "Why?"}
    talks = one(
        winner="a",
        conversation_a=[user, {"role": "assistant", "content": "So."}],
        conversation_b=[user, {"role": "assistant", "content": "No."}],
    )
    assert (texts.prompt, texts.response_a, texts.response_b) == ("Why?", "So.", "No.")
    asked = (Message(role="user", content="Why?"),)
    assert (turns.prompt, turns.response_a, turns.response_b) == (asked, "So.", "")
    assert (talks.prompt, talks.response_a, talks.response_b) == (asked, "So.", "No.")


def test_a_text_that_looks_like_a_list_stays_a_text():
    pair = one(winner="a", prompt="[1, 2]", response_a="[3]", response_b="x")
    assert (pair.prompt, pair.response_a) == ("[1, 2]", "[3]")


def test_a_leaderboard_csv_keeps_every_comparison(tmp_path):
    path = tmp_path / "wins.csv"
    path.write_bytes(
        "\ufeffmodel_a,model_b,winner,lang\r\nx,y,model_a,en\r\nx,y,model_a,en\r\nx,y,?,en\r\n"
        "x,,model_b,\r\n".encode()
    )
    first, second, bad, no_model = read_pairs(path)
    assert isinstance(first, PreferencePair)
    assert isinstance(second, PreferencePair)
    assert second.id == f"{first.id}-2"
    assert first.meta == {"lang": "en"}
    assert isinstance(bad, Reject)
    assert isinstance(no_model, Reject)
    assert [(bad.line, bad.reason), (no_model.line, no_model.reason)] == [
        (4, "unknown label"),
        (5, "missing key"),
    ]


def test_a_csv_that_is_not_utf8_loses_only_the_bad_rows(tmp_path):
    path = tmp_path / "wins.csv"
    path.write_bytes(b"model_a,model_b,winner,prompt\nx,y,a,caf\xe9\nx,y,b,ok\n")
    bad, good = read_pairs(path)
    assert isinstance(bad, Reject)
    assert bad.reason == "not UTF-8"
    assert isinstance(good, PreferencePair)


def test_a_json_list_of_wins_is_detected(tmp_path):
    path = tmp_path / "wins.json"
    path.write_text(json.dumps([{"model_a": "x", "model_b": "y", "winner": "tie"}]))
    (pair,) = read_pairs(path)
    assert isinstance(pair, PreferencePair)
    assert pair.human[0].label == "tie"
