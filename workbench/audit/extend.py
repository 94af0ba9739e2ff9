"""Extending a round along its own draw, and reading again what it was drawn from."""

import time

import numpy as np
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from pipelines.agreement.active import next_stage_size
from pipelines.errors import BadInput
from workbench.audit.active_draw import (
    as_record,
    candidates_of,
    draw_active,
    inclusion,
    recorded_stages,
    with_rows,
)
from workbench.audit.design import MAIN, RoundDesign, Stratum, StratumDesign
from workbench.audit.draw import Drawn, Plan, all_slice_values, stratum_order
from workbench.audit.items import Batch, add_batch
from workbench.audit.labels import read_prefix
from workbench.audit.options import StratumOptions
from workbench.audit.order import overlap_positions
from workbench.audit.population import read_population
from workbench.audit.rounds import find_round, lock_round, pairs_drawn_in, read_design
from workbench.db.models import Item, Round
from workbench.db.session import reading, writing
from workbench.project import Project


def extend_round(
    project: Project,
    name: str | None = None,
    *,
    n_more: int | None = None,
    share: float | None = None,
    stratum: Stratum = MAIN,
    now: float | None = None,
) -> Drawn:
    """Go on along a round's own draw; the gate stays valid, because the order was fixed before.

    In active mode this draws one more stage, once every pair drawn so far is answered.

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
    with reading(project.engine) as session:
        design = read_design(find_round(session, name))
    part = design.stratum(stratum)
    if part is None:
        raise BadInput(f"round {design.name!r} has no stratum {stratum!r}")
    wanted = n_more
    if wanted is None:
        wanted = StratumOptions(share=share or 0.0).size(part.n_population)
    plan = replan(project, design)
    with writing(project.engine) as session:
        found = lock_round(session, design.name)
        now = time.time() if now is None else now  # under the lock: after what it waited for
        if found.closed_at is not None:
            raise BadInput(f"round {design.name!r} is closed; draw a new one with `audit draw`")
        round_id = found.id
        start = n_drawn(session, round_id, stratum)
        n = min(wanted, part.n_population - start)
        if n <= 0:
            raise BadInput(
                f"round {design.name!r}: nothing to add to stratum {stratum!r}, {start} of its "
                f"{part.n_population} pairs are drawn; ask for at least one more (--n or --share)"
            )
        if design.is_active(stratum):
            _add_stage(session, project, round_id, plan, n, now)
        else:
            _add_uniform(session, project, round_id, plan, part, start, n, now)
    return Drawn(round_id, design, {stratum: n})


def draw_next_stage(
    session: Session, project: Project, round_id: int, now: float | None = None
) -> int:
    """Active mode: queue the next stage, once the last one is read to its end.

    Cheap while there is nothing to draw, so the queue may call it whenever it runs low. All items
    of a stage enter the queue together.

    Args:
        session: Of a transaction that may write.
        project: Where the pairs are.
        round_id: The round.
        now: The time to record, Unix seconds.

    Returns:
        Pairs queued: 0 in uniform mode, while answers are outstanding, and at the round's size.
    """
    found = session.get_one(Round, round_id)
    design = read_design(found)
    part = design.stratum(MAIN)
    if part is None or not design.is_active(MAIN) or found.closed_at is not None:
        return 0
    start = n_drawn(session, round_id, MAIN)
    if start >= part.n_asked or len(read_prefix(session, round_id, MAIN)) < start:
        return 0
    lock_round(session, design.name)
    if n_drawn(session, round_id, MAIN) != start:
        return 0  # somebody else's stage came first
    size = next_stage_size(start, part.n_asked)
    now = time.time() if now is None else now
    _add_stage(session, project, round_id, replan(project, design), size, now)
    return size


def _add_uniform(
    session: Session,
    project: Project,
    round_id: int,
    plan: Plan,
    part: StratumDesign,
    start: int,
    n: int,
    now: float,
) -> None:
    stop = start + n
    share = stop / part.n_population
    session.execute(
        update(Item)
        .where(Item.round_id == round_id, Item.stratum == part.name)
        .values(inclusion_prob=share)
    )
    rows = stratum_order(plan.population, plan.design, part.name)[start:stop]
    batch = _batch(session, round_id, plan, part.name, start, rows, [share] * n)
    add_batch(session, project, round_id, plan.population, plan.values, batch, now)


def _add_stage(
    session: Session, project: Project, round_id: int, plan: Plan, size: int, now: float
) -> None:
    part = plan.design.strata[0]
    candidates = candidates_of(plan.population)
    place = {plan.population.pair_ids[row]: k for k, row in enumerate(candidates.rows.tolist())}
    drawn = session.execute(
        select(Item.id, Item.pair_id)
        .where(Item.round_id == round_id, Item.stratum == MAIN)
        .order_by(Item.position)
    ).all()
    index = np.array([place[pair_id] for _, pair_id in drawn], dtype=np.int64)
    earlier = with_rows(recorded_stages(session, round_id, MAIN), index)
    codes = read_prefix(session, round_id, MAIN).outcomes(part.gate.ties)
    stage = draw_active(candidates, plan.design, earlier, codes, size)
    chance = inclusion(candidates.groups, [*earlier, stage])
    again = [
        {"id": item_id, "inclusion_prob": float(chance[candidates.groups.member[k]])}
        for (item_id, _), k in zip(drawn, index.tolist(), strict=True)
    ]
    session.execute(update(Item), again)
    rows = candidates.rows[stage.index].tolist()
    batch = _batch(session, round_id, plan, MAIN, len(drawn), rows, chance[stage.group].tolist())
    fit = as_record(stage, candidates.groups)
    add_batch(session, project, round_id, plan.population, plan.values, batch, now, fit)


def _batch(
    session: Session,
    round_id: int,
    plan: Plan,
    stratum: str,
    start: int,
    rows: list[int],
    inclusion: list[float],
) -> Batch:
    """Pairs that queue up behind everything that is in the queue."""
    last = session.scalar(select(func.max(Item.rank)).where(Item.round_id == round_id)) or 0.0
    overlap = overlap_positions(start, start + len(rows), plan.design.overlap)
    return Batch(
        stratum=stratum,
        start=start,
        rows=rows,
        inclusion=inclusion,
        rank=[last + 1.0 + place for place in range(len(rows))],
        overlap=frozenset(overlap),
    )


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


def n_drawn(session: Session, round_id: int, stratum: str) -> int:
    """Pairs drawn so far in a stratum."""
    counted = select(func.count()).select_from(Item)
    where = (Item.round_id == round_id, Item.stratum == stratum)
    return session.scalar(counted.where(*where)) or 0
