"""Draw, watch, extend and close rounds without the command line."""

import streamlit as st

from workbench.app.findings import Standing, round_names, standing
from workbench.app.views.draw_form import SAID, act, show_draw
from workbench.app.words import (
    DECISION_WORDS,
    STRATUM_WORDS,
    interval_words,
    left_out_of,
    plain,
    waiting_words,
)
from workbench.audit.certificate import make_certificate
from workbench.audit.extend import extend_round
from workbench.audit.rounds import close_round
from workbench.project import Project


def render(project: Project) -> None:
    """Draw the page: the rounds that exist, then a form for a new one."""
    st.title("Rounds")
    if not project.store.manifest().parts:
        st.info("Nothing was imported yet, so nothing can be drawn: `workbench import FILE`.")
        return
    said = st.session_state.pop(SAID, None)
    if said:
        st.success(said)
    names = round_names(project)
    for name in names:
        _show_round(project, standing(project, name))
    # Closed, it costs nothing: counting what may be drawn reads every imported pair.
    new = st.expander(
        "Draw a new round", expanded=not names, key="draw", on_change="rerun", icon=":material/add:"
    )
    if new.open:
        with new:
            show_draw(project)


def _show_round(project: Project, now: Standing) -> None:
    found, design = now.reading.round, now.reading.design
    state = "closed" if found.closed_at else "open"
    with st.container(border=True):
        st.subheader(f"{plain(design.name)} ({state})")
        done, asked = now.progress.answered, now.progress.asked
        st.progress(
            done / asked if asked else 0.0,
            f"{done:,} of {asked:,} labels; some pairs are labelled by two people",
        )
        strata = now.reading.strata
        for part in strata:
            of = STRATUM_WORDS[part.design.name] if len(strata) > 1 else "All pairs"
            st.markdown(
                f"**{of}: {part.decision}**, {DECISION_WORDS[part.decision]}. "
                f"Agreement {interval_words(part.now.estimate)}; {part.labels.n_drawn:,} of "
                f"{part.design.n_population:,} pairs drawn, {len(part.labels):,} of them read so "
                f"far. {waiting_words(part)}"
            )
        left_out = left_out_of(design)
        if left_out:
            st.caption(left_out)
        st.caption(
            f"Audited label: {plain(design.label)}; seed {design.seed}; {design.mode} draw; "
            f"labelled by two people: {design.overlap:.0%}. Fingerprint of the design, which the "
            f"certificate repeats: {now.reading.round.design_hash[:12]}."
        )
        _show_actions(project, now)


def _show_actions(project: Project, now: Standing) -> None:
    name = now.reading.design.name
    left, middle, right = st.columns(3)
    left.download_button(
        "Download the certificate",
        lambda: make_certificate(project, name).as_json(),
        file_name=f"certificate-{name}.json",
        mime="application/json",
        key=f"certificate-{name}",
        on_click="ignore",
        icon=":material/verified:",
        width="stretch",
    )
    if now.reading.round.closed_at is not None:
        return
    with middle.popover("Extend", width="stretch"):
        more = st.number_input("More pairs, along the same draw", 1, 1_000_000, 50, key=f"n-{name}")
        if st.button("Extend the round", key=f"extend-{name}"):
            act(lambda: extend_round(project, name, n_more=int(more)), f"{name} was extended.")
    with right.popover("Close", width="stretch"):
        st.write(
            "A closed round takes no more labels and cannot be opened again. What was given stays."
        )
        if st.button("Close the round", key=f"close-{name}", type="primary"):
            act(lambda: close_round(project, name), f"{name} is closed.")
