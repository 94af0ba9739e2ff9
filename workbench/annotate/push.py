"""The open round into Argilla: only what a reviewer may see, each pair once however often."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipelines.errors import BadInput
from workbench.annotate import mapping
from workbench.annotate.client import PAGE, Connection, find_address
from workbench.annotate.staff import Member, add_annotators, find_workspace
from workbench.audit.design import RoundDesign
from workbench.audit.rounds import find_round, read_design
from workbench.db.models import ArgillaDataset, Item, Slot, Vote
from workbench.db.session import reading, writing
from workbench.project import Project

WORKSPACE = "workbench"

OnCount = Callable[[int, int], None]


@dataclass(frozen=True)
class PushedDataset:
    """One dataset, and what it holds of the round now."""

    name: str
    wanted: int  # people who answer each of its pairs
    n_new: int
    n_there: int  # from earlier pushes


@dataclass(frozen=True)
class Pushed:
    """What a push did."""

    round_name: str
    url: str
    workspace: str
    assist: bool
    datasets: tuple[PushedDataset, ...]
    members: tuple[Member, ...]
    n_answered: int  # pairs that need no label any more
    n_later: int  # pairs behind --first
    not_shown: dict[str, int] = field(default_factory=dict)  # by reason


@dataclass(frozen=True)
class _Waiting:
    """An item that still wants labels; `place` is its place in the queue, from 0."""

    place: int
    item_id: int
    pair_id: str
    wanted: int


def push(
    project: Project,
    round_name: str | None = None,
    *,
    url: str | None = None,
    workspace: str | None = None,
    annotators: Sequence[str] = (),
    first: int | None = None,
    assist: bool = False,
    on_count: OnCount = lambda n_done, n_all: None,
    now: float | None = None,
) -> Pushed:
    """Bring the pairs of an open round that wait for labels to Argilla; again adds what is missing.

    Args:
        project: The project.
        round_name: The round; None is the newest open one.
        url: The server; None: the environment's, or the project's own.
        workspace: Its workspace, made when missing; None: that of earlier pushes.
        annotators: People to let in.
        first: Only so many pairs from the start of the queue; None: all.
        assist: Show the AI's labels: the round can then not be certified.
        on_count: Called with the pairs sent and all.
        now: Unix seconds, of what is stored.

    Raises:
        BadInput: The round is closed, or something there is not as it must be.
        ServiceFailed: The server is gone, too slow or too busy; what was sent stays.
    """
    now = time.time() if now is None else now
    with reading(project.engine) as session:
        found = find_round(session, round_name)
        if found.closed_at is not None:
            raise BadInput(f"round {found.name!r} is closed; nothing of it is asked any more")
        round_id, design = found.id, read_design(found)
        earlier = list(
            session.scalars(select(ArgillaDataset).where(ArgillaDataset.round_id == round_id))
        )
        waiting, n_answered = _waiting(session, round_id)
    _check_assist(earlier, assist)
    address = find_address(project.dir, url)
    if assist and address.own is not None and not address.own.assist:
        raise BadInput(
            "this server hides suggestions; `workbench argilla down`, then `workbench argilla up "
            "--assist`"
        )
    with Connection(address) as connection:
        name = workspace or next((one.workspace for one in earlier), WORKSPACE)
        place = find_workspace(connection, name)
        members = add_annotators(connection, place, list(annotators))
        chosen = [one for one in waiting if first is None or one.place < first]
        pusher = _Pusher(project, connection, place, round_id, design, assist, now)
        for wanted in sorted({one.wanted for one in chosen}):
            pusher.open(wanted, earlier)
        pusher.send(chosen, on_count)
        return Pushed(
            round_name=design.name,
            url=connection.url,
            workspace=name,
            assist=assist,
            datasets=pusher.done(),
            members=tuple(members),
            n_answered=n_answered,
            n_later=len(waiting) - len(chosen),
            not_shown=pusher.not_shown,
        )


def _check_assist(earlier: Sequence[ArgillaDataset], assist: bool) -> None:
    """A round is pushed blind or with the AI's labels, never both.

    Raises:
        BadInput: It was pushed the other way before.
    """
    if any(one.assist != assist for one in earlier):
        how = "blind" if assist else "with --assist"
        raise BadInput(
            f"this round was pushed {how} before; a round is one or the other, so draw another"
        )


def _waiting(session: Session, round_id: int) -> tuple[list[_Waiting], int]:
    """Items with open slots in the order of the queue, and how many have none."""
    filled = (
        select(Vote.slot_id)
        .where(Vote.round_id == round_id, Vote.counts.is_(True), Vote.undone_at.is_(None))
        .subquery()
    )
    rows = session.execute(
        select(Item.id, Item.pair_id, func.count(Slot.id), func.count(filled.c.slot_id))
        .join(Slot, Slot.item_id == Item.id)
        .outerjoin(filled, filled.c.slot_id == Slot.id)
        .where(Item.round_id == round_id)
        .group_by(Item.id, Item.pair_id, Item.rank)
        .order_by(Item.rank, Item.id)
    ).all()
    # As many answers as the pair has slots: a pair must not change its dataset when one comes.
    open_items = [_Waiting(k, *row[:3]) for k, row in enumerate(rows) if row[3] < row[2]]
    return open_items, len(rows) - len(open_items)


class _Pusher:
    """Sends pairs into the datasets of one round."""

    def __init__(
        self,
        project: Project,
        connection: Connection,
        workspace: Any,
        round_id: int,
        design: RoundDesign,
        assist: bool,
        now: float,
    ) -> None:
        self._project, self._connection, self._workspace = project, connection, workspace
        self._round_id, self._design, self._assist, self._now = round_id, design, assist, now
        self._datasets: dict[int, Any] = {}
        self._there: dict[int, set[str]] = {}
        self._n_new: dict[int, int] = {}
        self.not_shown: dict[str, int] = {}

    def open(self, wanted: int, earlier: Sequence[ArgillaDataset]) -> None:
        """Find or make the dataset for pairs that so many people answer."""
        dataset = None
        for one in earlier:
            if one.wanted == wanted:
                dataset = self._connection.dataset(one.id)
        name = _dataset_name(self._design.name, wanted)
        if dataset is None:
            dataset = self._made(name, wanted)
            self._note(dataset, wanted)
        mapping.check_settings(dataset, self._design)
        self._datasets[wanted] = dataset
        self._there[wanted] = {
            str(record.external_id)
            for page in self._connection.records(dataset, answers=False)
            for record in page
        }
        self._n_new[wanted] = 0

    def _found(self, name: str) -> Any | None:
        """A dataset of this name that an interrupted push left; an empty one is made anew.

        Raises:
            BadInput: It holds something else.
        """
        client, connection = self._connection.client, self._connection
        found = connection.ask(
            "look for the dataset", lambda: client.datasets(name, workspace=self._workspace)
        )
        if found is None:
            return None
        page = next(connection.records(found, answers=False), [])
        if not page:  # perhaps never published
            connection.ask("remove an empty dataset", found.delete)
            return None
        with reading(self._project.engine) as session:
            items = select(Item.pair_id).where(Item.round_id == self._round_id)
            ours = {mapping.record_id(self._design, pair) for pair in session.scalars(items)}
        if any(str(record.external_id) in ours for record in page):
            return found
        raise BadInput(
            f"{connection.url} has a dataset {name!r} already, with other records; rename it "
            "there, or push into another --workspace"
        )

    def _made(self, name: str, wanted: int) -> Any:
        rg, connection = self._connection.rg, self._connection

        def make() -> Any:
            # A try that failed half-way, or whose answer was lost, may have left one.
            there = self._found(name)
            if there is not None:
                return there
            new = rg.Dataset(
                name=name,
                workspace=self._workspace,
                settings=mapping.settings(rg, self._design, wanted),
                client=connection.client,
            )
            return new.create()

        return connection.ask(f"make the dataset {name!r}", make)

    def _note(self, dataset: Any, wanted: int) -> None:
        with writing(self._project.engine) as session:
            if session.get(ArgillaDataset, str(dataset.id)) is None:
                session.add(
                    ArgillaDataset(
                        id=str(dataset.id),
                        round_id=self._round_id,
                        name=dataset.name,
                        workspace=self._workspace.name,
                        url=self._connection.url,
                        wanted=wanted,
                        assist=self._assist,
                        created_at=self._now,
                    )
                )

    def send(self, chosen: Sequence[_Waiting], on_count: OnCount) -> None:
        """Send what is not there yet, in the order of the queue."""
        everywhere = set().union(*self._there.values()) if self._there else set()
        new = [
            one for one in chosen if mapping.record_id(self._design, one.pair_id) not in everywhere
        ]
        for start in range(0, len(new), PAGE):
            part = new[start : start + PAGE]
            records = list(self._records(part))
            for wanted, dataset in self._datasets.items():
                mine = [record for count, record in records if count == wanted]
                if mine:
                    self._connection.ask(f"send pairs to {dataset.name!r}", _logging(dataset, mine))
                    self._n_new[wanted] += len(mine)
            on_count(start + len(part), len(new))

    def _records(self, part: Sequence[_Waiting]) -> Iterator[tuple[int, Any]]:
        texts = select(
            Item.id, Item.prompt_json, Item.response_a, Item.response_b, Item.ai_label, Item.p_a
        ).where(Item.id.in_([one.item_id for one in part]))
        with reading(self._project.engine) as session:
            rows = {row.id: row for row in session.execute(texts)}
        for one in part:
            row = rows[one.item_id]
            left = mapping.left_of(self._design, one.pair_id)
            try:
                fields = mapping.record_fields(
                    left, row.prompt_json, row.response_a, row.response_b
                )
            except mapping.Unshowable as error:
                self.not_shown[str(error)] = self.not_shown.get(str(error), 0) + 1
                continue
            yield (
                one.wanted,
                self._connection.rg.Record(
                    id=mapping.record_id(self._design, one.pair_id),
                    fields=fields,
                    suggestions=self._suggestions(left, row.ai_label, row.p_a),
                ),
            )

    def _suggestions(self, left: str, ai_label: str, p_a: float | None) -> list[Any]:
        if not self._assist or ai_label not in ("A", "B", "tie"):
            return []
        shown = "tie" if ai_label == "tie" else "left" if ai_label == left else "right"
        sure = None if p_a is None else {"A": p_a, "B": 1.0 - p_a}.get(ai_label)
        suggestion = self._connection.rg.Suggestion(
            mapping.VERDICT,
            shown,
            score=sure,
            agent=re.sub(r"[^A-Za-z0-9:./ _-]", "-", self._design.label)[:200],
        )
        return [suggestion]

    def done(self) -> tuple[PushedDataset, ...]:
        """What each dataset got and had."""
        return tuple(
            PushedDataset(dataset.name, wanted, self._n_new[wanted], len(self._there[wanted]))
            for wanted, dataset in self._datasets.items()
        )


def _logging(dataset: Any, records: list[Any]) -> Callable[[], Any]:
    # Records are known by our ids, so sending a batch again updates it and adds nothing.
    return lambda: dataset.records.log(records, batch_size=len(records))


def _dataset_name(round_name: str, wanted: int) -> str:
    # Not the project's name, which may speak of judges.
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", round_name).strip("-_") or "round"
    return plain + ("" if wanted == 1 else f"-{wanted}-people")
