"""What the tests of rounds share: a project of made-up pairs, and votes put straight in."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipelines.importing import import_file
from workbench.audit.design import GateDesign
from workbench.audit.draw import Drawn, draw_round
from workbench.audit.options import DrawOptions, StratumOptions
from workbench.db.models import Annotator, Item, Seat, Skip, Slot, Vote
from workbench.db.session import writing
from workbench.project import Project

JUDGE = "judge@1"
OPENED: list[Project] = []  # emptied after each test, by conftest
T0 = 1_000_000.0  # when everything is drawn; votes come later


def pair(number: int, label: str | None = "A", **more: Any) -> dict[str, Any]:
    """A row of a pairs file with one verdict; `label` None is a failed one."""
    verdict: dict[str, Any] = {"judge": JUDGE, "order": "ab"}
    if label is None:
        verdict["failure"] = "unparsed"
    else:
        verdict["label"] = label
    row = {
        "id": f"p-{number:04d}",
        "prompt": f"question {number}",
        "response_a": f"first answer to {number}",
        "response_b": f"second answer to {number}",
        "ai": [verdict],
    }
    return row | more


def scored(number: int, p_a: float, **more: Any) -> dict[str, Any]:
    """A pair whose judge says how sure it is."""
    return pair(number, ai=[{"judge": JUDGE, "order": "ab", "p_a": p_a}], **more)


def make_project(folder: Path, url: str, rows: Iterable[dict[str, Any]], toml: str = "") -> Project:
    """A project with these pairs imported, its database at `url`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "project.toml").write_text(f'[database]\nurl = "{url}"\n{toml}')
    file = folder / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    project = Project.open(folder)
    OPENED.append(project)
    if file.stat().st_size:
        import_file(project.store, file, project.config)
    return project


def draw(project: Project, n: int = 20, gate: GateDesign | None = None, **more: Any) -> Drawn:
    """A round of `n` pairs, drawn at T0."""
    stratum = StratumOptions(gate=gate or GateDesign(), n_pairs=n)
    options = DrawOptions(**{"main": stratum, "safety": stratum, "slices": ()} | more)
    return draw_round(project, options, now=T0)


def drawn_ids(project: Project, round_id: int, stratum: str = "main") -> list[str]:
    """Ids of a stratum's pairs in draw order."""
    with Session(project.engine) as session:
        return list(
            session.scalars(
                select(Item.pair_id)
                .where(Item.round_id == round_id, Item.stratum == stratum)
                .order_by(Item.position)
            )
        )


def person(session: Session, name: str, seat_in: int | None = None) -> int:
    """The id of an annotator of that name, made if need be, and seated if wanted."""
    found = session.scalars(select(Annotator).where(Annotator.name == name)).one_or_none()
    if found is None:
        found = Annotator(name=name, created_at=T0, link_hash=None, revoked_at=None)
        session.add(found)
        session.flush()
    if seat_in is not None and session.get(Seat, (seat_in, found.id)) is None:
        session.add(Seat(round_id=seat_in, annotator_id=found.id, joined_at=T0, last_action_at=T0))
        session.flush()
    return found.id


def vote(
    session: Session,
    round_id: int,
    pair_id: str,
    label: str,
    name: str = "ana",
    *,
    number: int = 0,
    counts: bool = True,
    at: float = T0 + 1,
) -> Vote:
    """One vote, as the queue would store it."""
    item_id, slot_id = _slot(session, round_id, pair_id, number)
    who = person(session, name)
    stored = Vote(
        id=f"{round_id}-{pair_id}-{name}-{at}",
        round_id=round_id,
        item_id=item_id,
        slot_id=slot_id,
        annotator_id=who,
        lease_id=None,
        label=label,
        both_bad=False,
        counts=counts,
        left="A",
        seconds=3.0,
        comment=None,
        details={},
        origin="simulated",
        client_at=None,
        created_at=at,
        undone_at=None,
    )
    session.add(stored)
    session.flush()
    return stored


def skip(session: Session, round_id: int, pair_id: str, name: str, *, at: float = T0 + 1) -> Skip:
    """One skip of an item's first slot."""
    item_id, slot_id = _slot(session, round_id, pair_id, 0)
    stored = Skip(
        id=f"skip-{round_id}-{pair_id}-{name}-{at}",
        round_id=round_id,
        item_id=item_id,
        slot_id=slot_id,
        annotator_id=person(session, name),
        lease_id=None,
        reason=None,
        client_at=None,
        created_at=at,
        undone_at=None,
    )
    session.add(stored)
    session.flush()
    return stored


def answer(
    project: Project, round_id: int, labels: Sequence[str], stratum: str = "main", name: str = "ana"
) -> None:
    """Vote on the first pairs of a stratum's draw, in draw order."""
    ids = drawn_ids(project, round_id, stratum)
    with writing(project.engine) as session:
        for k, (pair_id, label) in enumerate(zip(ids, labels, strict=False)):
            vote(session, round_id, pair_id, label, name, at=T0 + 1 + k)


def _slot(session: Session, round_id: int, pair_id: str, number: int) -> tuple[int, int]:
    row = session.execute(
        select(Item.id, Slot.id)
        .join(Slot, Slot.item_id == Item.id)
        .where(Item.round_id == round_id, Item.pair_id == pair_id, Slot.number == number)
    ).one()
    return row[0], row[1]
