"""What an export would hold, counted without writing it, quickly enough for a form."""

from dataclasses import dataclass, replace

import streamlit as st

from pipelines.preferences.curate import Counts, Evidence, Policy, curate, tallies
from workbench.app.stamps import Stamp, all_rounds_stamp, store_stamp
from workbench.export.material import gather
from workbench.export.options import ExportOptions
from workbench.project import Project


@dataclass(frozen=True)
class Counted:
    """What would be exported."""

    label: str | None  # the AI label: a judge or a rule; None without AI verdicts
    n_votes: int
    counts: Counts


@dataclass(frozen=True)
class _Gathered:
    label: str | None
    n_votes: int
    evidence: Evidence


def count(project: Project, options: ExportOptions) -> Counted:
    """The counts of an export; what it reads is read again only when labels or pairs came.

    Raises:
        BadInput: No pairs, or several judges and none named.
    """
    found = _gathered(project, options)
    counts = curate(found.evidence, options.policy).counts
    return Counted(found.label, found.n_votes, counts)


def count_everything(project: Project, options: ExportOptions) -> Counted:
    """The counts of a pairs file, which nothing leaves.

    Raises:
        BadInput: As `count`.
    """
    found = _gathered(project, options)
    curated = curate(found.evidence, Policy(ties="keep", identical="keep"))
    n = len(curated.fate)
    counts = Counts(n, n, (), *tallies(curated.source, curated.label))
    return Counted(found.label, found.n_votes, counts)


def count_disagreements(
    project: Project, options: ExportOptions, policies: list[str]
) -> dict[str, Counts]:
    """The counts under each way to treat pairs on which people and the AI disagree."""
    found = _gathered(project, options)
    return {
        name: curate(found.evidence, replace(options.policy, disagreement=name)).counts
        for name in policies
    }


def _gathered(project: Project, options: ExportOptions) -> _Gathered:
    stamp = (store_stamp(project), all_rounds_stamp(project))
    with st.spinner("Counting pairs and labels..."):
        return _gather(project, options.round, options.label, stamp)


@st.cache_resource(max_entries=2, show_spinner=False)
def _gather(
    _project: Project, round_name: str | None, label: str | None, stamp: Stamp
) -> _Gathered:
    found = gather(_project, round_name, label)
    return _Gathered(found.label, found.labels.n_votes, found.evidence)
