"""The form that draws a round: settings, what the round will be, what to expect of it."""

from collections.abc import Callable
from dataclasses import asdict
from typing import cast

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.elements.lib.column_types import ColumnConfig

from pipelines.agreement.decision import Gate
from pipelines.agreement.plan import Plan
from pipelines.agreement.plan import plan as make_plan
from pipelines.errors import BadInput
from pipelines.preferences.combine import RULES
from workbench.app.findings import all_judges
from workbench.app.plan_chart import plan_figure
from workbench.app.stamps import Stamp, draws_stamp, store_stamp
from workbench.app.words import STRATUM_WORDS, download, left_out_of
from workbench.audit.design import Mode, RoundDesign, Ties
from workbench.audit.draw import draw_planned, plan_round
from workbench.audit.options import DrawOptions, Overrides, draw_options
from workbench.audit.reading import gate_of
from workbench.project import Project

ASSUMED_TIES = 0.10  # share of pairs that people call a tie, where nothing is known yet
SAID = "round_said"  # what was done last, told at the head of the page


@st.fragment
def show_draw(project: Project) -> None:
    """The form; drawn again alone, so that a slider does not read every round again."""
    audit = project.config.audit
    labels = [judge.name for judge in all_judges(project)]
    if not labels:
        st.info("These pairs carry no AI verdict, so there is nothing to audit.")
        return
    labels += list(RULES) if len(labels) > 1 else []
    # Row by row, so that the Tab key goes through the form as it is read.
    left, right = st.columns(2)
    label = left.selectbox(
        "Whose labels are audited",
        labels,
        index=labels.index(audit.label) if audit.label in labels else 0,
    )
    # The project file may hold a rarer value than the slider's usual range.
    share = right.slider(
        "Share of the pairs", min(0.01, audit.share), 1.0, audit.share, 0.01, format="percent"
    )
    left, right = st.columns(2)
    trust = _line(left, "TRUST above", audit.trust_above)
    warn = _line(right, "WARN below", audit.warn_below)
    left, right = st.columns(2)
    ties = left.radio(
        "Human ties",
        ["decisive", "strict"],
        index=["decisive", "strict"].index(audit.ties),
        format_func={
            "decisive": "count pairs on which people decide",
            "strict": "A, B and tie must be equal",
        }.__getitem__,
    )
    mode = right.radio(
        "Draw",
        ["uniform", "active"],
        index=["uniform", "active"].index(audit.mode),
        format_func={
            "uniform": "every pair equally likely",
            "active": "unsure pairs more often (needs a judge with probabilities)",
        }.__getitem__,
    )
    left, right = st.columns(2)
    overlap = left.slider(
        "Labelled by two people",
        0.0,
        1.0,
        audit.overlap,
        0.05,
        format="percent",
        help="How often two people agree is the ceiling that any judge can reach.",
    )
    seed = right.number_input(
        "Seed",
        0,
        max(2**31 - 1, audit.seed),
        audit.seed,
        help="The number that the random draw is made from: who knows it can draw the same pairs.",
    )
    try:
        options = draw_options(
            project,
            Overrides(
                label=label,
                share=share,
                seed=int(seed),
                overlap=overlap,
                mode=cast("Mode", mode),
                ties=cast("Ties", ties),
                trust_above=trust,
                warn_below=warn,
            ),
        )
        design = _design(
            project, options, (store_stamp(project), draws_stamp(project), repr(options))
        )
    except BadInput as refusal:
        st.error(str(refusal))
        return
    for part in design.strata:
        hours = part.n_asked * (1 + overlap) * audit.seconds_per_pair / 3600
        st.markdown(
            f"**{STRATUM_WORDS[part.name] if len(design.strata) > 1 else 'All pairs'}**: "
            f"{part.n_asked:,} of {part.n_population:,} pairs, about "
            f"{hours:.1f} hours at {audit.seconds_per_pair:.0f} seconds a pair."
        )
    left_out = left_out_of(design)
    if left_out:
        st.caption(left_out)
    with st.expander("What to expect of this round, before anybody works"):
        if st.checkbox("Compute it (a few seconds)"):
            _show_plan(gate_of(design.strata[0]), design, audit.seconds_per_pair)
    if st.button(f"Draw {design.name}", type="primary"):
        act(lambda: _draw(project, options, design), f"{design.name} is drawn and open.")


def _line(column: DeltaGenerator, words: str, value: float) -> float:
    low, high = min(0.50, value), max(0.99, value)
    return column.slider(words, low, high, value, 0.01, format="percent")


def _draw(project: Project, options: DrawOptions, shown: RoundDesign) -> None:
    """Draw the round that the form shows, or none."""
    plan = plan_round(project, options)
    if plan.design.hash() != shown.hash():
        raise BadInput(
            "The project changed while this form was open, so nothing was drawn; change a setting "
            "or reload the page to see the round as it would be now."
        )
    draw_planned(project, plan)


@st.cache_data(max_entries=16, show_spinner="Counting the pairs to draw from...")
def _design(_project: Project, _options: DrawOptions, stamp: Stamp) -> RoundDesign:
    """The design alone: the population behind it would stay in memory with every setting."""
    return plan_round(_project, _options).design


def _show_plan(gate: Gate, design: RoundDesign, seconds_per_pair: float) -> None:
    part = design.strata[0]
    if not 0 < part.n_asked <= part.n_population:
        st.info("Nothing would be drawn.")
        return
    found = _plan(gate, part.n_population, part.n_asked, design.mode, seconds_per_pair)
    st.plotly_chart(plan_figure(found), key="plan", width="stretch")
    # Right under its chart: a screen reader names the chart by the next caption.
    st.caption(
        "For each agreement that people might turn out to have (the table's first column): how the "
        f"round ends, and the labels it takes until then; n = {part.n_asked:,} pairs drawn of "
        f"{part.n_population:,}. Figures: {found.method}."
    )
    if found.warning:
        st.warning(found.warning)
    table = pd.DataFrame([asdict(row) for row in found.rows])
    st.dataframe(
        table, hide_index=True, width="stretch", column_config=_plan_columns(), placeholder="-"
    )
    st.caption(
        "Enough pairs: how many to draw so that the right answer comes with probability 80%. Fixed "
        "sample: how many an ordinary sample of the same errors and power has to label, if the "
        "agreement were known beforehand."
    )
    download(table, "plan.csv", "csv-plan")


def _plan_columns() -> dict[str, ColumnConfig]:
    """The table's columns by the names that a reader knows; the file keeps those of the plan."""
    number = st.column_config.NumberColumn
    return {
        "theta": number("agreement", format="percent"),
        "trust": number("TRUST", format="%.2f"),
        "warn": number("WARN", format="%.2f"),
        "between": number("BETWEEN", format="%.2f"),
        "undecided": number("UNDECIDED", format="%.2f"),
        "mean_labels": number("labels, mean", format="%.0f"),
        "median_labels": number("median", format="%.0f"),
        "p90_labels": number("90% end by", format="%.0f"),
        "mean_hours": number("hours", format="%.1f"),
        "right": st.column_config.TextColumn("right answer"),
        "sample_for_power": number("enough pairs", format="%.0f"),
        "fixed_sample": number("fixed sample", format="%.0f"),
    }


@st.cache_data(max_entries=32, show_spinner="Computing the plan...")
def _plan(gate: Gate, n_population: int, n_drawn: int, mode: Mode, seconds_per_pair: float) -> Plan:
    ties = ASSUMED_TIES if gate.ties == "decisive" else 0.0
    return make_plan(
        gate,
        n_population,
        n_drawn=n_drawn,
        mode=mode,
        tie_share=ties,
        seconds_per_pair=seconds_per_pair,
    )


def act(action: Callable[[], object], said: str) -> None:
    """Do it, and show the page anew with what was done or why it was refused."""
    try:
        action()
    except BadInput as refusal:
        st.error(str(refusal))
        return
    st.session_state[SAID] = said
    st.rerun()
