"""Drawing a round: freeze its design, take the first pairs of each stratum's order, queue them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from pipelines.agreement.active import next_stage_size
from pipelines.errors import BadInput
from workbench.audit.active_draw import as_record, candidates_of, draw_active, inclusion
from workbench.audit.design import EDGE, MAIN, SAFETY, RoundDesign, StratumDesign, text_hash
from workbench.audit.edge_cases import find_edge_cases
from workbench.audit.items import Batch, SliceValues, add_batch
from workbench.audit.options import DrawOptions
from workbench.audit.order import draw_order, overlap_positions
from workbench.audit.population import Population, choose_label, read_population, strata_of
from workbench.audit.rounds import earlier_rounds, pairs_drawn_in
from workbench.audit.slices import ALWAYS, count_values, slice_values
from workbench.db.models import Round
from workbench.db.session import reading, writing
from workbench.project import Project


@dataclass(frozen=True)
class Drawn:
    """What a draw or an extension put into the queue."""

    round_id: int
    design: RoundDesign
    n_new: dict[str, int]  # pairs by stratum; edge cases under "edge"


@dataclass(frozen=True)
class Plan:
    """A design that is ready to be drawn, with the pairs it was made from."""

    design: RoundDesign
    population: Population
    values: SliceValues


def plan_round(project: Project, options: DrawOptions) -> Plan:
    """The design that `draw_round` would freeze; nothing is written.

    Raises:
        BadInput: No label can be audited, the name is taken, or an option is out of range.
    """
    with reading(project.engine) as session:
        names = list(session.scalars(select(Round.name).order_by(Round.id)))
        name = options.name or _next_name(names)
        if name in names:
            raise BadInput(f"a round is already called {name!r}; choose another --name")
        without = pairs_drawn_in(session, options.without_rounds)
        annotations = project.annotations()
        label = choose_label(annotations, options.label)
        earlier = {name: earlier_rounds(session, label, name) for name in (MAIN, SAFETY)}
    population = read_population(project, label, options.safety_rule, without=without)
    n_imported = len(population.pair_ids)
    values = all_slice_values(project, options.slices, n_imported)
    strata = []
    for stratum in strata_of(population):
        asked = options.main if stratum == MAIN else options.safety
        rows = population.rows(stratum)
        counts = (
            count_values(column[rows], name, declared=name in options.slices)
            for name, column in values.items()
        )
        strata.append(
            StratumDesign(
                name=stratum,
                gate=asked.gate,
                n_population=len(rows),
                n_asked=asked.size(len(rows)),
                excluded=population.excluded(stratum),
                population_hash=population.hash(stratum),
                earlier_rounds=earlier[stratum],
                slices=tuple(count for count in counts if count is not None),
            )
        )
    if not strata[0].n_population:
        reasons = ", ".join(f"{n} {why}" for why, n in strata[0].excluded.items())
        raise BadInput(f"no pair has a label of {label!r} to audit ({reasons or 'no pairs'})")
    try:
        design = RoundDesign(
            name=name,
            label=label,
            seed=options.seed,
            mode=options.mode,
            n_imported=n_imported,
            strata=tuple(strata),
            safety=options.safety_rule,
            overlap=options.overlap,
            slices=options.slices,
            edge_cases=options.edge_cases,
            without_rounds=options.without_rounds,
            lease_minutes=options.lease_minutes,
            seconds_per_pair=options.seconds_per_pair,
            criteria=options.criteria,
            error_tags=options.error_tags,
            guidelines=options.guidelines,
            guidelines_hash=text_hash(options.guidelines),
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise BadInput(f"{where} {first['input']!r}: {first['msg'].lower()}") from error
    return Plan(design, population, values)


def draw_round(project: Project, options: DrawOptions, now: float | None = None) -> Drawn:
    """Draw a round and queue its pairs.

    Args:
        project: Where the pairs are, and where the round goes.
        options: See `options.draw_options` for the project file's.
        now: The time to record, Unix seconds; the clock's where None.

    Raises:
        BadInput: As `plan_round`.
    """
    return draw_planned(project, plan_round(project, options), now)


def draw_planned(project: Project, plan: Plan, now: float | None = None) -> Drawn:
    """Draw a planned round, in one transaction.

    Raises:
        BadInput: Another round was drawn since the plan was made.
    """
    design, population = plan.design, plan.population
    now = time.time() if now is None else now
    firsts = [_first_batch(population, design, part) for part in design.strata]
    taken = [row for first in firsts for row in first.rows]
    edges = find_edge_cases(
        project.annotations(),
        population,
        design.edge_cases,
        taken,
        design.seed,
        design.name,
    )
    n_total = len(taken) + len(edges)
    with writing(project.engine) as session:
        _refuse_overtaken(session, design)
        found = Round(
            name=design.name,
            created_at=now,
            closed_at=None,
            design=design.as_json(),
            design_hash=design.hash(),
        )
        session.add(found)
        session.flush()
        for part, first in zip(design.strata, firsts, strict=True):
            n = len(first.rows)
            batch = Batch(
                stratum=part.name,
                start=0,
                rows=first.rows,
                inclusion=first.inclusion,
                rank=_spread(n, n_total),
                overlap=frozenset(overlap_positions(0, n, design.overlap)),
            )
            add_batch(session, project, found.id, population, plan.values, batch, now, first.fit)
        if edges:
            batch = Batch(
                stratum=EDGE,
                start=0,
                rows=[edge.row for edge in edges],
                inclusion=[1.0] * len(edges),  # chosen, not drawn
                rank=_spread(len(edges), n_total),
                overlap=frozenset(),
                notes=[{"edge": list(edge.reasons)} for edge in edges],
            )
            add_batch(session, project, found.id, population, plan.values, batch, now)
        round_id = found.id
    n_new: dict[str, int] = {
        part.name: len(first.rows) for part, first in zip(design.strata, firsts, strict=True)
    }
    if edges:
        n_new[EDGE] = len(edges)
    return Drawn(round_id, design, n_new)


def _refuse_overtaken(session: Session, design: RoundDesign) -> None:
    """A plan may wait for its owner's yes: a round drawn meanwhile may have its name or its alpha.

    Raises:
        BadInput: One has.
    """
    taken = session.scalar(select(Round.id).where(Round.name == design.name)) is not None
    unpaid = any(
        len(earlier_rounds(session, design.label, part.name)) != len(part.earlier_rounds)
        for part in design.strata
    )
    if taken or unpaid:
        raise BadInput(
            f"round {design.name!r} was not drawn: another round was drawn since it was planned; "
            "draw again, so that it pays for that one"
        )


@dataclass(frozen=True)
class _First:
    """The first pairs of a stratum, as store rows, with their inclusion probabilities."""

    rows: list[int]
    inclusion: list[float]
    fit: dict[str, Any] | None = None


def _first_batch(population: Population, design: RoundDesign, part: StratumDesign) -> _First:
    if not design.is_active(part.name):
        rows = stratum_order(population, design, part.name)[: part.n_asked]
        return _First(rows, [part.n_asked / max(part.n_population, 1)] * len(rows))
    candidates = candidates_of(population)
    size = next_stage_size(0, part.n_asked)
    stage = draw_active(candidates, design, [], [], size)
    chance = inclusion(candidates.groups, [stage])[stage.group]
    rows = candidates.rows[stage.index].tolist()
    return _First(rows, chance.tolist(), as_record(stage, candidates.groups))


def stratum_order(population: Population, design: RoundDesign, stratum: str) -> list[int]:
    """Store rows of a stratum in the order of its draw, all of them."""
    rows = population.rows(stratum).tolist()
    ids = [population.pair_ids[row] for row in rows]
    return [rows[place] for place in draw_order(ids, design.seed, design.name, stratum)]


def all_slice_values(project: Project, declared: Sequence[str], n_imported: int) -> SliceValues:
    """Values of the standard slices and of the declared ones, by name."""
    names = dict.fromkeys([*ALWAYS, *declared])
    return {name: slice_values(project, name, n_imported) for name in names}


def _next_name(names: Sequence[str]) -> str:
    number = len(names) + 1
    while f"round-{number}" in names:
        number += 1
    return f"round-{number}"


def _spread(n: int, n_total: int) -> list[float]:
    """Ranks that spread `n` items evenly over `n_total`, so that all strata progress together."""
    return [(place + 0.5) / n * n_total for place in range(n)]
