"""Deciding where people part: both votes stay hidden until the decision is taken."""

from typing import cast

import pandas as pd
import streamlit as st

from pipelines.errors import BadInput
from pipelines.records import Label
from workbench.app.access import Viewer, viewer_here
from workbench.app.findings import Reviewed, reviewed, round_names
from workbench.app.pair import show_pair
from workbench.app.words import download, plain
from workbench.audit.adjudicate import AGAINST_AI, SPLIT, Cases, decide, decisions, open_cases
from workbench.audit.dealing import left_response
from workbench.db.models import Item
from workbench.db.session import reading, writing
from workbench.project import Project

_LAST = "adjudicated"  # key of the pair that was decided last, to be shown with its votes
# The choices stay at the foot of the window, however long the texts are. Their ground is the
# page's own: everything around them hands it down, in a light theme and a dark one.
_IN_VIEW = """<style>
[data-testid="stApp"] :has(.st-key-choices), .st-key-choices { background-color: inherit; }
[data-testid="stLayoutWrapper"]:has(> .st-key-choices) { position: sticky; bottom: 0; z-index: 2; }
.st-key-choices { padding: 0.5rem 0 0.75rem; box-shadow: 0 -1px 0 rgb(128 128 128 / 40%); }
</style>"""


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
    items = found.items
    found_by = {kind: open_cases(items, kind, viewer.name) for kind in (SPLIT, AGAINST_AI)}
    kinds = list(found_by)
    filled = [kind for kind in kinds if len(found_by[kind].waiting)]
    filled += [kind for kind in kinds if found_by[kind].n_own]
    kind = st.radio(
        "Cases",
        kinds,
        index=kinds.index(filled[0]) if filled else 0,
        format_func=lambda kind: f"{kind} ({_waiting_for(found_by[kind])})",
        horizontal=True,
        key="kind",
    )
    st.caption(
        "You decide blind: who said what is shown after your decision. In the export a decision "
        "stands above every vote. The gate goes by the votes alone, and so does its certificate."
    )
    cases = found_by[kind]
    if cases.waiting.empty:
        st.info(_nothing_waits(kind, cases.n_own))
    else:
        _show_case(project, viewer, int(cases.waiting.iloc[0]["item_id"]), found.design.seed)
        if cases.n_own:
            st.caption(f"{_own_words(cases.n_own)} not among them.")
    # Below the buttons: that is where the reader's eyes are after a decision.
    _show_last(found, viewer)
    _show_decisions(project, found.round_id)


def _waiting_for(cases: Cases) -> str:
    others = f", {cases.n_own:,} for somebody else" if cases.n_own else ""
    return f"{len(cases.waiting):,} for you{others}"


def _own_words(n_own: int) -> str:
    return (
        "1 more pair, which you labelled yourself, is"
        if n_own == 1
        else f"{n_own:,} more pairs, which you labelled yourself, are"
    )


def _nothing_waits(kind: str, n_own: int) -> str:
    if not n_own:
        return f"No pair waits on which {kind}."
    pairs = "1 pair waits" if n_own == 1 else f"{n_own:,} pairs wait"
    return (
        f"{pairs} on which {kind}, and you labelled {'it' if n_own == 1 else 'all of them'} "
        "yourself: nobody decides their own pairs, so somebody else has to. They open this page "
        "under their own name."
    )


def _show_case(project: Project, viewer: Viewer, item_id: int, seed: int) -> None:
    with reading(project.engine) as session:
        item = session.get_one(Item, item_id)
        prompt, texts = item.prompt_json, {"A": item.response_a, "B": item.response_b}
    left: Label = left_response(seed, item_id, viewer.annotator_id)
    right: Label = "B" if left == "A" else "A"
    show_pair(prompt, ("Left", texts[left]), ("Right", texts[right]))
    choices: tuple[tuple[str, Label], ...] = (
        ("Left is better", left),
        ("Tie", "tie"),
        ("Right is better", right),
    )
    st.html(_IN_VIEW)
    with st.container(key="choices", gap="small"):
        st.text_input(
            "Why (optional)",
            key=_why_key(item_id),
            placeholder="Why (optional)",
            label_visibility="collapsed",
        )
        with st.container(horizontal=True, gap="small"):
            for title, choice in choices:
                # The pair is an argument, not "the current one": a late click cannot decide
                # another.
                st.button(
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


def _show_last(now: Reviewed, viewer: Viewer) -> None:
    last = cast("tuple[int, str | None] | None", st.session_state.pop(_LAST, None))
    if last is None:
        return
    item_id, refusal = last
    if refusal:
        st.error(refusal)
        return
    found = now.items[now.items["item_id"] == item_id]
    if found.empty:
        return
    row = found.iloc[0]
    people = ", ".join(f"{plain(name)} said {label}" for name, label in row["votes"])
    left = left_response(now.design.seed, item_id, viewer.annotator_id)
    st.success(
        f"Decided: pair {plain(str(row['pair_id']))} is **{row['decided']}**. {people}; the AI "
        f"said {row['ai']}. {left} stood on the left."
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
