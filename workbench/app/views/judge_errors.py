"""Where the judge is wrong: by judge, slice, length, confidence, position. Part of a page."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import streamlit as st

from pipelines.agreement.annotations import NONE
from pipelines.agreement.bias import length_bias
from pipelines.agreement.calibration import Calibration, calibration
from pipelines.agreement.comparison import defined
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.slices import by_confidence, by_length_gap
from workbench.app import charts
from workbench.app.findings import (
    Findings,
    agreement_of,
    all_judges,
    breakdown,
    judge_confidence,
)
from workbench.app.words import download, estimates_table, for_chart, interval_words, plain
from workbench.audit.reading import StratumReading
from workbench.audit.reviewed import label_codes
from workbench.project import Project

_COMPLEXITY = (
    " Complexity is what the pairs file says in meta.complexity; where it says nothing, how much "
    "there is to read."
)
# The groups of `by_length_gap` and of `by_confidence`, in their order.
_LENGTHS = ("much shorter", "shorter", "one about equal", "longer", "much longer")
_SURE = ("50-60%", "60-70%", "70-80%", "80-90%", "90-95%", "95-100%")
Rows = Sequence[tuple[str, Estimate | None]]


@st.fragment
def show_judge_errors(project: Project, findings: Findings, main: StratumReading) -> None:
    """The diagnosis that the reader picks, with n and what it means.

    One at a time, and drawn again alone: a dozen charts at once would keep the page waiting.
    """
    audited = findings.audited("main")
    st.header("Where the judge is wrong")
    st.caption(
        "Groups that were not declared before the draw are hints where to look: among twenty of "
        "them one is bound to look bad. Intervals hold at every label (anytime)."
    )
    show: dict[str, Callable[[], None]] = {
        "Slices": lambda: _show_slices(findings, audited, main),
        "Length": lambda: _show_length(audited, main),
        "Confidence": lambda: _show_confidence(audited, main),
        "Judges": lambda: _show_judges(project, audited, main),
        "Position": lambda: _show_position(project),
    }
    chosen = st.segmented_control(
        "Look at", list(show), default="Slices", required=True, key="diagnosis"
    )
    show[chosen or "Slices"]()


def _show_slices(findings: Findings, audited: pd.DataFrame, main: StratumReading) -> None:
    shown = False
    for one in main.design.slices:
        rows = breakdown(
            audited,
            audited["slices"].map(lambda values, name=one.name: values.get(name) or "(none)"),
            main.gate,
            main.design.n_population,
        )
        if len(rows) < 2:
            continue
        shown = True
        st.subheader(f"By {plain(one.name)}")
        kind = "Declared before the draw" if one.declared else "Not declared: exploratory"
        _forest(
            rows,
            f"slice-{one.name}",
            main,
            f"Agreement with people by {one.name}, with intervals. {kind}. "
            f"n = {len(audited):,} audited pairs."
            + (_COMPLEXITY if one.name == "complexity" else ""),
        )
    entries = [entry for entry in findings.slices.get("main", ()) if entry.declared]
    if entries:
        st.markdown("**The gate within each declared slice**")
        table = pd.DataFrame(
            [
                {
                    "slice": entry.slice,
                    "value": entry.value,
                    "decision": entry.decision,
                    "labels": entry.n,
                    "pairs": entry.n_population,
                    "alpha": entry.alpha,
                }
                for entry in entries
            ]
        )
        st.dataframe(table, hide_index=True, width="stretch")
        st.caption(
            "The same lines, asked of each group alone. alpha is how often a test may err; the "
            "groups share it, so that all of them together err no more often than the round."
        )
        download(table, "gate-by-slice.csv", "csv-gate-by-slice")
    if not shown:
        st.info(
            "The pairs carry no subset, source or complexity to slice by. Give `subset` or "
            "`meta.complexity` in the pairs file, or declare `meta.KEY` when a round is drawn."
        )


def _show_length(audited: pd.DataFrame, main: StratumReading) -> None:
    ai = label_codes(audited["ai"]).to_numpy()
    human = label_codes(audited["human"]).to_numpy()
    chars_a, chars_b = audited["chars_a"].to_numpy(), audited["chars_b"].to_numpy()
    group, _ = by_length_gap(chars_a, chars_b, ai)
    rows = [
        (
            f"the AI chose the {name}",
            agreement_of(audited[group == k], main.gate, main.design.n_population),
        )
        for k, name in enumerate(_LENGTHS)
    ]
    _forest(
        rows,
        "length",
        main,
        "Agreement with people where the AI chose the longer or the shorter response, by how much "
        f"longer (much: more than twice; about equal: within 10%). n = {len(audited):,} audited "
        "pairs.",
    )
    bias = defined(length_bias, ai, human, chars_a, chars_b, audited["prompt"].to_numpy())
    if bias is None:
        st.caption("Too few labels, or too little difference in length, to measure length bias.")
        return
    excess = bias.excess
    verdict = (
        "likes length more than people do"
        if excess.low > 0
        else "likes length less than people do"
        if excess.high < 0
        else "cannot be told apart from people in its taste for length"
    )
    st.caption(
        f"The judge {verdict}: its slope on log length less people's is {excess.estimate:+.2f} "
        f"(95% interval {excess.low:+.2f} to {excess.high:+.2f}, p = {bias.p_value:.3f}, "
        f"n = {excess.n:,} pairs). People may rightly like longer answers, so only the excess "
        "counts."
    )


def _show_confidence(audited: pd.DataFrame, main: StratumReading) -> None:
    p_a, human = judge_confidence(audited)
    if np.isnan(p_a).all():
        st.info("This judge gave no probabilities (p_a), so its confidence cannot be checked.")
        return
    group, _ = by_confidence(p_a)
    _forest(
        [
            (f"sure {name}", agreement_of(audited[group == k], main.gate, main.design.n_population))
            for k, name in enumerate(_SURE)
        ],
        "confidence",
        main,
        "Agreement with people by how sure the judge was of its label: it should rise with it. "
        f"n = {int((~np.isnan(p_a)).sum()):,} audited pairs with a probability.",
    )
    result: Calibration | None = defined(calibration, p_a, human, audited["prompt"].to_numpy())
    if result is None:
        st.caption("No audited pair has both a probability and a decisive human label.")
        return
    st.plotly_chart(
        charts.reliability_figure([(one.mean_p_a, one.observed) for one in result.bins]),
        key="reliability",
        width="stretch",
    )
    st.caption(
        f"When the judge says it is this sure that A is better, how often do people choose A? On "
        f"the diagonal its probabilities mean what they say. Expected calibration error: "
        f"{interval_words(result.ece)}; chance alone would show {result.ece_if_calibrated:.1%}. "
        f"Brier score {result.brier.estimate:.3f} ({result.brier.low:.3f} to "
        f"{result.brier.high:.3f}; always saying one half gets 0.25)."
    )
    points = [(f"{one.mean_p_a:.3f}", one.observed) for one in result.bins]
    download(estimates_table(points, "mean p_a"), "reliability.csv", "csv-reliability")


def _show_judges(project: Project, audited: pd.DataFrame, main: StratumReading) -> None:
    rows_of = project.store.rows_of(audited["pair_id"].tolist())
    rows = [
        (
            judge.name,
            agreement_of(
                audited[rows_of >= 0],
                main.gate,
                main.design.n_population,
                judge.combined.label[rows_of[rows_of >= 0]],
            ),
        )
        for judge in all_judges(project)
    ]
    _forest(
        rows,
        "judges",
        main,
        "Every judge against the same audited pairs "
        f"(n = {len(audited):,}, less those a judge has no label for). Only the label named at the "
        "top was declared for this round; the others are shown for comparison.",
    )
    told = [
        f"{plain(judge.name)} has no label on {n_none:,} of {len(judge.combined.label):,} pairs "
        f"({judge.combined.n_abstained:,} abstained, {judge.combined.n_failed:,} failed, the rest "
        "not judged)"
        for judge in all_judges(project)
        if (n_none := int((judge.combined.label == NONE).sum()))
    ]
    if told:
        st.caption(f"{'; '.join(told)}.")


def _show_position(project: Project) -> None:
    judges = all_judges(project)
    known = [judge for judge in judges if judge.position is not None]
    if not known:
        st.info(
            "No judge was asked in both orders, so position bias cannot be measured. Judge every "
            "pair as A-B and as B-A."
        )
        return
    rows = [(judge.name, judge.position.flip_rate if judge.position else None) for judge in judges]
    st.plotly_chart(
        charts.estimates_figure(
            [(for_chart(name), value) for name, value in rows],
            axis="verdicts that change when the responses change places",
        ),
        key="flips",
        width="stretch",
    )
    st.caption(
        "A judge that reads only the responses gives the same verdict in both orders: the further "
        f"right, the more its place decides. n = {known[0].position.n:,} pairs judged in both "
        f"orders by {plain(known[0].name)}."
        if known[0].position
        else ""
    )
    for judge in known:
        position = judge.position
        if position is None:
            continue
        lean = "first" if position.flips_to_first * 2 >= position.flips else "second"
        toward = (
            position.flips_to_first if lean == "first" else position.flips - position.flips_to_first
        )
        st.caption(
            f"{plain(judge.name)}: {position.flips:,} of {position.n:,} pairs flip, {toward:,} of "
            f"them toward the response shown {lean} (exact sign test p = {position.p_value:.3g}); "
            f"{judge.n_failed:,} verdicts failed and are not scored."
        )
    download(estimates_table(rows, "judge"), "position.csv", "csv-position")


def _forest(rows: Rows, key: str, main: StratumReading, meaning: str) -> None:
    lines = {"TRUST": main.gate.trust_above, "WARN": main.gate.warn_below}
    st.plotly_chart(
        charts.estimates_figure([(for_chart(name), value) for name, value in rows], lines),
        key=f"forest-{key}",
        width="stretch",
    )
    st.caption(plain(meaning))
    download(estimates_table(rows, "group"), f"agreement-by-{key}.csv", f"csv-{key}")
