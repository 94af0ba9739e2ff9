"""Where people and the AI part: a list to read, filter and sort, most confident errors first."""

import pandas as pd
import streamlit as st

from pipelines.records import Judgment
from workbench.app.findings import Reviewed, reviewed, round_names
from workbench.app.pair import show_pair
from workbench.app.words import STRATUM_WORDS, download, left_out_of, plain
from workbench.audit.reviewed import is_split
from workbench.db.models import Item
from workbench.db.session import reading
from workbench.project import Project

_SHOW = {
    "people against the AI": lambda items: items[_against_ai(items)],
    "people against each other": lambda items: items[items["votes"].map(is_split)],
    "everything labelled": lambda items: items,
}
_SORT = {
    "most confident errors first": (["sure", "pair_id"], [False, True]),
    "draw order": (["stratum", "position"], [True, True]),
    "longest first": (["chars", "pair_id"], [False, True]),
}


def render(project: Project) -> None:
    """Draw the list for the round that the reader picks, and the chosen pair below it."""
    st.title("Where do people and the AI disagree?")
    names = round_names(project)
    if not names:
        st.info(
            "No round has been drawn yet, so there is nothing to compare. Draw one on the Rounds "
            "page; once people have labelled on the Review page, what they and the AI disagree on "
            "stands here."
        )
        return
    name = names[0] if len(names) == 1 else st.selectbox("Round", names)
    listed = _choose(reviewed(project, name))
    if listed.empty:
        st.info("No pair of this kind. Choose another kind above, or wait for more labels.")
        return
    table = _table(listed)
    event = st.dataframe(
        table.assign(sure=_percents(table["sure"])) if "sure" in table else table,
        hide_index=True,
        width="stretch",
        height=280,
        on_select="rerun",
        selection_mode="single-row",
        key="disagreements",
    )
    download(table, "disagreements.csv", "csv-disagreements")
    chosen = event.selection.rows[0] if event.selection.rows else 0
    _show_pair(project, listed.iloc[min(chosen, len(listed) - 1)])


def _choose(found_in: Reviewed) -> pd.DataFrame:
    items: pd.DataFrame = found_in.items
    left, middle, right = st.columns(3)
    kind = left.selectbox("Show", list(_SHOW))
    order = middle.selectbox("Sort", list(_SORT))
    strata = sorted(items["stratum"].unique())
    stratum = "all"
    if len(strata) > 1:
        words = {"all": "all", **STRATUM_WORDS}
        stratum = right.selectbox("Pairs", ["all", *strata], format_func=words.__getitem__)
    sought = st.text_input("Only ids, annotators, notes, tags that contain", key="sought")
    found: pd.DataFrame = _SHOW[kind](items)
    if stratum != "all":
        found = found[found["stratum"] == stratum]
    if sought:
        text = found["pair_id"] + " " + found["votes"].map(_votes_text)
        text = text + " " + found["comments"].map(_votes_text)
        text = text + " " + found["remarks"].map(_votes_text)
        found = found[text.str.contains(sought, case=False, regex=False)]
    columns, ascending = _SORT[order]
    sure = found["p_a"].where(found["ai"] != "B", 1 - found["p_a"])
    found = found.assign(sure=sure, chars=found["chars_a"] + found["chars_b"])
    found = found.sort_values(columns, ascending=ascending)
    n_sure = int(found["sure"].notna().sum())
    if n_sure:
        said = (
            "'Sure' is the judge's probability of its own label: a confident error says most "
            "about the judge."
        )
        if n_sure < len(found):
            said += f" It gave none on {len(found) - n_sure:,} of these."
    else:
        said = "This judge gave no probabilities, so its errors cannot be sorted by confidence."
    st.caption(
        f"{len(found):,} pairs of {len(items):,} labelled. {said} Tick a row to read its pair "
        "(with the keyboard: arrows, then Shift and Space). A and B are the responses of the pairs "
        f"file; reviewers see them left or right at random. {left_out_of(found_in.design)}"
    )
    return found


def _against_ai(items: pd.DataFrame) -> "pd.Series[bool]":
    return items["human"].notna() & (items["human"] != items["ai"])


def _table(found: pd.DataFrame) -> pd.DataFrame:
    """What the list shows and the file holds: a column that says nothing is left out."""
    table = pd.DataFrame(
        {
            "pair": found["pair_id"],
            "AI": found["ai"],
            "sure": found["sure"].round(3),
            "people": found["votes"].map(_votes_text),
            "decided": found["decided"].fillna(""),
            "tags and ratings": found["remarks"].map(_votes_text),
            "note": found["comments"].map(_votes_text),
            "stratum": found["stratum"],
            "draw position": found["position"] + 1,
            "characters, A and B": found["chars"],
        }
    )
    empty = [name for name in ("decided", "tags and ratings", "note") if not table[name].any()]
    if table["sure"].isna().all():
        empty.append("sure")
    if table["stratum"].nunique() == 1:
        empty.append("stratum")
    return table.drop(columns=empty)


def _percents(shares: "pd.Series[float]") -> list[str]:
    # Of one width, so that a click on the column's head sorts them as numbers.
    return ["not given" if share != share else f"{share:6.1%}" for share in shares.tolist()]


def _votes_text(said: tuple[tuple[str, object], ...]) -> str:
    return ", ".join(f"{name}: {what}" for name, what in said)


def _show_pair(project: Project, row: pd.Series) -> None:
    with reading(project.engine) as session:
        item = session.get_one(Item, int(row["item_id"]))
        prompt, response_a, response_b = item.prompt_json, item.response_a, item.response_b
    st.subheader(f"Pair {plain(str(row['pair_id']))}")
    people = ", ".join(f"**{plain(name)}** says {label}" for name, label in row["votes"])
    sure = " (how sure: not given)" if pd.isna(row["sure"]) else f" (sure: {row['sure']:.1%})"
    bad = " At least one of them calls both responses bad." if row["both_bad"] else ""
    st.markdown(f"The AI says **{row['ai']}**{sure}. {people}.{bad}")
    noted = [(name, plain(str(remarks))) for name, remarks in row["remarks"]]
    noted += [(name, plain(comment)) for name, comment in row["comments"]]
    if noted:
        st.markdown("\n".join(f"- **{plain(name)}**: {what}" for name, what in noted))
    show_pair(prompt, ("Response A", response_a), ("Response B", response_b))
    judgments = _judgments(project, str(row["pair_id"]))
    if judgments:
        st.markdown("**What the judges said**")
    for judgment in judgments:
        said = judgment.label or f"failed: {judgment.failure}"
        order = {"ab": "A shown first", "ba": "B shown first", None: "order not recorded"}
        sure = "" if judgment.p_a is None else f", probability of A {judgment.p_a:.1%}"
        with st.expander(f"{plain(judgment.judge)}: {said} ({order[judgment.order]}{sure})"):
            st.text(judgment.rationale or judgment.raw or "No rationale was given.")


def _judgments(project: Project, pair_id: str) -> tuple[Judgment, ...]:
    row = int(project.store.rows_of([pair_id])[0])
    return () if row < 0 else project.store.pairs([row])[0].ai
