"""Writing drawn pairs into the database as items with slots, in the order of their positions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from pipelines.agreement.annotations import LABEL_NAMES
from pipelines.records import PreferencePair
from workbench.audit.design import EDGE, text_hash
from workbench.audit.population import Population
from workbench.db.models import DrawStage, Item, Slot
from workbench.project import Project

NO_LABEL = "none"
CHUNK = 2_000  # pairs in memory at once

SliceValues = Mapping[str, npt.NDArray[np.object_]]


@dataclass(frozen=True)
class Batch:
    """Pairs that enter a stratum's queue together, in draw order.

    `inclusion` and `rank` have one value a row; `overlap` holds positions (not places in the
    batch); `notes` are extra entries of an item's `slices`.
    """

    stratum: str
    start: int  # position of the first one
    rows: Sequence[int]  # of the store
    inclusion: Sequence[float]
    rank: Sequence[float]
    overlap: frozenset[int]
    notes: Sequence[dict[str, Any]] | None = None


def shown(text: str) -> str:
    """A text as the queue holds it: PostgreSQL cannot store the character NUL."""
    return text.replace("\x00", "\ufffd")


def text_fingerprint(prompt_json: str, response_a: str, response_b: str) -> str:
    """SHA-256 of what a reviewer reads of a pair."""
    texts = [shown(prompt_json), shown(response_a), shown(response_b)]
    return text_hash(json.dumps(texts, ensure_ascii=False))


def add_batch(
    session: Session,
    project: Project,
    round_id: int,
    population: Population,
    values: SliceValues,
    batch: Batch,
    now: float,
    fit: dict[str, Any] | None = None,
) -> None:
    """Queue a batch, and record it as a stage of the draw (edge cases were not drawn)."""
    insert_items(session, project, round_id, population, values, batch)
    if batch.stratum == EDGE or not batch.rows:
        return
    where = (DrawStage.round_id == round_id, DrawStage.stratum == batch.stratum)
    number = session.scalar(select(func.count()).select_from(DrawStage).where(*where)) or 0
    session.add(
        DrawStage(
            round_id=round_id,
            stratum=batch.stratum,
            number=number,
            start=batch.start,
            size=len(batch.rows),
            fit=fit or {},
            created_at=now,
        )
    )
    session.flush()


def insert_items(
    session: Session,
    project: Project,
    round_id: int,
    population: Population,
    values: SliceValues,
    batch: Batch,
) -> None:
    """Insert a batch with its slots: number 0 for each item, number 1 where two people label.

    A pair that is in the queue as an edge case moves into the stratum with the votes it has: the
    draw was fixed by the seed before anybody voted, so they are as good as later ones.
    """
    where = (Item.round_id == round_id, Item.stratum == EDGE)
    edges = dict(session.execute(select(Item.pair_id, Item.id).where(*where)).all())
    # In store order, because a chunk of neighbours opens few row groups; a random one opens all.
    places = sorted(range(len(batch.rows)), key=batch.rows.__getitem__)
    for first in range(0, len(places), CHUNK):
        chunk = places[first : first + CHUNK]
        new = []
        pairs = project.store.pairs([batch.rows[place] for place in chunk])
        for place, pair in zip(chunk, pairs, strict=True):
            item = _item(round_id, pair, population, values, batch, place)
            if item["pair_id"] in edges:
                _move(session, edges[item["pair_id"]], item)
            else:
                new.append(item)
        if new:
            session.execute(insert(Item), new)
    _insert_slots(session, round_id, batch)


def _item(
    round_id: int,
    pair: PreferencePair,
    population: Population,
    values: SliceValues,
    batch: Batch,
    offset: int,
) -> dict[str, Any]:
    row = batch.rows[offset]
    p_a = float(population.p_a[row])
    label = int(population.label[row])
    slices = {name: column[row] for name, column in values.items() if column[row]}
    if batch.notes is not None:
        slices |= batch.notes[offset]
    return {
        "round_id": round_id,
        "stratum": batch.stratum,
        "position": batch.start + offset,
        "rank": batch.rank[offset],
        "pair_id": population.pair_ids[row],
        "inclusion_prob": batch.inclusion[offset],
        "ai_label": LABEL_NAMES[label] if label >= 0 else NO_LABEL,
        "p_a": None if np.isnan(p_a) else p_a,
        "slices": slices,
        "prompt_json": shown(pair.prompt_json()),
        "response_a": shown(pair.response_a),
        "response_b": shown(pair.response_b),
    }


def _move(session: Session, item_id: int, item: dict[str, Any]) -> None:
    kept = {"round_id", "pair_id", "rank", "prompt_json", "response_a", "response_b"}
    changed = {name: value for name, value in item.items() if name not in kept}
    session.execute(update(Item).where(Item.id == item_id).values(changed))


def _insert_slots(session: Session, round_id: int, batch: Batch) -> None:
    stop = batch.start + len(batch.rows)
    items = session.execute(
        select(Item.id, Item.position, Slot.id)
        .outerjoin(Slot, (Slot.item_id == Item.id) & (Slot.number == 0))
        .where(
            Item.round_id == round_id,
            Item.stratum == batch.stratum,
            Item.position >= batch.start,
            Item.position < stop,
        )
        .order_by(Item.position)
    )
    slots = []
    for item_id, position, slot_id in items:
        numbers = [0] if slot_id is None else []
        numbers += [1] if position in batch.overlap else []
        slots += [
            {"round_id": round_id, "item_id": item_id, "number": number} for number in numbers
        ]
    if slots:
        session.execute(insert(Slot), slots)
