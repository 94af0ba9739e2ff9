"""The parts of a certificate beside the gate: people, slices, the human ceiling, drawn pairs."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from pipelines.agreement.annotations import NONE
from pipelines.agreement.decision import AGREE, HUMAN_TIE, UNANSWERED
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.gate import Gate, read_slices
from pipelines.agreement.intervals import wilson
from pipelines.agreement.sequence import decisive_interval
from pipelines.records import LABELS
from workbench.audit.argilla_votes import ASSISTED
from workbench.audit.certificate_file import (
    Ceiling,
    ImportEntry,
    Interval,
    LabelEntry,
    PersonEntry,
    SliceEntry,
)
from workbench.audit.design import MAIN, SAFETY
from workbench.audit.items import text_fingerprint
from workbench.audit.labels import PrefixLabels, n_drawn_by
from workbench.audit.reading import StratumReading
from workbench.audit.standing import live_vote
from workbench.db.models import Annotator, DrawStage, Item, LabelImport, Slot, Vote


def by_annotator(session: Session, reading: StratumReading) -> tuple[PersonEntry, ...]:
    """Agreement with each person, on the first slots that fell to them, most labels first.

    The interval is anytime-valid: each person's slots are a random draw from the population.
    """
    names = dict(session.execute(select(Annotator.id, Annotator.name)).all())
    labels, codes = reading.labels, reading.outcomes
    found = []
    for person in np.unique(labels.annotator_id[codes != UNANSWERED]).tolist():
        mine = codes[labels.annotator_id == person]
        n_agree, n_tie = int((mine == AGREE).sum()), int((mine == HUMAN_TIE).sum())
        found.append(
            PersonEntry(
                annotator=names[person],
                n=len(mine),
                n_agree=n_agree,
                n_tie=n_tie,
                agreement=Interval.of(_anytime(n_agree, len(mine) - n_tie, n_tie, reading)),
            )
        )
    return tuple(sorted(found, key=lambda entry: (-entry.n, entry.annotator)))


def _anytime(n_agree: int, n: int, n_tie: int, reading: StratumReading) -> Estimate | None:
    if n == 0:
        return None
    low, high = decisive_interval(
        n_agree, n, n_tie, reading.design.n_population, reading.gate.alpha
    )
    return Estimate(n_agree / n, float(low), float(high), "ppr", n)


def slice_entries(
    session: Session, round_id: int, reading: StratumReading
) -> tuple[SliceEntry, ...]:
    """The gate in each value of each slice; declared slices share alpha, exploratory ones too."""
    values = _slice_values(session, round_id, reading)
    declared = read_declared(reading, values, declared=True)
    return declared + read_declared(reading, values, declared=False)


def read_declared(
    reading: StratumReading, values: Sequence[Mapping[str, Any]], *, declared: bool
) -> tuple[SliceEntry, ...]:
    """The gate in each value of the slices that were declared, or of those that were not.

    Args:
        reading: The stratum.
        values: The `slices` of each item of its prefix, in draw order.
        declared: Which slices.
    """
    slices = [one for one in reading.design.slices if one.declared == declared]
    entries = []
    for one in slices:
        shared = Gate(
            reading.gate.trust_above,
            reading.gate.warn_below,
            reading.gate.alpha / len(slices),
            reading.gate.ties,
        )
        names = list(one.counts)
        place = {name: k for k, name in enumerate(names)}
        codes = [place.get(value.get(one.name, ""), -1) for value in values]
        read = read_slices(shared, reading.outcomes, np.array(codes, int), one.counts)
        entries += [
            SliceEntry(
                slice=one.name,
                value=name,
                declared=declared,
                alpha=shared.alpha / len(names),
                n_population=one.counts[name],
                n=read[name].n_answered,
                decision=read[name].decision,
                agreement=Interval.of(read[name].estimate),
            )
            for name in names
        ]
    return tuple(entries)


def _slice_values(session: Session, round_id: int, reading: StratumReading) -> list[dict[str, Any]]:
    """The `slices` of each item of the prefix, in draw order."""
    where = (Item.round_id == round_id, Item.stratum == reading.design.name)
    rows = session.execute(select(Item.id, Item.slices).where(*where))
    known: dict[int, dict[str, Any]] = dict(rows.all())
    return [known[item_id] for item_id in reading.labels.item_id.tolist()]


def ceiling(session: Session, round_id: int, as_of: float | None = None) -> Ceiling | None:
    """How often the second label of a pair equals the one that counts; None without second labels.

    The second label is the overlap slot's, else the earliest further one. Edge cases are left
    out: they were chosen because they are hard.
    """
    # An edge case that a later extension drew is no edge case any more, but it was one then.
    drawn = or_(
        *(
            and_(
                Item.stratum == stratum,
                Item.position < n_drawn_by(session, round_id, stratum, as_of),
            )
            for stratum in (MAIN, SAFETY)
        )
    )
    session.flush()
    rows = session.connection().execute(  # plain rows: half the time of the session's
        select(Vote.item_id, Vote.label, Vote.counts, Slot.number)
        .join(Slot, Slot.id == Vote.slot_id)
        .join(Item, Item.id == Vote.item_id)
        .where(Vote.round_id == round_id, live_vote(as_of), drawn, Vote.origin != ASSISTED)
        .order_by(Vote.created_at, Vote.id)
    )
    first: dict[int, str] = {}
    others: defaultdict[int, list[tuple[bool, str]]] = defaultdict(list)
    for item_id, label, counts, number in rows:
        if counts and number == 0:
            first[item_id] = label
        else:
            others[item_id].append((number != 1, label))
    pairs = [
        (label, min(others[item_id], key=lambda other: other[0])[1])
        for item_id, label in first.items()
        if others[item_id]
    ]
    if not pairs:
        return None
    decisive = [(one, other) for one, other in pairs if "tie" not in (one, other)]
    return Ceiling(
        n_pairs=len(pairs), agreement=_share_equal(pairs), decisive=_share_equal(decisive)
    )


def _share_equal(pairs: list[tuple[str, str]]) -> Interval | None:
    if not pairs:
        return None
    return Interval.of(wilson(sum(one == other for one, other in pairs), len(pairs)))


def label_entries(session: Session, labels: PrefixLabels) -> tuple[LabelEntry, ...]:
    """Every label of a prefix, in draw order."""
    names = dict(session.execute(select(Annotator.id, Annotator.name)).all())
    return tuple(
        LabelEntry(
            pair_id=pair_id,
            ai=LABELS[ai],
            human=None if human == NONE else LABELS[human],
            annotator=names.get(who),
            vote=vote_id,
        )
        for pair_id, ai, human, who, vote_id in zip(
            labels.pair_id,
            labels.ai.tolist(),
            labels.human.tolist(),
            labels.annotator_id.tolist(),
            labels.vote_id,
            strict=True,
        )
    )


def drawn_pairs(
    session: Session, round_id: int, stratum: str, n_drawn: int
) -> Iterator[tuple[str, str, str]]:
    """(pair id, text fingerprint, AI label) of the first drawn pairs, in draw order."""
    rows = session.execute(
        select(Item.pair_id, Item.prompt_json, Item.response_a, Item.response_b, Item.ai_label)
        .where(Item.round_id == round_id, Item.stratum == stratum, Item.position < n_drawn)
        .order_by(Item.position)
        .execution_options(yield_per=1_000)
    )
    for pair_id, prompt_json, response_a, response_b, ai_label in rows:
        yield pair_id, text_fingerprint(prompt_json, response_a, response_b), ai_label


def stage_entries(
    session: Session, round_id: int, stratum: str, as_of: float
) -> tuple[dict[str, Any], ...]:
    """The batches in which a stratum was drawn by a time, first to last."""
    stages = session.scalars(
        select(DrawStage)
        .where(DrawStage.round_id == round_id, DrawStage.stratum == stratum)
        .where(DrawStage.created_at <= as_of)
        .order_by(DrawStage.number)
    )
    return tuple(
        {
            "start": stage.start,
            "size": stage.size,
            "created_at": stage.created_at,
            "fit": stage.fit,
        }
        for stage in stages
    )


def import_entries(session: Session, round_id: int, as_of: float) -> tuple[ImportEntry, ...]:
    """The files of labels that had been read into a round by a time, oldest first."""
    found = session.scalars(
        select(LabelImport)
        .where(LabelImport.round_id == round_id, LabelImport.created_at <= as_of)
        .order_by(LabelImport.created_at, LabelImport.file_hash)
    )
    return tuple(
        ImportEntry(
            file=one.file_name,
            sha256=one.file_hash,
            slot_rule=one.slot_rule,
            n_counted=one.counts["n_counted"],
        )
        for one in found
    )
