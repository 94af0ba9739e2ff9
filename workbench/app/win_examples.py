"""The comparisons and responses behind the numbers: part of the page *Win rates*."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from pipelines.evaluate.result import EvaluationFound
from pipelines.store import PairStore
from workbench.app.pair import show_pair
from workbench.app.words import download, plain
from workbench.evaluating.examples import COMPARISONS, OUTCOMES, read_lines

_WINS = "Comparisons"
_ENDINGS = {"the first wins": 1, "a tie": 0, "the second wins": -1}
_ANY = "any"
_AGAINST = "judge and people disagree"
_STARTS = 90  # characters of a prompt in a list


def show_examples(folder: Path, found: EvaluationFound) -> None:
    """Choose a number, and read what is behind it."""
    of = [_WINS, *(one.title for one in found.suites)]
    chosen = st.selectbox("What stands behind", of, key="examples-of")
    if chosen == _WINS:
        _show_comparisons(folder, found)
        return
    suite = next(one for one in found.suites if one.title == chosen)
    _show_outcomes(folder, suite.name, suite.share_of)


def _show_comparisons(folder: Path, found: EvaluationFound) -> None:
    rows = _lines(folder / COMPARISONS, found.created_at)
    titles = list(dict.fromkeys(f"{one.first} over {one.second}" for one in found.matchups))
    left, middle, right = st.columns(3)
    title = left.selectbox("Policies", titles, key="examples-policies")
    judge = middle.selectbox("Judge", list(found.judges), key="examples-judge")
    ending = right.selectbox("Verdict", [_ANY, *_ENDINGS, _AGAINST], key="examples-verdict")
    listed = [
        row
        for row in rows
        if f"{row['first']} over {row['second']}" == title and _is(row, judge, ending)
    ]
    st.caption(
        f"{len(listed):,} comparisons. The score is how far the judge, and people, hold the first "
        "policy's response the better one. Tick a row to read it."
    )
    if not listed:
        st.info("No comparison is like that. Choose something else above.")
        return
    table = pd.DataFrame(
        {
            "pair": [row["pair"] or "(equal responses)" for row in listed],
            "judge": [row["judged"].get(judge) for row in listed],
            "people": [_said(row["people"]) for row in listed],
            "characters, first": [row["chars_first"] for row in listed],
            "characters, second": [row["chars_second"] for row in listed],
        }
    )
    chosen = _choose(table, "comparisons")
    download(table, "comparisons.csv", "csv-comparisons")
    row = listed[min(chosen, len(listed) - 1)]
    if not row["pair"]:
        st.info("Both policies said the same here: a tie that nobody was asked about.")
        return
    store = PairStore(folder)
    (pair,) = store.pairs(store.rows_of([row["pair"]]).tolist())
    sides = {pair.model_a: pair.response_a, pair.model_b: pair.response_b}
    shown = [(plain(str(name)), sides.get(name, "")) for name in (row["first"], row["second"])]
    show_pair(pair.prompt_json(), shown[0], shown[1])


def _is(row: dict[str, Any], judge: str, ending: str) -> bool:
    score, people = row["judged"].get(judge), row["people"]
    if ending == _ANY or score is None:
        return ending == _ANY
    if ending == _AGAINST:
        return people is not None and _side(people) != _side(score)
    return _side(score) == _ENDINGS[ending]


def _said(people: float | None) -> str:
    return "not asked" if people is None else {1: "first", 0: "tie", -1: "second"}[_side(people)]


def _side(score: float) -> int:
    return (score > 0.5) - (score < 0.5)


def _show_outcomes(folder: Path, suite: str, share_of: str) -> None:
    rows = _lines(folder / "suites" / suite / OUTCOMES, 0.0)
    left, middle, right = st.columns(3)
    policies = list(dict.fromkeys(row["policy"] for row in rows))
    groups = sorted({row["group"] for row in rows})
    policy = left.selectbox("Policy", ["any", *policies], key=f"outcome-policy-{suite}")
    group = middle.selectbox("Group", ["any", *groups], key=f"outcome-group-{suite}")
    kinds = {f"counted ({share_of})": True, "not counted": False}
    kind = right.selectbox("Outcome", list(kinds), key=f"outcome-kind-{suite}")
    listed = [
        row
        for row in rows
        if policy in ("any", row["policy"])
        and group in ("any", row["group"])
        and row["happened"] == kinds[kind]
    ]
    st.caption(f"{len(listed):,} of {len(rows):,} outcomes. Tick a row to read it.")
    if not listed:
        st.info("No response is like that. Choose something else above.")
        return
    table = pd.DataFrame(
        {
            "prompt": [row["prompt_id"] for row in listed],
            "policy": [row["policy"] for row in listed],
            "group": [row["group"] for row in listed],
            "starts": [str(row["prompt"])[:_STARTS] for row in listed],
        }
    )
    chosen = _choose(table, f"outcomes-{suite}")
    download(table, f"{suite}-outcomes.csv", f"csv-outcomes-{suite}")
    row = listed[min(chosen, len(listed) - 1)]
    others = [
        one
        for one in rows
        if one["prompt_id"] == row["prompt_id"] and one["policy"] != row["policy"]
    ]
    other = others[0] if others else row
    show_pair(
        json.dumps(str(row["prompt"])),
        (plain(row["policy"]), str(row["response"])),
        (plain(other["policy"]), str(other["response"])),
    )


def _choose(table: pd.DataFrame, key: str) -> int:
    event = st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        height=260,
        on_select="rerun",
        selection_mode="single-row",
        key=key,
    )
    return event.selection.rows[0] if event.selection.rows else 0


@st.cache_data(max_entries=8, show_spinner=False)
def _read(path: str, stamp: float) -> list[dict[str, Any]]:
    return read_lines(Path(path))


def _lines(path: Path, created_at: float) -> list[dict[str, Any]]:
    stamp = path.stat().st_mtime if path.is_file() else created_at
    return _read(str(path), stamp)
