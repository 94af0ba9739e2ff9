"""What critique and revision changed, and whether people find the critic right."""

import pandas as pd
import streamlit as st

from pipelines.constitution.runner import ReviseFolder
from pipelines.constitution.trajectory import Critique, Trajectory
from pipelines.constitution.words import word_differences
from workbench.app.access import viewer_here
from workbench.app.critic_desk import PART, choose, judge_critiques, show_precision
from workbench.app.revision_chart import rounds_figure
from workbench.app.trajectories import (
    RunNumbers,
    as_estimate,
    difference_html,
    index,
    numbers,
    trajectory_at,
)
from workbench.app.words import (
    cell_words,
    download,
    estimates_table,
    interval_words,
    plain,
    points_words,
)
from workbench.project import Project

_NUMBERS, _TEXTS = "What changed", "Trajectories"
# In a table, where the sentences of `_show_rest` have no room.
_ENDED = {
    "satisfied": "all hold",
    "max_iterations": "rounds used up",
    "undecided": "undecided",
    "failed": "critiques failed",
}
_MOST_LINES = 7  # in one chart


def render(project: Project) -> None:
    """Draw the page."""
    st.title("What did the constitution change?")
    folder = ReviseFolder(project.dir)
    found = numbers(folder)
    if found is None:
        st.info(
            "No response has been revised yet. `workbench revise` criticises and revises "
            "responses by constitution.toml."
        )
        return
    values = found.values
    st.caption(
        f"{plain(found.constitution.name)}, version {values['constitution_hash'][:12]}. Critic: "
        f"{plain(values['critic'])}; reviser: {plain(values['reviser'])}. "
        f"{values['n_responses']:,} responses to {values['n_prompts']:,} prompts."
    )
    part = choose([_NUMBERS, _TEXTS, PART], "constitution-part")
    if part == _NUMBERS:
        _show_numbers(project, found)
    elif part == _TEXTS:
        _show_trajectories(folder, found)
    else:
        viewer = viewer_here(project)
        if viewer is not None:
            judge_critiques(project, viewer, folder, found)


def _show_numbers(project: Project, found: RunNumbers) -> None:
    values = found.values
    names = {one.id: one.name for one in found.constitution.principles}
    first, last = (interval_words(found.estimate(key)) for key in ("any_before", "any_after"))
    st.markdown(
        f"At least one principle was violated by **{first}** of the first responses and "
        f"**{last}** of the last ones, as the critic sees it."
    )
    st.header("Violations by principle and round")
    changes = values["principles"]
    before = [as_estimate(one["before"]) for one in changes]
    rates = [0.0 if rate is None else rate.estimate for rate in before]
    worst = sorted(range(len(changes)), key=lambda place: -rates[place])
    labels = {one["principle"]: names[one["principle"]] for one in changes}
    shown = st.multiselect(
        "Principles",
        list(labels),
        default=[changes[place]["principle"] for place in worst[:4]],
        format_func=lambda id: labels[id],
        max_selections=_MOST_LINES,
    )
    lines = [
        (labels[one["principle"]], [as_estimate(rate) for rate in one["by_round"]])
        for one in changes
        if one["principle"] in shown
    ]
    st.plotly_chart(rounds_figure(lines), width="stretch", key="rounds")
    st.caption(
        "Share of responses that violate each principle, as the critic sees it. A response that "
        "was done earlier keeps its last critiques in later rounds. Bars are 95% intervals, by "
        f"prompt where prompts repeat. n = {values['n_responses']:,} responses, less the critiques "
        "that failed (n of each principle stands in the table)."
    )
    st.dataframe(
        pd.DataFrame(
            {
                "principle": [labels[one["principle"]] for one in changes],
                "first responses": [cell_words(rate) for rate in before],
                "last responses": [cell_words(as_estimate(one["after"])) for one in changes],
                "change, points": [points_words(as_estimate(one["change"])) for one in changes],
                "n": [0 if rate is None else rate.n for rate in before],
            }
        ),
        hide_index=True,
        width="stretch",
    )
    st.caption(
        "How many of the first and of the last responses violate each principle, and the change "
        "between the two in percentage points: below zero, revision helped. In brackets are 95% "
        "intervals; where a change's holds zero, it could be chance."
    )
    rows = [
        (f"{labels[one['principle']]}, {when}", as_estimate(one[key]))
        for one in changes
        for key, when in (("before", "first"), ("after", "last"), ("change", "change"))
    ]
    download(estimates_table(rows, "principle"), "violations.csv", "csv-violations")
    _show_rest(found)
    show_precision(project, found)


def _show_rest(found: RunNumbers) -> None:
    values = found.values
    st.header("Rounds, length, refusals, failures")
    endings = {
        "satisfied": "every principle holds",
        "max_iterations": "revised as often as is allowed, something still violated",
        "undecided": "nothing violated, but a critique failed",
        "failed": "no critique of the last round could be read",
    }
    lines = [
        f"- {endings.get(key, key).capitalize()}: {count:,} of {values['n_responses']:,} responses"
        for key, count in values["endings"].items()
    ]
    needed = ", ".join(f"{count:,} after {n}" for n, count in values["rounds_needed"].items())
    lines.append(
        f"- Responses of which every principle holds, by rounds of revision: {needed or 'none'}"
    )
    ratio = found.estimate("length_ratio")
    said = (
        "not measured yet"
        if ratio is None
        else f"{ratio.estimate:.2f} (95% interval {ratio.low:.2f} to {ratio.high:.2f}, "
        f"n = {ratio.n:,})"
    )
    lines.append(f"- Length of the last response over the first, where it changed: {said}")
    lines.append(
        f"- Refusals gained: {values['n_refusals_gained']:,}, lost: "
        f"{values['n_refusals_lost']:,}; of responses that did not refuse at first, "
        f"{interval_words(found.estimate('refusals_gained'))} do at last"
    )
    failed = [
        f"{count:,} {kind}s {reason}"
        for kind, reasons in values["failures"].items()
        for reason, count in reasons.items()
    ]
    lines.append(
        f"- Failed, of {values['n_critiques']:,} critiques and {values['n_revisions']:,} "
        f"revisions: {', '.join(failed) or 'none'}; asked again: {values['n_asked_again']:,}"
    )
    st.markdown("\n".join(lines))


def _show_trajectories(folder: ReviseFolder, found: RunNumbers) -> None:
    table = index(folder).trajectories
    names = {one.id: one.name for one in found.constitution.principles}
    left, middle, right = st.columns(3)
    kind = left.selectbox(
        "Ended", ["any way", *found.values["endings"]], format_func=lambda k: _ENDED.get(k, k)
    )
    principle = middle.selectbox(
        "Violated at first", ["anything", *names], format_func=lambda id: names.get(id, id)
    )
    sought = right.text_input("Only ids and prompts that contain", key="trajectory-sought")
    if kind != "any way":
        table = table[table["ending"] == kind]
    if principle != "anything":
        table = table[table["violated"].map(lambda ids: principle in ids)]
    if sought:
        text = table["id"] + " " + table["starts"]
        table = table[text.str.contains(sought, case=False, regex=False)]
    st.caption(f"{len(table):,} responses. Choose a row to read it.")
    if table.empty:
        st.info("No response is like that. Choose something else above.")
        return
    shown = pd.DataFrame(
        {
            "response": table["id"],
            "ended": table["ending"].map(lambda kind: _ENDED.get(kind, kind)),
            "rounds": table["rounds"],
            "violated at first": table["violated"].map(", ".join),
            "at last": table["left"].map(", ".join),
            "prompt": table["starts"],
        }
    )
    event = st.dataframe(
        shown,
        hide_index=True,
        width="stretch",
        height=260,
        on_select="rerun",
        selection_mode="single-row",
        key="trajectories",
    )
    chosen = event.selection.rows[0] if event.selection.rows else 0
    offset = int(table.iloc[min(chosen, len(table) - 1)]["offset"])
    _show_trajectory(trajectory_at(folder, offset), names)


def _show_trajectory(one: Trajectory, names: dict[str, str]) -> None:
    st.header(f"Response {plain(one.id)}")
    with st.container(border=True):
        st.caption("Prompt")
        st.text(_prompt_text(one))
    pieces = word_differences(one.response.text, one.final)
    sides = (("First: marked is what went", "removed"), ("Last: marked is what came", "added"))
    for column, (title, side) in zip(st.columns(2), sides, strict=True):
        with column, st.container(border=True):
            st.caption(title)
            st.html(difference_html(pieces, side))
    for number, each in enumerate(one.rounds):
        n_violated, n_asked = len(each.violated()), len(each.critiques)
        title = f"Critique {number + 1}: {n_violated} of {n_asked} violated"
        with st.expander(title, expanded=number == 0 and n_violated > 0):
            for critique in each.critiques:
                _show_critique(critique, names)
            text = each.text
            for revision in each.revisions:
                name = plain(names.get(revision.principle, revision.principle))
                if revision.text is None:
                    st.markdown(f"**Revision for {name}** failed: {revision.failure}")
                elif revision.text == text:
                    st.markdown(f"**Revision for {name}** changed nothing")
                else:
                    st.markdown(f"**Revision for {name}**")
                    st.html(difference_html(word_differences(text, revision.text), "both"))
                    text = revision.text


def _show_critique(critique: Critique, names: dict[str, str]) -> None:
    name = plain(names.get(critique.principle, critique.principle))
    if critique.verdict is None:
        st.markdown(f"- {name}: failed ({critique.failure})")
    elif critique.verdict == "satisfied":
        st.markdown(f"- {name}: satisfied. {plain(critique.why or '')}")
    else:
        st.markdown(
            f"- **{name}: violated.** {plain(critique.why or '')} "
            f"*Improve:* {plain(critique.improve or '')}"
        )


def _prompt_text(one: Trajectory) -> str:
    prompt = one.response.prompt
    if isinstance(prompt, str):
        return prompt
    return "\n".join(f"{turn.role}: {turn.content}" for turn in prompt)
