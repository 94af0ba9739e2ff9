"""What the research pages show of one round, computed once per change of the labels."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from pipelines.agreement.active_gate import active_path
from pipelines.agreement.annotations import NONE, TIE, FloatArray, IntArray
from pipelines.agreement.comparison import defined
from pipelines.agreement.decision import AGREE, HUMAN_TIE, outcomes
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.gate import Gate, GatePath, gate_path
from pipelines.agreement.kappa import crosstab
from pipelines.agreement.position import PositionBias, labels_by_order, position_bias
from pipelines.agreement.sequence import decisive_interval, ppr_interval
from pipelines.preferences.combine import Combined, combine_judge
from workbench.app.stamps import Stamp, round_stamp, store_stamp
from workbench.audit.active_draw import recorded_stages
from workbench.audit.certificate_file import Ceiling, PersonEntry, SliceEntry
from workbench.audit.design import RoundDesign
from workbench.audit.evidence import by_annotator, ceiling, read_declared
from workbench.audit.progress import Progress, progress
from workbench.audit.reading import RoundReading, StratumReading, read_as_of, read_round
from workbench.audit.reviewed import draw_stamp, drawn_items, label_codes, reviewed_items
from workbench.audit.rounds import find_round, read_design
from workbench.db.models import Round
from workbench.db.session import reading
from workbench.project import Project


@dataclass(frozen=True)
class Standing:
    """How a round stands: its gates and its progress, without what is behind them."""

    reading: RoundReading
    progress: Progress


@dataclass(frozen=True)
class Reviewed:
    """The labelled pairs of a round, without any reading of them."""

    round_id: int
    design: RoundDesign
    drawn: pd.DataFrame  # every pair of the queue
    items: pd.DataFrame  # those with a label; see workbench.audit.reviewed for both


@dataclass(frozen=True)
class Findings:
    """One round, read at one moment."""

    reading: RoundReading
    progress: Progress
    items: pd.DataFrame  # see workbench.audit.reviewed
    ceiling: Ceiling | None
    people: Mapping[str, tuple[PersonEntry, ...]]  # by stratum
    slices: Mapping[str, tuple[SliceEntry, ...]]  # the declared ones
    paths: Mapping[str, GatePath]  # of the strata with labels

    def audited(self, stratum: str) -> pd.DataFrame:
        """The labelled pairs of a stratum's answered prefix, in draw order."""
        part = next(one for one in self.reading.strata if one.design.name == stratum)
        read = self.items[self.items["item_id"].isin(part.labels.item_id)]
        return read[read["human"].notna()].sort_values("position")


def round_names(project: Project) -> list[str]:
    """Names of all rounds, newest first."""
    with reading(project.engine) as session:
        return list(session.scalars(select(Round.name).order_by(Round.id.desc())))


def standing(project: Project, round_name: str) -> Standing:
    """How a round stands; read again only when somebody did something in it."""
    return _stand(project, round_name, _stamp(project, round_name))


def reviewed(project: Project, round_name: str) -> Reviewed:
    """A round's labelled pairs; read again only when somebody did something in it."""
    return _reviewed(project, round_name, _stamp(project, round_name))


def find(project: Project, round_name: str) -> Findings:
    """The findings of a round; computed again only when somebody did something in it."""
    stamp = _stamp(project, round_name)
    with st.spinner("Reading the labels..."):
        return _find(project, round_name, stamp)


def warm(project: Project) -> None:
    """Compute the newest round's findings before anybody asks, outside a page."""
    names = round_names(project)
    if names:
        _find(project, names[0], _stamp(project, names[0]))


def _stamp(project: Project, round_name: str) -> Stamp:
    with reading(project.engine) as session:
        return str(project.dir), *round_stamp(session, find_round(session, round_name))


@st.cache_resource(max_entries=32, show_spinner=False)
def _stand(_project: Project, round_name: str, stamp: Stamp) -> Standing:
    # Nothing is written while it is read, or annotators would wait at SQLite's one writer.
    with reading(_project.engine) as session:
        read = read_as_of(session, find_round(session, round_name), None)
        now = progress(session, read.round.id)
    if any(part.crossing is None and part.now.decision != "UNDECIDED" for part in read.strata):
        read = read_round(_project, round_name)  # records a decision that nobody saw before
    return Standing(read, now)


@st.cache_resource(max_entries=8, show_spinner=False)
def _drawn(_project: Project, round_id: int, stamp: Stamp) -> pd.DataFrame:
    with reading(_project.engine) as session:
        return drawn_items(session, round_id)


@st.cache_resource(max_entries=8, show_spinner=False)
def _reviewed(_project: Project, round_name: str, stamp: Stamp) -> Reviewed:
    with reading(_project.engine) as session:
        found = find_round(session, round_name)
        drawn = _drawn(_project, found.id, (str(_project.dir), *draw_stamp(session, found.id)))
        items = reviewed_items(session, found.id, drawn)
        return Reviewed(found.id, read_design(found), drawn, items)


@st.cache_resource(max_entries=8, show_spinner=False)
def _find(_project: Project, round_name: str, stamp: Stamp) -> Findings:
    now, said = _stand(_project, round_name, stamp), _reviewed(_project, round_name, stamp)
    read = now.reading
    filled = [part for part in read.strata if len(part.labels)]
    with reading(_project.engine) as session:
        return Findings(
            reading=read,
            progress=now.progress,
            items=said.items,
            ceiling=ceiling(session, said.round_id),
            people={part.design.name: by_annotator(session, part) for part in filled},
            slices={
                part.design.name: read_declared(
                    part, said.drawn.loc[part.labels.item_id, "slices"].tolist(), declared=True
                )
                for part in filled
            },
            paths={part.design.name: _path(session, read, part) for part in filled},
        )


def _path(session: Session, read: RoundReading, part: StratumReading) -> GatePath:
    if read.design.is_active(part.design.name):
        drawn = recorded_stages(session, read.round.id, part.design.name)
        return active_path(part.gate, drawn.groups, drawn.stages, part.outcomes)
    return gate_path(part.gate, part.outcomes, part.design.n_population)


def confusion(audited: pd.DataFrame) -> IntArray:
    """Pairs by human label (rows) and AI label (columns), shape (3, 3)."""
    human = label_codes(audited["human"]).to_numpy()
    return crosstab(human, label_codes(audited["ai"]).to_numpy(), TIE + 1)


def agreement_of(
    audited: pd.DataFrame, gate: Gate, n_population: int, ai: IntArray | None = None
) -> Estimate | None:
    """Agreement on some audited pairs, with an interval that holds at every label (anytime).

    The population of a part is not larger than the stratum's, so its interval is a little wide.

    Args:
        audited: Rows of `Findings.audited`.
        gate: How ties count, and the level.
        n_population: Pairs of the stratum in N.
        ai: Codes of other AI labels than the audited ones, shape (len(audited),); -1 is left out.
    """
    human = label_codes(audited["human"]).to_numpy()
    labels = label_codes(audited["ai"]).to_numpy() if ai is None else np.asarray(ai)
    codes = outcomes(labels[labels != NONE], human[labels != NONE], gate.ties)
    n_agree, n_tie = int((codes == AGREE).sum()), int((codes == HUMAN_TIE).sum())
    n = len(codes) - n_tie
    if n == 0:
        return None
    if gate.ties == "strict":
        low, high = ppr_interval(n_agree, n, n_population, gate.alpha)
    else:
        low, high = decisive_interval(n_agree, n, n_tie, n_population, gate.alpha)
    return Estimate(n_agree / n, float(low), float(high), "ppr", n)


def breakdown(
    audited: pd.DataFrame, by: "pd.Series[str]", gate: Gate, n_population: int
) -> list[tuple[str, Estimate | None]]:
    """Agreement in each group of audited pairs, in the order of the groups' names."""
    return [
        (str(name), agreement_of(group, gate, n_population))
        for name, group in audited.groupby(by, sort=True, observed=True)
    ]


def judge_confidence(audited: pd.DataFrame) -> tuple[FloatArray, IntArray]:
    """(p_a, human label codes) of the audited pairs, both of shape (n,)."""
    return (
        audited["p_a"].to_numpy(dtype=np.float64),
        label_codes(audited["human"]).to_numpy(),
    )


@dataclass(frozen=True)
class JudgeOnAll:
    """One judge over all imported pairs."""

    name: str
    combined: Combined  # (n_pairs,)
    position: PositionBias | None  # None where no pair was judged in both orders
    n_failed: int  # verdicts without a label


def all_judges(project: Project) -> tuple[JudgeOnAll, ...]:
    """Every judge's labels and position bias; computed again only when there are new verdicts."""
    return _all_judges(project, store_stamp(project))


@st.cache_resource(max_entries=4, show_spinner="Reading the judges' verdicts...")
def _all_judges(_project: Project, stamp: Stamp) -> tuple[JudgeOnAll, ...]:
    annotations = _project.annotations()
    found = []
    for code, name in enumerate(annotations.judges):
        mine = annotations.verdict_judge == code
        ab, ba = labels_by_order(
            annotations.verdict_pair[mine],
            annotations.verdict_order[mine],
            annotations.verdict_label[mine],
            annotations.n_pairs,
        )
        found.append(
            JudgeOnAll(
                name=name,
                combined=combine_judge(annotations, name),
                position=defined(position_bias, ab, ba, annotations.prompt),
                n_failed=int((annotations.verdict_failure[mine] != NONE).sum()),
            )
        )
    return tuple(found)
