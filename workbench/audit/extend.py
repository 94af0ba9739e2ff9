"""Extending a round along its own draw, and reading again what it was drawn from."""

import time

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from pipelines.errors import BadInput
from workbench.audit.design import MAIN, RoundDesign
from workbench.audit.draw import Drawn, Plan, all_slice_values, stratum_order
from workbench.audit.items import Batch, add_batch
from workbench.audit.options import StratumOptions
from workbench.audit.order import overlap_positions
from workbench.audit.population import read_population
from workbench.audit.rounds import find_round, pairs_drawn_in, read_design
from workbench.db.models import Item, Round
from workbench.db.session import reading, writing
from workbench.project import Project


def extend_round(
    project: Project,
    name: str | None = None,
    *,
    n_more: int | None = None,
    share: float | None = None,
    stratum: str = MAIN,
    now: float | None = None,
) -> Drawn:
    """Go on along a round's own draw; the gate stays valid, because the order was fixed before.

    Args:
        project: The project.
        name: The round; None is the newest open one.
        n_more: How many more pairs.
        share: Or what share of the stratum's population more.
        stratum: "main" or "safety".
        now: The time to record, Unix seconds.

    Raises:
        BadInput: The round is closed, everything is drawn, or the imported pairs are no longer
            those it was drawn from.
    """
    now = time.time() if now is None else now
    with reading(project.engine) as session:
        design = read_design(find_round(session, name))
    plan = replan(project, design)
    part = design.stratum(stratum)
    if part is None:
        raise BadInput(f"round {design.name!r} has no stratum {stratum!r}")
    order = stratum_order(plan.population, design, stratum)
    with writing(project.engine) as session:
        found = lock_round(session, design.name)
        if found.closed_at is not None:
            raise BadInput(f"round {design.name!r} is closed; draw a new one with `audit draw`")
        start = n_drawn(session, found.id, stratum)
        wanted = n_more
        if wanted is None:
            wanted = StratumOptions(share=share or 0.0).size(part.n_population)
        stop = min(start + wanted, part.n_population)
        if stop <= start:
            raise BadInput(
                f"round {design.name!r}: nothing to add to stratum {stratum!r}, {start} of its "
                f"{part.n_population} pairs are drawn; ask for at least one more (--n or --share)"
            )
        last_rank = session.scalar(select(func.max(Item.rank)).where(Item.round_id == found.id))
        n = stop - start
        batch = Batch(
            stratum=stratum,
            start=start,
            rows=order[start:stop],
            inclusion=[stop / part.n_population] * n,
            rank=[(last_rank or 0.0) + 1.0 + place for place in range(n)],
            overlap=frozenset(overlap_positions(start, stop, design.overlap)),
        )
        session.execute(
            update(Item)
            .where(Item.round_id == found.id, Item.stratum == stratum)
            .values(inclusion_prob=stop / part.n_population)
        )
        add_batch(session, project, found.id, plan.population, plan.values, batch, now)
        round_id = found.id
    return Drawn(round_id, design, {stratum: n})


def replan(project: Project, design: RoundDesign) -> Plan:
    """The pairs that a drawn round was made from, read again.

    Raises:
        BadInput: They are no longer the same.
    """
    with reading(project.engine) as session:
        without = pairs_drawn_in(session, design.without_rounds)
    population = read_population(project, design.label, design.safety, design.n_imported, without)
    for part in design.strata:
        if population.hash(part.name) != part.population_hash:
            raise BadInput(
                f"round {design.name!r}: the imported pairs or their labels have changed since it "
                "was drawn; `workbench audit verify CERTIFICATE` says which, or draw a new round"
            )
    values = all_slice_values(project, design.slices, design.n_imported)
    return Plan(design, population, values)


def lock_round(session: Session, name: str) -> Round:
    """The round, locked until this transaction ends, so that two extensions take turns."""
    return session.scalars(select(Round).where(Round.name == name).with_for_update()).one()


def n_drawn(session: Session, round_id: int, stratum: str) -> int:
    """Pairs drawn so far in a stratum."""
    counted = select(func.count()).select_from(Item)
    where = (Item.round_id == round_id, Item.stratum == stratum)
    return session.scalar(counted.where(*where)) or 0
