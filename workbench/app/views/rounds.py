"""Draw, watch, extend and close rounds without the command line."""

from collections.abc import Callable
from dataclasses import asdict
from typing import cast

import pandas as pd
import streamlit as st

from pipelines.agreement.decision import Gate
from pipelines.agreement.plan import Plan
from pipelines.agreement.plan import plan as make_plan
from pipelines.errors import BadInput
from pipelines.preferences.combine import RULES
from workbench.app.findings import Findings, all_judges, find, round_names
from workbench.app.plan_chart import plan_figure
from workbench.app.words import DECISION_WORDS, download, interval_words, plain
from workbench.audit.certificate import make_certificate
from workbench.audit.design import Mode, RoundDesign, Ties
from workbench.audit.draw import draw_planned, plan_round
from workbench.audit.extend import extend_round
from workbench.audit.options import Overrides, draw_options
from workbench.audit.reading import gate_of
from workbench.audit.rounds import close_round
from workbench.project import Project

ASSUMED_TIES = 0.10  # share of pairs that people call a tie, where nothing is known yet


def render(project: Project) -> None:
    """Draw the page: the rounds that exist, then a form for a new one."""
    st.title("Rounds")
    if not project.store.manifest().parts:
        st.info("Nothing was imported yet, so nothing can be drawn: `workbench import FILE`.")
        return
    said = st.session_state.pop("round_said", None)
    if said:
        st.success(said)
    for name in round_names(project):
        _show_round(project, find(project, name))
    _show_draw(project)


def _show_round(project: Project, findings: Findings) -> None:
    found, design = findings.reading.round, findings.reading.design
    state = "closed" if found.closed_at else "open"
    with st.container(border=True):
        st.subheader(f"{plain(design.name)} ({state})")
        done, asked = findings.progress.answered, findings.progress.asked
        st.progress(
            done / asked if asked else 0.0, f"{done:,} of {asked:,} labels, overlap included"
        )
        for part in findings.reading.strata:
            st.markdown(
                f"**{part.design.name}: {part.decision}**, {DECISION_WORDS[part.decision]}. "
                f"Agreement {interval_words(part.now.estimate)}; {part.labels.n_drawn:,} of "
                f"{part.design.n_population:,} pairs drawn, {len(part.labels):,} read."
            )
        st.caption(
            f"Audited label: {plain(design.label)}; seed {design.seed}; {design.mode} draw; "
            f"overlap {design.overlap:.0%}; design {findings.reading.round.design_hash[:12]}."
        )
        _show_actions(project, findings)


def _show_actions(project: Project, findings: Findings) -> None:
    name = findings.reading.design.name
    left, middle, right = st.columns(3)
    certificate = make_certificate(project, name)
    left.download_button(
        "Download the certificate",
        certificate.as_json(),
        file_name=f"certificate-{name}.json",
        mime="application/json",
        key=f"certificate-{name}",
        on_click="ignore",
        icon=":material/verified:",
    )
    if findings.reading.round.closed_at is not None:
        return
    with middle.popover("Extend", width="stretch"):
        more = st.number_input("More pairs, along the same draw", 1, 1_000_000, 50, key=f"n-{name}")
        if st.button("Extend the round", key=f"extend-{name}"):
            _act(lambda: extend_round(project, name, n_more=int(more)), f"{name} was extended.")
    with right.popover("Close", width="stretch"):
        st.write(
            "A closed round takes no more labels and cannot be opened again. What was given stays."
        )
        if st.button("Close the round", key=f"close-{name}", type="primary"):
            _act(lambda: close_round(project, name), f"{name} is closed.")


def _show_draw(project: Project) -> None:
    st.header("Draw a new round")
    audit = project.config.audit
    labels = [judge.name for judge in all_judges(project)]
    if not labels:
        st.info("These pairs carry no AI verdict, so there is nothing to audit.")
        return
    labels += list(RULES) if len(labels) > 1 else []
    left, right = st.columns(2)
    label = left.selectbox(
        "Whose labels are audited",
        labels,
        index=labels.index(audit.label) if audit.label in labels else 0,
    )
    share = right.slider("Share of the pairs", 0.01, 1.0, audit.share, 0.01, format="percent")
    trust = left.slider("TRUST above", 0.50, 0.99, audit.trust_above, 0.01, format="percent")
    warn = right.slider("WARN below", 0.50, 0.99, audit.warn_below, 0.01, format="percent")
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
    overlap = left.slider("Labelled by two people", 0.0, 1.0, audit.overlap, 0.05, format="percent")
    seed = right.number_input("Seed", 0, 2**31 - 1, audit.seed)
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
        plan = plan_round(project, options)
    except BadInput as refusal:
        st.error(str(refusal))
        return
    for part in plan.design.strata:
        hours = part.n_asked * (1 + overlap) * audit.seconds_per_pair / 3600
        st.markdown(
            f"**{part.name}**: {part.n_asked:,} of {part.n_population:,} pairs, about "
            f"{hours:.1f} hours at {audit.seconds_per_pair:.0f} seconds a pair."
        )
    with st.expander("What to expect of this round, before anybody works"):
        if st.checkbox("Compute it (a few seconds)"):
            _show_plan(gate_of(plan.design.strata[0]), plan.design, audit.seconds_per_pair)
    if st.button(f"Draw {plan.design.name}", type="primary"):
        _act(lambda: draw_planned(project, plan), f"{plan.design.name} is drawn and open.")


def _show_plan(gate: Gate, design: RoundDesign, seconds_per_pair: float) -> None:
    part = design.strata[0]
    if not 0 < part.n_asked <= part.n_population:
        st.info("Nothing would be drawn.")
        return
    found = _plan(gate, part.n_population, part.n_asked, design.mode, seconds_per_pair)
    st.plotly_chart(plan_figure(found), key="plan", width="stretch")
    table = pd.DataFrame([asdict(row) for row in found.rows])
    st.dataframe(table, hide_index=True, width="stretch")
    if found.warning:
        st.warning(found.warning)
    st.caption(
        f"For each agreement that people might turn out to have (theta): how the round ends, and "
        f"the labels it takes until then; n = {part.n_asked:,} pairs drawn of "
        f"{part.n_population:,}. Figures: {found.method}."
    )
    download(table, "plan.csv", "csv-plan")


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


def _act(action: Callable[[], object], said: str) -> None:
    try:
        action()
    except BadInput as refusal:
        st.error(str(refusal))
        return
    st.session_state["round_said"] = said
    st.rerun()
