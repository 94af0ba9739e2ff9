"""People judge critiques right or wrong, one by one; how often it is right."""

from collections.abc import Sequence
from typing import cast

import pandas as pd
import streamlit as st

from pipelines.constitution.runner import ReviseFolder
from pipelines.constitution.trajectory import Critique, Trajectory
from pipelines.records import PreferencePair
from workbench.app.access import Viewer
from workbench.app.pair import show_pair
from workbench.app.trajectories import RunNumbers, critique_at, index, trajectory_at
from workbench.app.words import download, estimates_table, plain
from workbench.audit.critiques import Opinion, critic_precision, judged_by, put_verdict
from workbench.db.session import reading, writing
from workbench.project import Project

PART = "Judge the critic"  # as the page calls it
_LAST = "critique-judged"  # key of what was judged last, for undo
_CHOICES: tuple[tuple[str, Opinion, str], ...] = (
    ("Right", "right", "1"),
    ("Wrong", "wrong", "2"),
    ("Cannot tell", "unsure", "3"),
)


def choose(options: Sequence[str], key: str) -> str:
    """One of a few, as buttons; the chosen one is filled.

    Not a radio or a select box: while such an input has the focus, Streamlit's shortcuts are dead.
    """
    chosen = str(st.session_state.get(key, options[0]))
    for column, option in zip(st.columns(len(options)), options, strict=True):
        column.button(
            option,
            key=f"{key}-{option}",
            type="primary" if option == chosen else "secondary",
            width="stretch",
            on_click=_chosen,
            args=(key, option),
        )
    return chosen


def _chosen(key: str, option: str) -> None:
    st.session_state[key] = option


def judge_critiques(
    project: Project, viewer: Viewer, folder: ReviseFolder, found: RunNumbers
) -> None:
    """One critique at a time, in a random order that is the same for everybody."""
    run = index(folder)
    names = {one.id: one.name for one in found.constitution.principles}
    left, right = st.columns(2)
    with left:
        said = choose(["violated", "satisfied"], "critic-says")
    principle = right.selectbox(
        "Principle", ["any", *names], format_func=lambda id: names.get(id, id)
    )
    queue = run.critiques[run.critiques["verdict"] == said]
    if principle != "any":
        queue = queue[queue["principle"] == principle]
    with reading(project.engine) as session:
        mine = judged_by(session, viewer.annotator_id)
    todo = queue[~queue["id"].isin(list(mine))]
    st.caption(
        f"{len(queue) - len(todo):,} of {len(queue):,} judged by you, in a random order: stop any "
        "time, what you did is a fair sample. Keys: 1 right, 2 wrong, 3 cannot tell, U undo."
    )
    if todo.empty:
        st.success("Nothing of this kind is left for you.")
    else:
        row = todo.iloc[0]
        one = trajectory_at(folder, int(row["offset"]))
        _judge_one(project, viewer, found, one, row)
    _undo(project, viewer)
    show_precision(project, found)


def _judge_one(
    project: Project, viewer: Viewer, found: RunNumbers, one: Trajectory, row: pd.Series
) -> None:
    text, critique = critique_at(one, int(row["round"]), int(row["place"]))
    principle = found.constitution.principle(critique.principle)
    name = critique.principle if principle is None else principle.name
    said = f"Verdict: {critique.verdict}\n\n{critique.why}"
    if critique.improve and critique.verdict == "violated":
        said += f"\n\nImprove: {critique.improve}"
    st.header(f"{plain(name)}: {critique.verdict}?")
    if principle is not None:
        st.markdown(plain(principle.description))
    pair_prompt = _prompt_json(one)
    show_pair(pair_prompt, ("Response", text), ("What the critic says", said))
    comment = st.text_input("Why (optional)", key=f"why-{row['id']}")
    for column, (title, opinion, key) in zip(st.columns(3), _CHOICES, strict=True):
        # The critique is an argument, not "the current one": a late key cannot judge another.
        column.button(
            title,
            key=f"judge-{row['id']}-{opinion}",
            shortcut=key,
            width="stretch",
            on_click=_put,
            args=(project, viewer.annotator_id, str(row["id"]), critique, opinion, comment),
        )


def _prompt_json(one: Trajectory) -> str:
    return PreferencePair(prompt=one.response.prompt, response_a="", response_b="").prompt_json()


def _put(
    project: Project, annotator_id: int, id: str, critique: Critique, opinion: Opinion, why: str
) -> None:
    with writing(project.engine) as session:
        put_verdict(session, id, critique, annotator_id, opinion, why)
    st.session_state[_LAST] = (id, critique, opinion)


def _undo(project: Project, viewer: Viewer) -> None:
    last = cast("tuple[str, Critique, Opinion] | None", st.session_state.get(_LAST))
    if last is None:
        return
    id, critique, opinion = last
    st.button(
        f"Undo: {plain(critique.principle)} was {opinion}",
        key="undo-critique",
        shortcut="u",
        on_click=_take_back,
        args=(project, viewer.annotator_id, id, critique),
    )


def _take_back(project: Project, annotator_id: int, id: str, critique: Critique) -> None:
    with writing(project.engine) as session:
        put_verdict(session, id, critique, annotator_id, "withdrawn")
    del st.session_state[_LAST]


def show_precision(project: Project, found: RunNumbers) -> None:
    """By principle and by what the critic said, with intervals."""
    st.header("How often people find the critic right")
    values = found.values
    names = {one.id: one.name for one in found.constitution.principles}
    with reading(project.engine) as session:
        rows = critic_precision(session, values["constitution_hash"], values["critic"], names)
    judged = [one for one in rows if one.right is not None or one.n_undecided]
    if not judged:
        st.info(f'Nobody has judged a critique yet. "{PART}" above shows them one by one.')
        return
    table = estimates_table(
        [(f"{names[one.principle]}, says {one.said}", one.right) for one in judged], "critic"
    )
    table["undecided"] = [one.n_undecided for one in judged]
    st.dataframe(table, hide_index=True, width="stretch")
    download(table, "critic-precision.csv", "csv-precision")
    st.caption(
        "Share of critiques that people find right, by most verdicts on each; undecided ones are "
        "left out. Of those that say violated, this is the critic's precision."
    )
