"""Suites, judges and reward models of an evaluation: part of the page *Win rates*."""

import pandas as pd
import streamlit as st

from pipelines.agreement.estimate import Estimate
from pipelines.evaluate.result import EvaluationFound, SuiteFound
from workbench.app.win_charts import bars_figure
from workbench.app.words import download, estimates_table, for_chart, plain


def show_suites(found: EvaluationFound) -> None:
    """Every suite: shares by policy and group, and what changed."""
    for one in found.suites:
        st.header(plain(one.title))
        _show_suite(one, [policy.name for policy in found.policies], found.confidence)


def _show_suite(one: SuiteFound, policies: list[str], confidence: float) -> None:
    groups = list(dict.fromkeys(group.group for group in one.groups))
    series = [
        (
            for_chart(policy),
            [(_name(each.group), each.share) for each in one.groups if each.policy == policy],
        )
        for policy in policies
    ]
    if not groups:
        st.info("No response of this suite could be measured.")
        return
    st.plotly_chart(bars_figure(series, one.share_of), width="stretch", key=f"suite-{one.name}")
    better = "lower is better" if one.lower_is_better else "higher is better"
    n_of = {policy: _whole(one, policy) for policy in policies}
    n = ", ".join(f"{plain(policy)} {value.n:,}" for policy, value in n_of.items() if value)
    st.caption(
        f"{plain(one.about)} Measured {one.how}; {better}. Lines are {confidence:.0%} intervals, "
        f"by prompt. n = {one.n_prompts:,} prompts; outcomes: {n}."
    )
    if one.n_left_out:
        reasons = ", ".join(f"{count:,} ({plain(why)})" for why, count in one.n_left_out.items())
        st.caption(f"Responses without an outcome, not counted: {reasons}.")
    _say_changes(one)
    rows = [(f"{each.policy}, {_name(each.group)}", each.share) for each in one.groups]
    table = estimates_table(rows, "policy and group")
    with st.expander(f"Figures of {plain(one.title)}, before and after"):
        st.dataframe(table, hide_index=True, width="stretch")
        download(table, f"{one.name}.csv", f"csv-suite-{one.name}")
        if one.changes:
            changes = _changes_table(one)
            st.dataframe(changes, hide_index=True, width="stretch")
            download(changes, f"{one.name}-changes.csv", f"csv-changes-{one.name}")


def _say_changes(one: SuiteFound) -> None:
    """Before and after, paired by prompt, of the whole suite."""
    for each in one.changes:
        if each.group:
            continue
        gap = each.change.difference
        st.markdown(
            f"From {plain(each.before)} to {plain(each.after)}: "
            f"**{100 * gap.estimate:+.1f} points** ({100 * gap.low:+.1f} to "
            f"{100 * gap.high:+.1f}, n = {gap.n:,} paired outcomes, "
            f"p = {each.change.p_value:.3g})."
        )


def _changes_table(one: SuiteFound) -> pd.DataFrame:
    """Every change, of the whole suite and by group."""
    return pd.DataFrame(
        [
            {
                "from": each.before,
                "to": each.after,
                "group": _name(each.group),
                "change": each.change.difference.estimate,
                "low": each.change.difference.low,
                "high": each.change.difference.high,
                "n": each.change.n,
                "p": each.change.p_value,
                "p, all together": each.p_adjusted,
            }
            for each in one.changes
        ]
    )


def show_alignment(found: EvaluationFound) -> None:
    """Labeler alignment and reward-model accuracy."""
    rows: list[tuple[str, Estimate | None]] = [
        (f"{one.kind}: {one.name}", one.accuracy) for one in found.alignment
    ]
    series = [
        (kind, [(for_chart(one.name), one.accuracy) for one in found.alignment if one.kind == kind])
        for kind in ("labeler alignment", "reward-model accuracy")
        if any(one.kind == kind for one in found.alignment)
    ]
    st.plotly_chart(
        bars_figure(series, "people's preferences that are met", 0.5),
        width="stretch",
        key="alignment",
    )
    ties = max(one.n_ties for one in found.alignment)
    st.caption(
        "How often a judge prefers, or a reward model rewards, the response that people prefer, on "
        "the project's own labelled pairs (as the RLAIF paper defines them, arXiv:2309.00267). "
        f"{ties:,} human ties prefer nothing and are left out. One half is a coin. n stands in the "
        "table."
    )
    for one in found.alignment:
        if one.n_left_out:
            reasons = ", ".join(f"{n:,} ({plain(why)})" for why, n in one.n_left_out.items())
            st.caption(f"{plain(one.name)}: pairs left out: {reasons}.")
    table = estimates_table(rows, "who")
    st.dataframe(table, hide_index=True, width="stretch")
    download(table, "alignment.csv", "csv-alignment")


def _whole(one: SuiteFound, policy: str) -> Estimate | None:
    return next(
        (each.share for each in one.groups if each.policy == policy and each.group == ""), None
    )


def _name(group: str) -> str:
    return for_chart(group, 40) if group else "all"
