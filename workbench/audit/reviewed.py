"""What people said in a round, one row a labelled pair: what pages read, sort and count.

A page reads this again after every vote, so it costs what was said since the draw, not what was
drawn: `drawn_items` changes with the draw alone and can be kept.
"""

import json
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from sqlalchemy import Text, cast, func, select
from sqlalchemy.orm import Session

from pipelines.agreement.annotations import LABEL_NAMES, NONE
from workbench.audit.remarks import Remarks, by_response
from workbench.audit.standing import live_vote
from workbench.db.models import Adjudication, Amendment, Annotator, DrawStage, Item, Slot, Vote

_CODES = {name: code for code, name in enumerate(LABEL_NAMES)}
_DRAWN = ("pair_id", "stratum", "position", "ai", "p_a", "slices", "prompt", "chars_a", "chars_b")


@dataclass(slots=True)
class _Said:
    """What people said of one pair, while it is put together."""

    human: str | None = None
    annotator: str | None = None
    seconds: float = float("nan")
    votes: tuple[tuple[str, str], ...] = ()
    comments: tuple[tuple[str, str], ...] = ()
    remarks: tuple[tuple[str, Remarks], ...] = ()
    both_bad: bool = False
    decided: str | None = None


@dataclass(slots=True)
class _Notes:
    """Notes, tags and ratings by vote: few votes have any."""

    comments: dict[str, str] = field(default_factory=dict)
    remarks: dict[str, Remarks] = field(default_factory=dict)


def drawn_items(session: Session, round_id: int) -> pd.DataFrame:
    """The pairs of a round in the order of the queue, without what people said of them.

    Indexed by item_id; columns as `reviewed_items` says. Changes only with `draw_stamp`.
    """
    rows = session.execute(
        select(
            Item.id,
            Item.pair_id,
            Item.stratum,
            Item.position,
            Item.ai_label,
            Item.p_a,
            Item.slices,
            Item.prompt_json,
            func.length(Item.response_a),
            func.length(Item.response_b),
        )
        .where(Item.round_id == round_id)
        .order_by(Item.rank, Item.id)
    ).all()
    item_id, *columns = zip(*rows, strict=True) if rows else ((), *((),) * len(_DRAWN))
    # Columns of Python texts: Arrow's, which pandas would choose, cost more to fill than to read.
    table = pd.DataFrame(
        {
            name: pd.Series(list(values), dtype=object)
            for name, values in zip(_DRAWN, columns, strict=True)
        }
    ).set_axis(pd.Index(item_id, dtype=np.int64, name="item_id"))
    table["prompt"] = pd.factorize(table["prompt"])[0]
    kinds = {"position": np.int64, "p_a": np.float64, "chars_a": np.int64, "chars_b": np.int64}
    return table.astype(kinds)


def reviewed_items(
    session: Session, round_id: int, drawn: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The items of a round that have at least one live vote, in the order of the queue.

    Columns: item_id, pair_id, stratum, position, ai (label text), p_a (NaN where unknown),
    chars_a, chars_b, slices (dict), prompt (equal codes are the same prompt), human (the label
    that counts; None while only an overlap label is there), annotator (whose it is), seconds,
    votes (tuple of (annotator, label), oldest first), comments (tuple of (annotator, text)),
    remarks (tuple of (annotator, Remarks)), both_bad, decided (the newest adjudicated label or
    None).

    Args:
        session: The database.
        round_id: The round.
        drawn: `drawn_items` of the round, where it was read already.
    """
    drawn = drawn_items(session, round_id) if drawn is None else drawn
    said = _said(session, round_id)
    table = drawn[drawn.index.isin(list(said))].copy()
    rows = [said[item_id] for item_id in table.index.tolist()]
    for name in ("human", "annotator", "votes", "comments", "remarks", "decided"):
        values = np.empty(len(rows), dtype=object)
        values[:] = [getattr(row, name) for row in rows]
        table[name] = pd.Series(values, index=table.index, dtype=object)
    table["seconds"] = np.array([row.seconds for row in rows], dtype=np.float64)
    table["both_bad"] = np.array([row.both_bad for row in rows], dtype=np.bool_)
    return table.reset_index()


def _said(session: Session, round_id: int) -> dict[int, _Said]:
    """What stands of each item with a live vote, by the item's id."""
    session.flush()  # below, the connection is asked: rows of the session cost twice as much
    connection = session.connection()
    names = dict(connection.execute(select(Annotator.id, Annotator.name)).all())
    notes = _notes(session, round_id)
    found: defaultdict[int, _Said] = defaultdict(_Said)
    votes = connection.execute(
        select(
            Vote.id,
            Vote.item_id,
            Vote.annotator_id,
            Vote.label,
            Vote.counts,
            Slot.number,
            Vote.seconds,
            Vote.both_bad,
        )
        .join(Slot, Slot.id == Vote.slot_id)
        .where(Vote.round_id == round_id, live_vote())
        .order_by(Vote.created_at, Vote.id)
    ).all()
    for vote_id, item_id, who, label, counts, number, seconds, both_bad in votes:
        row, name = found[item_id], names[who]
        row.votes += ((name, label),)
        row.both_bad |= both_bad
        if counts and number == 0:
            row.human, row.annotator = label, name
            row.seconds = float("nan") if seconds is None else seconds
        if vote_id in notes.comments:
            row.comments += ((name, notes.comments[vote_id]),)
        if vote_id in notes.remarks:
            row.remarks += ((name, notes.remarks[vote_id]),)
    for item_id, label in _decisions(session, round_id).items():
        if item_id in found:
            found[item_id].decided = label
    return found


def _decisions(session: Session, round_id: int) -> dict[int, str]:
    """The newest decision by item."""
    rows = session.execute(
        select(Adjudication.item_id, Adjudication.label)
        .join(Item, Item.id == Adjudication.item_id)
        .where(Item.round_id == round_id)
        .order_by(Adjudication.created_at, Adjudication.id)
    )
    return dict(rows.all())


def _notes(session: Session, round_id: int) -> _Notes:
    found = _Notes()
    details = cast(Vote.details, Text)
    rows = session.connection().execute(
        select(Vote.id, Vote.comment, Vote.left, details).where(
            Vote.round_id == round_id,
            live_vote(),
            Vote.comment.is_not(None) | (Vote.left.is_not(None) & (details != "{}")),
        )
    )
    # Nearly all details are the same few texts: each is read once.
    known: dict[tuple[str, str | None], Remarks] = {}
    for vote_id, comment, left, text in rows:
        if comment:
            found.comments[vote_id] = comment
        key = (text or "{}", left)
        if key not in known:
            known[key] = by_response(json.loads(key[0]), left)
        if known[key]:
            found.remarks[vote_id] = known[key]
    return found


def label_codes(labels: "pd.Series[str]") -> "pd.Series[int]":
    """Label names as codes 0 A, 1 B, 2 tie, -1 nothing."""
    return labels.map(_CODES).fillna(NONE).astype(int)


def is_split(votes: tuple[tuple[str, str], ...]) -> bool:
    """Whether people disagree about a pair."""
    return len({label for _, label in votes}) > 1


def draw_stamp(session: Session, round_id: int) -> tuple[int, int, int]:
    """Changes whenever pairs enter a round's queue or move between its strata."""
    n_items = select(func.count(Item.id)).where(Item.round_id == round_id)
    stages = select(func.count(), func.coalesce(func.sum(DrawStage.size), 0))
    n_stages, n_drawn = session.execute(
        stages.select_from(DrawStage).where(DrawStage.round_id == round_id)
    ).one()
    return session.scalar(n_items) or 0, n_stages, n_drawn


def activity_stamp(session: Session, round_id: int) -> tuple[int, float, int, int, int]:
    """Changes whenever a vote, an undo, a note or a decision arrives: the key of pages' caches."""
    n_votes, newest, n_undone = session.execute(
        select(
            func.count(Vote.id),
            func.max(Vote.created_at),
            func.count(Vote.undone_at),
        ).where(Vote.round_id == round_id)
    ).one()
    n_decisions = session.scalar(
        select(func.count(Adjudication.id))
        .join(Item, Item.id == Adjudication.item_id)
        .where(Item.round_id == round_id)
    )
    # Of all rounds: an amendment knows its vote only, and a needless reading does no harm.
    n_amendments = session.scalar(select(func.count(Amendment.id)))
    return n_votes, newest or 0.0, n_undone, n_decisions or 0, n_amendments or 0
