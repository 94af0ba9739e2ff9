"""Deciding where people part: both votes stay hidden until the decision is taken."""

from typing import cast

import pandas as pd
import streamlit as st

from pipelines.errors import BadInput
from pipelines.records import Label
from workbench.app.access import Viewer, viewer_here
from workbench.app.findings import reviewed, round_names
from workbench.app.pair import show_pair
from workbench.app.words import download, plain
from workbench.audit.adjudicate import AGAINST_AI, SPLIT, decide, decisions, open_cases
from workbench.audit.dealing import left_response
from workbench.db.models import Item
from workbench.db.session import reading, writing
from workbench.project import Project

_LAST = "adjudicated"  # key of the pair that was decided last, to be shown with its votes


def render(project: Project) -> None:
    """Draw the next open case of the round that the reader picks."""
    st.title("Who is right?")
    viewer = viewer_here(project)
    names = round_names(project)
    if viewer is None or not names:
        st.info(
            "No round has been drawn yet, so there is nothing to decide. Draw one on the Rounds "
            "page; pairs on which people part, with each other or with the AI, then wait here for "
            "a third person."
        )
        return
    name = names[0] if len(names) == 1 else st.selectbox("Round", names)
    found = reviewed(project, name)
    items, seed = found.items, found.design.seed
    counts = {kind: len(open_cases(items, kind, viewer.name)) for kind in (SPLIT, AGAINST_AI)}
    kind = st.radio(
        "Cases",
        list(counts),
        format_func=lambda kind: f"{kind} ({counts[kind]:,})",
        horizontal=True,
    )
    st.caption(
        "You decide blind: who said what is shown after your decision. Decisions feed the export "
        "before any vote; the certificate does not read them. Pairs that you labelled yourself "
        "are left to somebody else."
    )
    _show_last(items)
    cases = open_cases(items, kind, viewer.name)
    if cases.empty:
        st.success("Nothing of this kind waits for you.")
    else:
        _show_case(project, viewer, int(cases.iloc[0]["item_id"]), seed)
    _show_decisions(project, found.round_id)


def _show_case(project: Project, viewer: Viewer, item_id: int, seed: int) -> None:
    with reading(project.engine) as session:
        item = session.get_one(Item, item_id)
        prompt, texts = item.prompt_json, {"A": item.response_a, "B": item.response_b}
    left: Label = left_response(seed, item_id, viewer.annotator_id)
    right: Label = "B" if left == "A" else "A"
    show_pair(prompt, ("Left", texts[left]), ("Right", texts[right]))
    st.text_input("Why (optional)", key=_why_key(item_id))
    choices: tuple[tuple[str, Label], ...] = (
        ("Left is better", left),
        ("Tie", "tie"),
        ("Right is better", right),
    )
    for column, (title, choice) in zip(st.columns(3), choices, strict=True):
        # The pair is an argument, not "the current one": a late click cannot decide another.
        column.button(
            title,
            key=f"decide-{item_id}-{title}",
            width="stretch",
            on_click=_decide,
            args=(project, viewer.annotator_id, item_id, choice),
        )


def _why_key(item_id: int) -> str:
    return f"why-{item_id}"


def _decide(project: Project, annotator_id: int, item_id: int, label: Label) -> None:
    # Read now, not when the button was drawn: it may have been typed just before the click.
    why = str(st.session_state.get(_why_key(item_id), ""))
    try:
        with writing(project.engine) as session:
            decide(session, item_id, annotator_id, label, why)
    except BadInput as refusal:
        st.session_state[_LAST] = (item_id, str(refusal))
    else:
        st.session_state[_LAST] = (item_id, None)


def _show_last(items: pd.DataFrame) -> None:
    last = cast("tuple[int, str | None] | None", st.session_state.pop(_LAST, None))
    if last is None:
        return
    item_id, refusal = last
    if refusal:
        st.error(refusal)
        return
    found = items[items["item_id"] == item_id]
    if found.empty:
        return
    row = found.iloc[0]
    people = ", ".join(f"{plain(name)} said {label}" for name, label in row["votes"])
    st.success(
        f"Decided: pair {plain(str(row['pair_id']))} is **{row['decided']}**. {people}; the AI "
        f"said {row['ai']}."
    )


def _show_decisions(project: Project, round_id: int) -> None:
    with reading(project.engine) as session:
        table = decisions(session, round_id)
    if table.empty:
        return
    st.header("Decisions so far")
    table["decided_at"] = pd.to_datetime(table["decided_at"], unit="s", utc=True).dt.round("1s")
    st.dataframe(table.drop(columns="item_id"), hide_index=True, width="stretch")
    st.caption(f"n = {len(table):,} decisions, versions included; the newest of a pair stands.")
    download(table.drop(columns="item_id"), "decisions.csv", "csv-decisions")
