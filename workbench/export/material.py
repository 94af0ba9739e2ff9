"""Everything an export knows before the first text is read: verdicts, human labels, their draw."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from pipelines.agreement.annotations import LABEL_NAMES, NONE, Annotations, IntArray
from pipelines.agreement.reference import votes_of
from pipelines.errors import BadInput
from pipelines.preferences.combine import combine, is_derived
from pipelines.preferences.curate import (
    KEPT,
    NO_VERDICT,
    SOURCES,
    Curated,
    Evidence,
    absence,
    vote_counts,
)
from pipelines.records import LABELS
from workbench.audit.argilla_votes import ASSISTED
from workbench.export.labels import PairLabels, RoundLabels, audited_label, read_labels
from workbench.export.rows import ORDERS, Outcome
from workbench.export.texts import identical_flags
from workbench.project import Project

_CODES = {name: code for code, name in enumerate(LABEL_NAMES)}


@dataclass(frozen=True)
class Material:
    """The project's pairs and labels as arrays, n_pairs rows each, in store order."""

    label: str | None  # the AI label of this export: a judge, a rule; None without AI verdicts
    annotations: Annotations
    labels: RoundLabels
    evidence: Evidence
    drawn: dict[int, PairLabels]  # by row
    n_strays: int  # pairs of a round that the store does not hold
    orders: IntArray  # bits: 1 asked in order ab, 2 in order ba

    def human_hash(self) -> str:
        """SHA-256 of all that people said: equal hashes, equal votes, adjudications and labels."""
        digest = hashlib.sha256()
        for name in ("imported_votes", "round_votes", "adjudicated", "identical"):
            values = np.ascontiguousarray(getattr(self.evidence, name))
            digest.update(f"{name} {values.dtype} {values.shape}".encode())
            digest.update(values.tobytes())
        digest.update(np.ascontiguousarray(self.blind_evidence().round_votes).tobytes())
        return digest.hexdigest()

    def blind_evidence(self) -> Evidence:
        """The evidence without votes that were given with the AI's label in sight, and without the
        adjudications of such pairs: these votes lean the AI's way, and what is adjudicated is what
        people disputed. So nothing is learned from them of what the AI is worth.
        """
        votes = self.evidence.round_votes.copy()
        adjudicated = self.evidence.adjudicated.copy()
        for row, pair in self.drawn.items():
            for vote in pair.votes.values():
                if vote.origin == ASSISTED:
                    votes[row, _CODES[vote.label]] -= 1
                    adjudicated[row] = NONE
        return replace(self.evidence, round_votes=votes, adjudicated=adjudicated)

    def people(self) -> list[str]:
        """Everybody whose name stands on a label, sorted."""
        names = set(self.annotations.annotators)
        for pair in self.labels.pairs.values():
            names.update(vote.annotator for vote in pair.votes.values())
            if pair.adjudication is not None:
                names.add(pair.adjudication.annotator)
        return sorted(names)

    def aliases(self) -> dict[str, str]:
        """A stand-in for each name: annotator-1, annotator-2, ..., in the names' order."""
        return {name: f"annotator-{place}" for place, name in enumerate(self.people(), start=1)}


def gather(project: Project, round_name: str | None, label: str | None) -> Material:
    """Read what there is.

    Args:
        project: The project.
        round_name: Only this round's labels; None takes those of all rounds.
        label: The AI label; None takes the rounds' one, the configured one, or the only judge's.

    Raises:
        BadInput: No pairs, no such round, or several judges and none named.
    """
    annotations = project.annotations()
    pa.default_memory_pool().release_unused()  # Arrow keeps what reading a million rows took
    n = annotations.n_pairs
    if n == 0:
        raise BadInput(f"{project.dir}: no pairs yet; `workbench import FILE` brings some")
    labels = read_labels(project.engine, round_name)
    chosen = _choose_label(annotations, label or audited_label(labels), project.config.audit.label)
    drawn = _by_row(project, labels)
    round_votes = np.zeros((n, 3), dtype=np.int32)
    adjudicated = np.full(n, NONE, dtype=np.int8)
    inclusion_prob = np.full(n, np.nan)
    for row, pair in drawn.items():
        inclusion_prob[row] = pair.inclusion_prob
        for vote in pair.votes.values():
            round_votes[row, _CODES[vote.label]] += 1
        if pair.adjudication is not None:
            adjudicated[row] = _CODES[pair.adjudication.label]
    ai_label, ai_p_a = np.full(n, NONE, dtype=np.int8), np.full(n, np.nan)
    why = np.full(n, NO_VERDICT, dtype=np.int8)
    judge = chosen if chosen in annotations.judges else None
    if chosen is not None:
        combined = combine(annotations, chosen)
        ai_label, ai_p_a = combined.label, combined.p_a
        why = np.where(ai_label == NONE, absence(annotations, judge), KEPT)
    imported = votes_of(annotations)
    evidence = Evidence(
        ai_label=ai_label,
        ai_p_a=ai_p_a,
        ai_absence=why,
        imported_votes=vote_counts(n, imported.pair, imported.label),
        round_votes=round_votes,
        adjudicated=adjudicated,
        identical=identical_flags(project.store),
        inclusion_prob=inclusion_prob,
    )
    n_strays = len(labels.pairs) - len(drawn)
    orders = _orders(annotations, judge)
    return Material(chosen, annotations, labels, evidence, drawn, n_strays, orders)


def _by_row(project: Project, labels: RoundLabels) -> dict[int, PairLabels]:
    if not labels.pairs:  # spares reading a million ids
        return {}
    rows = project.store.rows_of(list(labels.pairs)).tolist()
    return {row: pair for row, pair in zip(rows, labels.pairs.values(), strict=True) if row >= 0}


def _choose_label(annotations: Annotations, asked: str | None, configured: str) -> str | None:
    if asked or configured:
        return asked or configured
    judges = [judge for judge in annotations.judges if not is_derived(judge)]
    if len(judges) > 1:
        raise BadInput(
            f"the pairs hold labels of several judges ({', '.join(annotations.judges)}); "
            "say whose to export: --label JUDGE, majority or mean"
        )
    return judges[0] if judges else None


def _orders(annotations: Annotations, judge: str | None) -> IntArray:
    mine = annotations.verdict_order >= 0
    if judge is not None:
        mine &= annotations.verdict_judge == annotations.judges.index(judge)
    bits = np.zeros(annotations.n_pairs, dtype=np.int8)
    for order, bit in ((0, 1), (1, 2)):
        bits[annotations.verdict_pair[mine & (annotations.verdict_order == order)]] |= bit
    return bits


class Outcomes:
    """What curation and the rounds say of each pair, one row at a time."""

    def __init__(self, material: Material, curated: Curated):
        self._material, self._curated = material, curated
        self._imported = votes_of(material.annotations)  # sorted by pair

    def of(self, row: int) -> Outcome:
        """The outcome of a kept pair."""
        curated, evidence = self._curated, self._material.evidence
        ai_p_a = float(evidence.ai_p_a[row])
        agrees = int(curated.agrees[row])
        return Outcome(
            label=LABELS[curated.label[row]],
            p_a=float(curated.p_a[row]),
            weight=float(curated.weight[row]),
            label_source=SOURCES[curated.source[row]],
            human_label=_name(int(curated.human_label[row])),
            n_human_labels=int(curated.n_votes[row]),
            ai_label=_name(int(evidence.ai_label[row])),
            ai_p_a=None if np.isnan(ai_p_a) else ai_p_a,
            agrees=None if agrees < 0 else bool(agrees),
            orders=ORDERS[self._material.orders[row]],
            identical=bool(evidence.identical[row]),
            drawn=self._material.drawn.get(row),
            imported_by=self._imported_by(row),
        )

    def _imported_by(self, row: int) -> tuple[str, ...]:
        names = self._material.annotations.annotators
        first, last = np.searchsorted(self._imported.pair, [row, row + 1])
        return tuple(names[code] for code in self._imported.annotator[first:last])


def _name(code: int) -> str | None:
    return None if code == NONE else LABEL_NAMES[code]
