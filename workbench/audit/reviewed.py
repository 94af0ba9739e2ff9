"""What people said in a round, one row a labelled pair: what pages read, sort and count."""

import pandas as pd
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipelines.agreement.annotations import LABEL_NAMES, NONE
from workbench.audit.labels import live_vote
from workbench.db.models import Adjudication, Annotator, Item, Slot, Vote

_CODES = {name: code for code, name in enumerate(LABEL_NAMES)}


def reviewed_items(session: Session, round_id: int) -> pd.DataFrame:
    """The items of a round that have at least one live vote, in the order of the queue.

    Columns: item_id, pair_id, stratum, position, ai (label text), p_a (NaN where unknown),
    chars_a, chars_b, slices (dict), prompt (equal codes are the same prompt), human (the label
    that counts; None while only an overlap label is there), annotator (whose it is), seconds,
    votes (tuple of (annotator, label), oldest first), comments (tuple of (annotator, text)),
    both_bad, decided (the newest adjudicated label or None).
    """
    items = session.execute(
        select(
            Item.id.label("item_id"),
            Item.pair_id,
            Item.stratum,
            Item.position,
            Item.ai_label.label("ai"),
            Item.p_a,
            Item.slices,
            Item.prompt_json,
            func.length(Item.response_a).label("chars_a"),
            func.length(Item.response_b).label("chars_b"),
        )
        .where(
            Item.round_id == round_id,
            Item.id.in_(select(Vote.item_id).where(Vote.round_id == round_id, live_vote())),
        )
        .order_by(Item.rank, Item.id)
    )
    table = pd.DataFrame(items.mappings().all(), columns=list(items.keys())).set_index("item_id")
    votes = session.execute(
        select(
            Vote.item_id,
            Annotator.name,
            Vote.label,
            Vote.counts,
            Slot.number,
            Vote.comment,
            Vote.seconds,
            Vote.both_bad,
        )
        .join(Slot, Slot.id == Vote.slot_id)
        .join(Annotator, Annotator.id == Vote.annotator_id)
        .where(Vote.round_id == round_id, live_vote())
        .order_by(Vote.created_at, Vote.id)
    ).all()
    rows: dict[int, dict[str, object]] = {
        item_id: {
            "human": None,
            "annotator": None,
            "seconds": float("nan"),
            "votes": (),
            "comments": (),
            "both_bad": False,
        }
        for item_id in table.index
    }
    for item_id, name, label, counts, number, comment, seconds, both_bad in votes:
        row = rows[item_id]
        row["votes"] = (*_pairs(row["votes"]), (name, label))
        row["both_bad"] = bool(row["both_bad"]) or both_bad
        if comment:
            row["comments"] = (*_pairs(row["comments"]), (name, comment))
        if counts and number == 0:
            row["human"], row["annotator"] = label, name
            row["seconds"] = float("nan") if seconds is None else seconds
    people = pd.DataFrame.from_dict(
        rows,
        orient="index",
        columns=["human", "annotator", "seconds", "votes", "comments", "both_bad"],
    )
    decided: dict[int, str] = {}
    decisions = select(Adjudication.item_id, Adjudication.label).order_by(
        Adjudication.created_at, Adjudication.id
    )
    for item_id, label in session.execute(
        decisions.join(Item, Item.id == Adjudication.item_id).where(Item.round_id == round_id)
    ):
        decided[item_id] = label
    table = table.join(people)
    table["prompt"] = pd.factorize(table.pop("prompt_json"))[0]
    table["p_a"] = table["p_a"].astype(float)
    table["decided"] = [decided.get(item_id) for item_id in table.index]
    return table.reset_index(names="item_id")


def _pairs(value: object) -> tuple[tuple[str, str], ...]:
    return value if isinstance(value, tuple) else ()


def label_codes(labels: "pd.Series[str]") -> "pd.Series[int]":
    """Label names as codes 0 A, 1 B, 2 tie, -1 nothing."""
    return labels.map(_CODES).fillna(NONE).astype(int)


def is_split(votes: tuple[tuple[str, str], ...]) -> bool:
    """Whether people disagree about a pair."""
    return len({label for _, label in votes}) > 1


def activity_stamp(session: Session, round_id: int) -> tuple[int, float, int]:
    """Changes whenever a vote, an undo or a decision arrives: the key of the pages' caches."""
    n_votes, newest, undone = session.execute(
        select(
            func.count(Vote.id),
            func.max(Vote.created_at),
            func.max(Vote.undone_at),
        ).where(Vote.round_id == round_id)
    ).one()
    n_decisions = session.scalar(
        select(func.count(Adjudication.id))
        .join(Item, Item.id == Adjudication.item_id)
        .where(Item.round_id == round_id)
    )
    return n_votes, max(newest or 0.0, undone or 0.0), n_decisions or 0
