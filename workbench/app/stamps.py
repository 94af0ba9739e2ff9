"""What the pages' caches go by: a stamp changes whenever what was computed from would be other."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from workbench.audit.reviewed import activity_stamp
from workbench.db.models import Annotator, GateCrossing, Item, Round, Seat, Skip
from workbench.db.session import reading
from workbench.project import Project

Stamp = tuple[object, ...]


def store_stamp(project: Project) -> Stamp:
    """Of the imported pairs and the judges' verdicts on them."""
    manifest = project.store.manifest()
    doubt = tuple((spec.name, spec.doubt) for spec in project.config.judges)
    judged = tuple(one.sha256 for one in manifest.judged)
    return str(project.dir), len(manifest.imports), len(manifest.parts), judged, doubt


def round_stamp(session: Session, found: Round) -> Stamp:
    """Of everything that people did in a round: votes, undos, skips, decisions, draws, access."""
    skips = select(func.count(), func.max(Skip.created_at), func.max(Skip.undone_at))
    seats = select(func.count(), func.count(Annotator.revoked_at))
    seats = seats.join_from(Seat, Annotator, Annotator.id == Seat.annotator_id)
    drawn = select(func.count()).where(Item.round_id == found.id)
    decided = select(func.count()).where(GateCrossing.round_id == found.id)
    return (
        found.id,
        found.closed_at,
        *activity_stamp(session, found.id),
        *session.execute(skips.select_from(Skip).where(Skip.round_id == found.id)).one(),
        *session.execute(seats.where(Seat.round_id == found.id)).one(),
        session.scalar(drawn),
        session.scalar(decided),
    )


def all_rounds_stamp(project: Project) -> Stamp:
    """Of what people did in any round."""
    with reading(project.engine) as session:
        rounds = session.scalars(select(Round).order_by(Round.id))
        return tuple(round_stamp(session, found) for found in rounds)


def draws_stamp(project: Project) -> Stamp:
    """Of what a plan for the next round depends on: the rounds before it, not their every vote."""
    with reading(project.engine) as session:
        rounds = session.scalars(select(Round).order_by(Round.id)).all()
        decided = dict(
            session.execute(select(GateCrossing.round_id, func.count()).group_by("round_id")).all()
        )
        drawn = dict(
            session.execute(select(Item.round_id, func.count()).group_by("round_id")).all()
        )
        return tuple(
            (
                found.id,
                found.closed_at,
                drawn.get(found.id, 0),
                decided.get(found.id, 0),
                # A round that was closed before anybody voted spends nothing.
                found.closed_at is None or activity_stamp(session, found.id)[0] > 0,
            )
            for found in rounds
        )
