"""A third person decides where people disagree, with each other or with the AI."""

import time
from dataclasses import dataclass

import pandas as pd
from sqlalchemy import select
from sqlalchemy.orm import Session

from pipelines.errors import BadInput
from pipelines.records import Label
from workbench.audit.reviewed import is_split
from workbench.db.models import Adjudication, Annotator, Item, Vote

SPLIT, AGAINST_AI = "people disagree with each other", "people disagree with the AI"


@dataclass(frozen=True)
class Cases:
    """The pairs of one kind that nobody has decided yet, for one person."""

    waiting: pd.DataFrame  # those this person may decide, in the order of the queue
    n_own: int  # those they labelled themselves: somebody else has to


def open_cases(items: pd.DataFrame, kind: str, person: str) -> Cases:
    """Pairs that wait for a decision.

    Args:
        items: `workbench.audit.reviewed.reviewed_items` of a round.
        kind: `SPLIT` or `AGAINST_AI`.
        person: The name of who would decide.
    """
    split = items["votes"].map(is_split).astype(bool)
    against = items["human"].notna() & (items["human"] != items["ai"]) & ~split
    mine = items["votes"].map(lambda votes: person in [name for name, _ in votes]).astype(bool)
    wanted = (split if kind == SPLIT else against) & items["decided"].isna()
    return Cases(items[wanted & ~mine], int((wanted & mine).sum()))


def decide(
    session: Session,
    item_id: int,
    annotator_id: int,
    label: Label,
    comment: str | None = None,
) -> Adjudication:
    """Record a decision; an earlier one on the same pair is kept and no longer stands.

    The certificate does not read decisions: it speaks of the votes that were drawn for.

    Raises:
        BadInput: The pair has no vote yet, or this person gave one of its votes.
    """
    voters = session.scalars(
        select(Vote.annotator_id).where(Vote.item_id == item_id, Vote.undone_at.is_(None))
    ).all()
    if not voters:
        raise BadInput("this pair has no vote yet, so there is nothing to decide")
    if annotator_id in voters:
        raise BadInput("you labelled this pair yourself; somebody else has to decide it")
    decision = Adjudication(
        item_id=item_id,
        annotator_id=annotator_id,
        label=label,
        comment=comment or None,
        created_at=time.time(),
    )
    session.add(decision)
    session.flush()
    return decision


def decisions(session: Session, round_id: int) -> pd.DataFrame:
    """Every decision of a round with its version, newest first.

    Columns: item_id, pair_id, by, label, comment, decided_at (Unix seconds), version, stands.
    """
    rows = session.execute(
        select(
            Adjudication.item_id,
            Item.pair_id,
            Annotator.name.label("by"),
            Adjudication.label,
            Adjudication.comment,
            Adjudication.created_at.label("decided_at"),
        )
        .join(Item, Item.id == Adjudication.item_id)
        .join(Annotator, Annotator.id == Adjudication.annotator_id)
        .where(Item.round_id == round_id)
        .order_by(Adjudication.created_at, Adjudication.id)
    )
    table = pd.DataFrame(rows.mappings().all(), columns=list(rows.keys()))
    grouped = table.groupby("item_id")
    table["version"] = grouped.cumcount() + 1
    table["stands"] = table["version"] == grouped["version"].transform("max")
    return table.iloc[::-1].reset_index(drop=True)
