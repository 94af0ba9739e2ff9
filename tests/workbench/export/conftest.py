"""A small project with one audit round: judges, failures, ties, identical and empty responses."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from pipelines.importing import import_file
from workbench.audit.draw import draw_round
from workbench.audit.options import DrawOptions, StratumOptions
from workbench.db.models import Adjudication, Annotator, Item, Slot, Vote
from workbench.db.session import writing
from workbench.project import Project

WORDS = (
    *("the", "model", "should", "answer", "kindly", "and", "explain", "why", "a", "plan"),
    *("is", "safe", "because", "help", "matters"),
)

# pair 0..59: judge "sol" with both orders and p_a; some special ones:
FAILED, ABSTAINED, UNASKED, TIE, IDENTICAL, IMPORTED = 50, 51, 52, 53, 54, 55


def sentence(rng: random.Random, n: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(n))


def verdict(order: str, **given: Any) -> dict[str, Any]:
    return {"judge": "sol", "order": order, **given}


def make_pairs(*, conversational: bool = False, n: int = 60) -> list[dict[str, Any]]:
    """Prompts repeat every fifth pair; even pairs have label A, odd ones B, with p_a 0.9 or 0.1."""
    rng = random.Random(7)
    rows: list[dict[str, Any]] = []
    for k in range(n):
        question = f"Question {k - k % 5 // 4}: {sentence(rng, 8)}"
        if k % 5 == 4:
            question = rows[k - 1]["prompt"]
        elif conversational and k % 2:
            question = [
                {"role": "user", "content": sentence(rng, 5)},
                {"role": "assistant", "content": sentence(rng, 5)},
                {"role": "user", "content": question},
            ]
        p_a = 0.9 if k % 2 == 0 else 0.1
        rows.append(
            {
                "id": f"p-{k}",
                "prompt": question,
                "response_a": f"a{k} {sentence(rng, 6)}",
                "response_b": f"b{k} {sentence(rng, 6)} \u2028 ünïcode",
                "model_a": "small",
                "model_b": "large",
                "subset": "even" if k % 2 == 0 else "odd",
                "ai": [verdict("ab", p_a=p_a), verdict("ba", p_a=p_a)],
                "meta": {"row": k},
            }
        )
    if n >= 60:
        rows[FAILED]["ai"] = [verdict("ab", failure="unparsed")]
        rows[ABSTAINED]["ai"] = [verdict("ab", label="A"), verdict("ba", label="B")]
        rows[UNASKED]["ai"] = []
        rows[TIE]["ai"] = [verdict("ab", p_a=0.5)]
        rows[IDENTICAL]["response_b"] = rows[IDENTICAL]["response_a"]
        rows[IMPORTED]["human"] = [
            {"annotator": "zoe", "label": "A"},
            {"annotator": "ben", "label": "A"},
            {"annotator": "kim", "label": "B"},
        ]
    return rows


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def make_project(folder: Path, rows: list[dict[str, Any]]) -> Project:
    project = Project.create(folder)
    import_file(project.store, write_jsonl(folder / "in.jsonl", rows), project.config)
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project", make_pairs())


@pytest.fixture
def conversations(tmp_path: Path) -> Project:
    return make_project(tmp_path / "conversations", make_pairs(conversational=True))


class Round:
    """A drawn round of a test, with people who vote as the test says."""

    def __init__(self, project: Project, name: str = "first", n_pairs: int = 20, seed: int = 0):
        self.project, self.name = project, name
        stratum = StratumOptions(n_pairs=n_pairs)
        draw = draw_round(
            project, DrawOptions(label="sol", name=name, seed=seed, main=stratum, overlap=1.0)
        )
        self.round_id = draw.round_id
        self._n = 0

    def pair_ids(self) -> list[str]:
        with writing(self.project.engine) as session:
            query = select(Item.pair_id).where(Item.round_id == self.round_id)
            return list(session.scalars(query.order_by(Item.position)))

    def _annotator(self, session: Any, name: str) -> int:
        found = session.scalar(select(Annotator.id).where(Annotator.name == name))
        if found is None:
            person = Annotator(name=name, created_at=0.0, link_hash=None, revoked_at=None)
            session.add(person)
            session.flush()
            found = person.id
        return int(found)

    def vote(self, pair_id: str, who: str, label: str, *, slot: int = 0, **given: Any) -> None:
        self._n += 1
        with writing(self.project.engine) as session:
            item = session.scalars(
                select(Item).where(Item.round_id == self.round_id, Item.pair_id == pair_id)
            ).one()
            slot_id = session.scalars(
                select(Slot.id).where(Slot.item_id == item.id, Slot.number == slot)
            ).one()
            session.add(
                Vote(
                    id=f"{self.name}-{self._n}",
                    round_id=self.round_id,
                    item_id=item.id,
                    slot_id=slot_id,
                    annotator_id=self._annotator(session, who),
                    label=label,
                    left=given.pop("left", "A"),
                    details=given.pop("details", {}),
                    origin=given.pop("origin", "workbench"),
                    created_at=given.pop("created_at", 100.0 + self._n),
                    **given,
                )
            )

    def adjudicate(self, pair_id: str, who: str, label: str, created_at: float = 500.0) -> None:
        with writing(self.project.engine) as session:
            item_id = session.scalars(
                select(Item.id).where(Item.round_id == self.round_id, Item.pair_id == pair_id)
            ).one()
            session.add(
                Adjudication(
                    item_id=item_id,
                    annotator_id=self._annotator(session, who),
                    label=label,
                    comment=None,
                    created_at=created_at,
                )
            )


@pytest.fixture
def draw() -> type[Round]:
    """`draw(project, name, n_pairs, seed)`: a round of judge sol's labels, two slots a pair."""
    return Round


@pytest.fixture
def new_project() -> Callable[[Path, list[dict[str, Any]]], Project]:
    return make_project


@pytest.fixture
def pair_rows() -> Callable[..., list[dict[str, Any]]]:
    return make_pairs


@pytest.fixture
def audited(project: Project) -> tuple[Project, Round]:
    """Twelve votes of ana in a round: as the AI says, but for the fourth and the eighth."""
    found = Round(project)
    ids = [pair_id for pair_id in found.pair_ids() if int(pair_id[2:]) < FAILED][:12]
    for k, pair_id in enumerate(ids):
        as_ai = "A" if int(pair_id[2:]) % 2 == 0 else "B"
        against = {"A": "B", "B": "A"}[as_ai]
        found.vote(pair_id, "ana", against if k in (3, 7) else as_ai)
    return project, found
