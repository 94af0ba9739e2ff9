"""Curated data out: choose a format and policies, see what they cost, look, download."""

from datetime import UTC, datetime

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pipelines.errors import BadInput
from pipelines.preferences.combine import RULES
from pipelines.preferences.curate import Counts
from workbench.app.counting import (
    Counted,
    MadeCounted,
    count,
    count_disagreements,
    count_everything,
    count_made,
)
from workbench.app.findings import all_judges, round_names
from workbench.app.views.export_file import show_file
from workbench.app.words import download, plain
from workbench.export.formats import FORMAT_NAMES, FORMATS, Format
from workbench.export.options import ExportOptions, policy_of
from workbench.project import Project

_DISAGREEMENT = {
    "override": "the human label wins",
    "drop": "leave the pair out",
    "soft": "keep both in a soft label",
}
_TIES = {"drop": "leave ties out", "keep": "keep them as ties", "half": "soft label one half"}
# The steps' policies by the names that the form above the table gives them.
_POLICIES = (
    {("disagreement", name): said for name, said in _DISAGREEMENT.items()}
    | {("ties", name): said for name, said in _TIES.items()}
    | {("identical responses", "drop"): "leave the pair out"}
)
_SOURCES = {"ai": "by the AI", "human": "by people in rounds", "adjudicated": "by adjudication"}
_CURATED, _MADE = "people's and the AI's, curated here", "as `workbench pairs` made them"


def render(project: Project) -> None:
    """Draw the page."""
    st.title("Export curated data")
    if not project.store.manifest().parts:
        st.info(
            "Nothing was imported yet: `workbench import FILE`. Then this page counts what each "
            "policy keeps, and hands out the file that a trainer reads."
        )
        return
    try:
        options, counted = _choose_and_count(project)
    except BadInput as refusal:
        st.error(str(refusal))
        return
    st.header("The file")
    if not counted.counts.n_kept:
        st.warning("These policies leave no pair to export. Choose others above.")
        return
    show_file(project, options)


def _choose_and_count(project: Project) -> tuple[ExportOptions, Counted]:
    name = st.selectbox("Format", FORMAT_NAMES)
    fmt = FORMATS[name]
    st.caption(f"{fmt.about[0].upper()}{fmt.about[1:]}.")
    if fmt.shape == "pairs":
        options = _choose_pairs_file(project)
        counted = count_everything(project, options)
        _show_counts(counted, options)
        return options, counted
    made = _choose_made(project)
    if made is not None:
        plain_fmt, policy = policy_of(name, project.config.curate)
        aliases = st.checkbox("Numbers in place of people's names")
        options = ExportOptions(plain_fmt, policy, pseudonyms=aliases, made=True)
        _show_counts(made.counted, options)
        return options, made.counted
    options = _choose(project, fmt)
    counted = count(project, options)
    _show_counts(counted, options)
    _show_policies(count_disagreements(project, options, list(_DISAGREEMENT)))
    return options, counted


def _choose_made(project: Project) -> MadeCounted | None:
    """What `workbench pairs` made, where the reader takes it; it is the default while it is good.

    The same choice as the command line's `--from`.
    """
    made = count_made(project)
    if made is None:
        return None
    if made.stale is not None:
        st.caption(
            f"`workbench pairs` has run, and what it made is out of date ({plain(made.stale)}), so "
            "labels are curated here; run it again to export its labels, weights and splits."
        )
        return None
    chosen = st.radio("Labels", [_MADE, _CURATED])
    if chosen != _MADE:
        return None
    when = datetime.fromtimestamp(made.made_at, tz=UTC)
    st.caption(
        f"Made on {when:%Y-%m-%d %H:%M} UTC and up to date: corrected or recalibrated labels, "
        "filters, weights and splits as `[pairs]` in project.toml says. No policy of this page "
        "applies."
    )
    return made


def _choose_pairs_file(project: Project) -> ExportOptions:
    left, right = st.columns(2)
    round_name = _choose_round(project, left)
    label = _choose_label(project, right)
    st.caption("A pairs file holds every pair with all its labels, so no policy applies.")
    fmt, policy = policy_of("pairs", project.config.curate)
    return ExportOptions(fmt, policy, round=round_name, label=label)


def _choose_round(project: Project, place: DeltaGenerator) -> str | None:
    chosen = place.selectbox("Human labels from", ["all rounds", *round_names(project)])
    return None if chosen == "all rounds" else chosen


def _choose(project: Project, fmt: Format) -> ExportOptions:
    left, right = st.columns(2)
    round_name = _choose_round(project, left)
    label = _choose_label(project, right)
    defaults = project.config.curate
    disagreement = left.radio(
        "Where people and the AI disagree",
        list(_DISAGREEMENT),
        index=list(_DISAGREEMENT).index(defaults.disagreement),
        format_func=_DISAGREEMENT.__getitem__,
        help="A soft label is a share from 0 to 1: how much speaks for one response. The AI counts "
        "in it as one more voter; a majority of people keeps its side.",
    )
    possible = [policy for policy in _TIES if policy in fmt.ties]
    start = possible.index(defaults.ties) if defaults.ties in possible else 0
    ties = right.radio("Ties", possible, index=start, format_func=_TIES.__getitem__)
    test_share = left.slider(
        "Hold out for a test split (by prompt)", 0.0, 0.5, 0.0, 0.05, format="percent"
    )
    least = left.slider(
        "Least confidence of an AI label",
        0.5,
        1.0,
        0.5,
        0.01,
        format="percent",
        help="An AI label of lower probability is left out. At 50% none is.",
    )
    human_only = right.checkbox("Only pairs that a person labelled")
    pseudonyms = right.checkbox("Numbers in place of people's names")
    _, policy = policy_of(
        fmt.name,
        defaults,
        disagreement=disagreement,
        ties=ties,
        human_only=human_only,
        min_confidence=least if least > 0.5 else None,
    )
    return ExportOptions(
        fmt,
        policy,
        round=round_name,
        label=label,
        test_share=test_share,
        pseudonyms=pseudonyms,
    )


def _choose_label(project: Project, place: DeltaGenerator) -> str | None:
    """Whose AI label leaves, where there is a choice; None leaves it to the rounds."""
    judges = [judge.name for judge in all_judges(project)]
    if len(judges) < 2:
        return None
    audited = "the label that was audited"
    possible = [audited, *judges, *RULES] if round_names(project) else [*judges, *RULES]
    chosen = place.selectbox("AI label", possible)
    return None if chosen == audited else chosen


def _show_counts(done: Counted, options: ExportOptions) -> None:
    counts = done.counts
    st.header(f"{counts.n_kept:,} of {counts.n_pairs:,} pairs")
    sources = ", ".join(f"{n:,} {said}" for said, n in _told(done))
    st.markdown(
        f"Their labels: {sources or 'none'}. AI label: {plain(done.label or 'none')}. "
        f"n = {done.n_votes:,} labels of people given in {plain(options.round or 'all rounds')}."
    )
    table = pd.DataFrame(
        [
            {
                "step": step.name,
                "policy": _POLICIES.get((step.name, step.policy), step.policy),
                "in": step.n_in,
                "out": step.n_out,
                "left out": step.n_in - step.n_out,
                "why": ", ".join(f"{n:,} {why}" for why, n in step.dropped.items()),
            }
            for step in counts.steps
        ]
    )
    if not table.empty:
        st.dataframe(table, hide_index=True, width="stretch")
        st.caption(
            "Each row is one policy, in the order in which they apply: how many pairs came to it, "
            "how many went on, and why the others did not."
        )
        download(table, "export-counts.csv", "csv-counts")


def _told(done: Counted) -> list[tuple[str, int]]:
    """Where the labels of the kept pairs come from, in words."""
    found = []
    for name, n in done.counts.kept_by_source.items():
        if name == "human":
            found.append((_SOURCES[name], n - done.n_imported))
            found.append(("by people's labels that were imported with the pairs", done.n_imported))
        else:
            found.append((_SOURCES.get(name, name), n))
    return [(said, n) for said, n in found if n]


def _show_policies(found: dict[str, Counts]) -> None:
    st.header("What each policy does to the counts")
    table = pd.DataFrame(
        [
            {
                "where people and the AI disagree": _DISAGREEMENT[name],
                "pairs": counts.n_kept,
            }
            | {f"label {label}": n for label, n in counts.kept_by_label.items()}
            for name, counts in found.items()
        ]
    )
    st.dataframe(table, hide_index=True, width="stretch")
    n_pairs = next(iter(found.values())).n_pairs
    st.caption(f"n = {n_pairs:,} pairs under each; all other settings as chosen above.")
    download(table, "export-policies.csv", "csv-policies")
