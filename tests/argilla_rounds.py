"""What the tests of rounds in Argilla share: a project with a round, and people who answer."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from argilla_world import Caller, World
from sqlalchemy import select

from pipelines.importing import import_file
from workbench.annotate.mapping import NOTE, VERDICT, left_of, record_id
from workbench.audit.design import RoundDesign
from workbench.audit.draw import draw_round
from workbench.audit.options import DrawOptions, StratumOptions
from workbench.audit.rounds import find_round, read_design
from workbench.db.models import Item, Skip, Vote
from workbench.db.session import reading
from workbench.project import Project

JUDGE, P_A = "secret-judge@7", 0.90625  # no moment of any answer looks like it
MODELS = ("secret-model-one", "secret-model-two")


def row(number: int) -> dict[str, Any]:
    """A pair whose first response is always the better one, as the judge says."""
    return {
        "id": f"revealing-id-{number}-A-wins",
        "prompt": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": f"question {number}?"},
        ],
        "response_a": f"good answer {number}",
        "response_b": f"bad answer {number}",
        "model_a": MODELS[0],
        "model_b": MODELS[1],
        "ai": [{"judge": JUDGE, "p_a": P_A, "rationale": "secret rationale"}],
    }


def make_project(folder: Path, url: str, n_pairs: int = 30) -> Project:
    """A project of made-up pairs."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "project.toml").write_text(f'[database]\nurl = "{url}"\n')
    file = folder / "pairs.jsonl"
    file.write_text("".join(json.dumps(row(number)) + "\n" for number in range(n_pairs)))
    project = Project.open(folder)
    if n_pairs:
        import_file(project.store, file, project.config)
    return project


def draw(project: Project, n: int = 10, name: str = "round-1", **more: Any) -> RoundDesign:
    """A round of `n` pairs; without overlap unless it is asked for."""
    stratum = StratumOptions(n_pairs=n)
    wanted = {"main": stratum, "safety": stratum, "slices": (), "overlap": 0.0, "name": name}
    draw_round(project, DrawOptions(**wanted | more))
    with reading(project.engine) as session:
        return read_design(find_round(session, name))


def pair_ids(project: Project, round_name: str = "round-1") -> list[str]:
    """The round's pairs in draw order."""
    with reading(project.engine) as session:
        found = find_round(session, round_name)
        query = select(Item.pair_id).where(Item.round_id == found.id).order_by(Item.position)
        return list(session.scalars(query))


def votes(project: Project) -> list[Vote]:
    """Every vote, oldest first."""
    with reading(project.engine) as session:
        return list(session.scalars(select(Vote).order_by(Vote.created_at, Vote.id)))


def skips(project: Project) -> list[Skip]:
    """Every skip, oldest first."""
    with reading(project.engine) as session:
        return list(session.scalars(select(Skip).order_by(Skip.created_at, Skip.id)))


class Desk:
    """A round's records on a server, and people's way to answer them."""

    def __init__(self, world: World, design: RoundDesign, names: Sequence[str]) -> None:
        self.design, self.owner = design, world.owner()
        datasets = self.owner.get("/me/datasets")["items"]
        self.datasets = [one["id"] for one in datasets if one["name"] in names]
        assert len(self.datasets) == len(names)
        self.records: dict[str, dict[str, Any]] = {}
        for dataset in self.datasets:
            page = self.owner.get(f"/datasets/{dataset}/records?limit=1000&include=responses")
            self.records |= {record["external_id"]: record for record in page["items"]}

    def record(self, pair_id: str) -> dict[str, Any]:
        """The record of a pair, as it was when the desk was made."""
        return self.records[record_id(self.design, pair_id)]

    def shown(self, pair_id: str, label: str) -> str:
        """The option that means this label."""
        if label in ("tie", "both_bad"):
            return label
        return "left" if label == left_of(self.design, pair_id) else "right"

    def answer(
        self,
        who: Caller,
        pair_id: str,
        label: str | None,
        status: str = "submitted",
        note: str | None = None,
        **more: Any,
    ) -> str:
        """A new answer; its id."""
        body = self._body(pair_id, label, status, note, more)
        made = who.post(f"/records/{self.record(pair_id)['id']}/responses", body)
        return str(made["id"])

    def change(
        self,
        who: Caller,
        response: str,
        pair_id: str,
        label: str | None,
        status: str = "submitted",
        note: str | None = None,
        **more: Any,
    ) -> None:
        """Another answer instead of an earlier one."""
        body = self._body(pair_id, label, status, note, more)
        code, said = who.ask("PUT", f"/responses/{response}", body)
        assert code == 200, said

    def _body(
        self, pair_id: str, label: str | None, status: str, note: str | None, more: dict[str, Any]
    ) -> dict[str, Any]:
        values: dict[str, Any] = {name: {"value": value} for name, value in more.items()}
        if label is not None:
            values[VERDICT] = {"value": self.shown(pair_id, label)}
        if note is not None:
            values[NOTE] = {"value": note}
        return {"status": status, "values": values or None}
