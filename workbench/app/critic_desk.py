"""People judge critiques right or wrong, one by one; how often it is right."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from pipelines.constitution.runner import ReviseFolder
from pipelines.constitution.trajectory import Critique, Trajectory
from workbench.app.access import Viewer
from workbench.app.critic_card import Said, Undo, card_data, critic_card
from workbench.app.trajectories import RunIndex, RunNumbers, critique_at, index, trajectory_at
from workbench.app.words import download, estimates_table
from workbench.audit.critiques import critic_precision, judged_by, put_verdict
from workbench.db.session import reading, writing
from workbench.project import Project

PART = "Judge the critic"  # as the page calls it
_KEPT = "critique-kept"  # key of the newest saying that was kept
_WORDS = {"right": "right", "wrong": "wrong", "unsure": "impossible to tell"}


def choose(options: Sequence[str], key: str) -> str:
    """One of a few, as buttons; the chosen one is filled.

    Not a radio or a select box: while such an input has the focus, Streamlit's shortcuts are dead.
    """
    chosen = str(st.session_state.get(key))
    if chosen not in options:  # nothing yet, or what another evaluation had
        chosen = options[0]
    with st.container(horizontal=True, gap="small"):
        for option in options:
            st.button(
                option,
                key=f"{key}-{option}",
                type="primary" if option == chosen else "secondary",
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
        verdict = choose(["violated", "satisfied"], "critic-says")
    only = right.selectbox("Principle", ["any", *names], format_func=lambda id: names.get(id, id))
    queue = run.critiques[run.critiques["verdict"] == verdict]
    if only != "any":
        queue = queue[queue["principle"] == only]
    with reading(project.engine) as session:
        mine = judged_by(session, viewer.annotator_id)
    todo = queue[~queue["id"].isin(list(mine))]
    # On the card, not above it: when the number changes, the keys are for the next critique.
    shown: dict[str, Any] = {"count": _count_words(len(queue) - len(todo), len(queue))}
    if not todo.empty:
        id = str(todo.iloc[0]["id"])
        one, text, critique = _found(run, folder, id)
        shown |= card_data(
            id, one, text, critique, found.constitution.principle(critique.principle)
        )
    kept = st.session_state.get(_KEPT, "")
    said = critic_card(shown, _undo(run, mine, names), kept)
    if said is not None and said.n != kept and _keep(project, viewer, run, folder, said):
        st.session_state[_KEPT] = said.n
        st.rerun()
    show_precision(project, found)


def _count_words(n_judged: int, n_all: int) -> str:
    done = f"{n_judged:,} of {n_all:,} judged by you"
    if n_judged == n_all:
        return f"{done}. Nothing of this kind is left for you."
    return (
        f"{done}, in a random order: stop any time, what you did is a fair sample. Keys: 1 right, "
        "2 wrong, 3 cannot tell, U undo."
    )


def _found(run: RunIndex, folder: ReviseFolder, id: str) -> tuple[Trajectory, str, Critique]:
    """A critique of the run with its response, and the text that it is about."""
    row = run.critiques[run.critiques["id"] == id].iloc[0]
    one = trajectory_at(folder, int(row["offset"]))
    return one, *critique_at(one, int(row["round"]), int(row["place"]))


def _undo(run: RunIndex, mine: dict[str, str], names: dict[str, str]) -> Undo | None:
    """What the person judged last of this run."""
    principles = dict(zip(run.critiques["id"], run.critiques["principle"], strict=True))
    for id in reversed(mine):
        if id in principles:
            name = names.get(principles[id], principles[id])
            return Undo(id, f"{name}, judged {_WORDS[mine[id]]}")
    return None


def _keep(
    project: Project, viewer: Viewer, run: RunIndex, folder: ReviseFolder, said: Said
) -> bool:
    """Keep what was said of a critique of this run; whether it is new."""
    if said.critique not in set(run.critiques["id"]):
        return False
    _, _, critique = _found(run, folder, said.critique)
    with writing(project.engine) as session:
        return put_verdict(
            session,
            said.critique,
            critique,
            viewer.annotator_id,
            said.opinion,
            said.why,
            said.n,
        )


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
    percent = st.column_config.NumberColumn(format="percent")
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        column_config=dict.fromkeys(("estimate", "low", "high"), percent),
    )
    download(table, "critic-precision.csv", "csv-precision")
    st.caption(
        "Share of critiques that people find right, by most verdicts on each; undecided ones are "
        "left out. Of those that say violated, this is the critic's precision."
    )
