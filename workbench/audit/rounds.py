"""The rounds of a project: finding one, its frozen design, the rounds before it, closing it."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipelines.errors import BadInput
from workbench.audit.design import EarlierRound, RoundDesign
from workbench.db.models import GateCrossing, Item, Round, Vote
from workbench.db.session import writing
from workbench.project import Project


@dataclass(frozen=True)
class RoundSummary:
    """One line of `audit list`."""

    name: str
    label: str
    mode: str
    created_at: float
    closed_at: float | None
    n_pairs: int
    n_votes: int  # that count, in every stratum
    decisions: dict[str, str]  # by stratum; a stratum that has not decided is not in it


def find_round(session: Session, name: str | None = None) -> Round:
    """The round of that name; without a name the newest open one, else the newest.

    Raises:
        BadInput: There is no such round, or none at all.
    """
    rounds = list(session.scalars(select(Round).order_by(Round.id)))
    if not rounds:
        raise BadInput("no round has been drawn; `workbench audit draw` draws one")
    if name is None:
        still_open = [found for found in rounds if found.closed_at is None]
        return (still_open or rounds)[-1]
    for found in rounds:
        if found.name == name:
            return found
    raise BadInput(f"no round is called {name!r}; there are {', '.join(r.name for r in rounds)}")


def lock_round(session: Session, name: str) -> Round:
    """The round, locked until this transaction ends: who extends, fills or certifies it takes
    turns, and votes wait, since each refers to its round. (SQLite has one writer anyway.)
    """
    return session.scalars(select(Round).where(Round.name == name).with_for_update()).one()


def read_design(found: Round) -> RoundDesign:
    """The design as it was frozen with the round."""
    return RoundDesign.model_validate(found.design)


def earlier_rounds(session: Session, label: str, stratum: str) -> tuple[EarlierRound, ...]:
    """Rounds drawn on the same labels and stratum, oldest first, each with what it spends.

    A round that was closed before anybody voted had no chance to decide, and costs nothing; such
    a round cannot be opened again.

    Args:
        session: The database.
        label: The audited label.
        stratum: "main" or "safety".
    """
    found = []
    for old in session.scalars(select(Round).order_by(Round.id)):
        design = read_design(old)
        part = design.stratum(stratum)
        if design.label != label or part is None:
            continue
        crossing = session.get(GateCrossing, (old.id, stratum))
        found.append(
            EarlierRound(
                name=old.name,
                alpha=part.alpha,
                decision=crossing.decision if crossing else None,
                spends=old.closed_at is None or has_votes(session, old.id),
            )
        )
    return tuple(found)


def has_votes(session: Session, round_id: int) -> bool:
    """Whether anybody ever voted in the round, even if it was taken back."""
    return session.scalar(select(Vote.id).where(Vote.round_id == round_id).limit(1)) is not None


def pairs_drawn_in(session: Session, names: Iterable[str]) -> frozenset[str]:
    """Ids of all pairs that these rounds drew, edge cases among them."""
    ids: set[str] = set()
    for name in names:
        drawn = select(Item.pair_id).where(Item.round_id == find_round(session, name).id)
        ids.update(session.scalars(drawn))
    return frozenset(ids)


def close_round(project: Project, name: str | None = None, now: float | None = None) -> Round:
    """Close a round: nobody is asked for more labels. Closing twice changes nothing."""
    with writing(project.engine) as session:
        session.expire_on_commit = False
        found = find_round(session, name)
        if found.closed_at is None:
            found.closed_at = time.time() if now is None else now
    return found


def list_rounds(session: Session) -> list[RoundSummary]:
    """Every round, oldest first."""
    drawn = select(Item.round_id, func.count()).group_by(Item.round_id)
    n_items = dict(session.execute(drawn).all())
    live = select(Vote.round_id, func.count()).where(Vote.undone_at.is_(None), Vote.counts)
    n_votes = dict(session.execute(live.group_by(Vote.round_id)).all())
    crossings = session.scalars(select(GateCrossing)).all()
    summaries = []
    for found in session.scalars(select(Round).order_by(Round.id)):
        design = read_design(found)
        summaries.append(
            RoundSummary(
                name=found.name,
                label=design.label,
                mode=design.mode,
                created_at=found.created_at,
                closed_at=found.closed_at,
                n_pairs=n_items.get(found.id, 0),
                n_votes=n_votes.get(found.id, 0),
                decisions={c.stratum: c.decision for c in crossings if c.round_id == found.id},
            )
        )
    return summaries
