"""What an export would hold, counted without writing it, quickly enough for a form."""

from dataclasses import dataclass, replace

import numpy as np
import streamlit as st

from pipelines.agreement.annotations import BoolArray
from pipelines.preferences.curate import (
    HUMAN,
    KEPT,
    Counts,
    Curated,
    Evidence,
    Policy,
    curate,
    tallies,
)
from workbench.app.stamps import Stamp, all_rounds_stamp, store_stamp
from workbench.export.material import gather
from workbench.export.options import ExportOptions
from workbench.pairs.made import read_made, why_stale
from workbench.pairs.output import FOLDER
from workbench.project import Project


@dataclass(frozen=True)
class Counted:
    """What would be exported."""

    label: str | None  # the AI label: a judge or a rule; None without AI verdicts
    n_votes: int  # given in rounds
    counts: Counts
    n_imported: int  # of the pairs kept by a person's label: the label came with the pair's file


@dataclass(frozen=True)
class MadeCounted:
    """What `workbench pairs` made."""

    counted: Counted
    stale: str | None  # why it cannot be exported as it is
    made_at: float  # Unix seconds


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
    curated = curate(found.evidence, options.policy)
    n_imported = _n_imported(found.evidence, curated, curated.fate == KEPT)
    return Counted(found.label, found.n_votes, curated.counts, n_imported)


def count_everything(project: Project, options: ExportOptions) -> Counted:
    """The counts of a pairs file, which nothing leaves.

    Raises:
        BadInput: As `count`.
    """
    found = _gathered(project, options)
    curated = curate(found.evidence, Policy(ties="keep", identical="keep"))
    n = len(curated.fate)
    counts = Counts(n, n, (), *tallies(curated.source, curated.label))
    n_imported = _n_imported(found.evidence, curated, np.ones(n, np.bool_))
    return Counted(found.label, found.n_votes, counts, n_imported)


def count_made(project: Project) -> MadeCounted | None:
    """The counts of what `workbench pairs` made; None where it has not run.

    Raises:
        BadInput: Its files are damaged.
    """
    try:
        written = (project.dir / FOLDER / "manifest.json").stat()
    except FileNotFoundError:
        return None
    stamp = (written.st_mtime_ns, store_stamp(project), all_rounds_stamp(project))
    with st.spinner("Reading the pairs that were made..."):
        return _count_made(project, written.st_mtime, stamp)


@st.cache_resource(max_entries=2, show_spinner=False)
def _count_made(_project: Project, made_at: float, stamp: Stamp) -> MadeCounted | None:
    made = read_made(_project)
    if made is None:
        return None
    known = made.judge is None or made.judge in _project.store.annotations().judges
    found = gather(_project, made.round, made.judge if known else made.manifest["label"])
    by_person = made.kept & (made.source == HUMAN)
    n_imported = int((by_person & ~found.evidence.round_votes.any(axis=1)).sum())
    counted = Counted(found.label, found.labels.n_votes, made.counts(), n_imported)
    return MadeCounted(counted, why_stale(_project, made, found), made_at)


def _n_imported(evidence: Evidence, curated: Curated, kept: BoolArray) -> int:
    by_person = kept & (curated.source == HUMAN)
    return int((by_person & ~evidence.round_votes.any(axis=1)).sum())


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
