"""What people answered in Argilla into the round: again and again without harm, or watching."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipelines.errors import BadInput, ServiceFailed
from workbench.annotate import mapping
from workbench.annotate.answers import Intake, as_counts
from workbench.annotate.client import Connection, find_address
from workbench.annotate.staff import Staff
from workbench.audit.design import RoundDesign
from workbench.audit.labels import read_prefix
from workbench.audit.progress import progress
from workbench.audit.rounds import find_round, lock_round, read_design
from workbench.db.models import ArgillaDataset, Item, Round
from workbench.db.session import reading, writing
from workbench.project import Project


@dataclass(frozen=True)
class Pulled:
    """What a pull found, and how the round stands after it. Every answer is in one count."""

    round_name: str
    closed: bool
    counts: dict[str, int]  # workbench.annotate.answers.COUNTED, each with "n_" before
    n_records: int
    n_foreign: int  # records that are not of this round
    gone: tuple[str, ...]  # datasets that are no longer on the server
    rejected: dict[str, int] = field(default_factory=dict)  # answers, by reason
    answered: int = 0  # labels of the round that count
    asked: int = 0
    n_read: int = 0  # pairs that the certificate reads: the answered start of the draw

    @property
    def n_new(self) -> int:
        """What this pull changed here."""
        changing = ("counted", "overlap", "surplus", "edited", "taken_back", "skips", "aside")
        return sum(self.counts[f"n_{name}"] for name in changing)

    @property
    def complete(self) -> bool:
        """Nothing more is to come."""
        return self.closed or self.answered >= self.asked


@dataclass
class _Fetched:
    """What stands on the server, read before anything is written here."""

    answers: list[tuple[str, mapping.Answer]] = field(default_factory=list)  # by pair id
    usernames: dict[str, str] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)  # user ids of the workspace's annotators
    gone: list[str] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    n_records: int = 0
    n_foreign: int = 0


def pull(
    project: Project,
    round_name: str | None = None,
    *,
    url: str | None = None,
    now: float | None = None,
) -> Pulled:
    """Read what people answered in Argilla into the round. Reading it again changes nothing.

    Args:
        project: The project.
        round_name: The round; None is the newest open one.
        url: The server; None: the environment's, or the project's own.
        now: Unix seconds, of what is stored.

    Raises:
        BadInput: The round was never pushed, or what is there is not as it was pushed.
        ServiceFailed: The server is gone, too slow or too busy; nothing was changed here.
    """
    with reading(project.engine) as session:
        found = find_round(session, round_name)
        round_id, name, design = found.id, found.name, read_design(found)
        pushed = list(
            session.scalars(select(ArgillaDataset).where(ArgillaDataset.round_id == round_id))
        )
    if not pushed:
        raise BadInput(f"round {name!r} was not pushed to Argilla; `workbench argilla push` first")
    with Connection(find_address(project.dir, url)) as connection:
        fetched = _fetch(project, connection, design, round_id, pushed)
    with writing(project.engine) as session:
        found = lock_round(session, name)
        now = time.time() if now is None else now  # under the lock: after what it waited for
        staff = Staff(session, fetched.usernames, now)
        for user_id in sorted(fetched.asked | {answer.user_id for _, answer in fetched.answers}):
            staff.seat(found.id, user_id)
        intake = Intake(
            session,
            found.id,
            design,
            closed=found.closed_at is not None,
            staff=staff,
            now=now,
        )
        for pair_id, answer in fetched.answers:
            if not intake.take(pair_id, answer):
                fetched.rejected["of a person whom the server does not name"] += 1
        intake.store()
        return _summary(session, found, design, fetched, as_counts(intake.counts), pushed)


def _summary(
    session: Session,
    found: Round,
    design: RoundDesign,
    fetched: _Fetched,
    counts: dict[str, int],
    pushed: list[ArgillaDataset],
) -> Pulled:
    state = progress(session, found.id)
    return Pulled(
        round_name=found.name,
        closed=found.closed_at is not None,
        counts=counts,
        n_records=fetched.n_records,
        n_foreign=fetched.n_foreign,
        gone=tuple(fetched.gone),
        rejected=dict(fetched.rejected),
        answered=state.answered,
        asked=state.asked,
        n_read=sum(len(read_prefix(session, found.id, part.name)) for part in design.strata),
    )


def _fetch(
    project: Project,
    connection: Connection,
    design: RoundDesign,
    round_id: int,
    pushed: list[ArgillaDataset],
) -> _Fetched:
    """Read everything that is on the server.

    Raises:
        BadInput: No dataset of the round is there any more, or one was changed by hand.
        ServiceFailed: The server does not answer.
    """
    fetched, gone, there = _Fetched(), list[ArgillaDataset](), set[int]()
    with reading(project.engine) as session:
        items = select(Item.pair_id, Item.id).where(Item.round_id == round_id)
        by_record = {
            mapping.record_id(design, pair_id): (pair_id, item_id)
            for pair_id, item_id in session.execute(items)
        }
    for one in pushed:
        dataset = connection.dataset(one.id)
        if dataset is None:
            gone.append(one)
            continue
        there.add(one.wanted)
        mapping.check_settings(dataset, design)
        _note_people(connection, dataset, fetched)
        for page in connection.records(dataset):
            fetched.n_records += len(page)
            _read_page(project, design, one.assist, by_record, page, fetched)
    # One that was deleted and pushed anew is not missed.
    fetched.gone = [one.name for one in gone if one.wanted not in there]
    if not there:
        raise BadInput(
            f"{connection.url} has no dataset of round {design.name!r} any more "
            f"({', '.join(fetched.gone)}); all answers read so far are kept; "
            "`workbench argilla push` makes it anew, or name the right server by --url"
        )
    return fetched


def _note_people(connection: Connection, dataset: Any, fetched: _Fetched) -> None:
    inside = connection.ask("list the workspace's people", lambda: dataset.workspace.users[:])
    everyone = connection.ask("list people", connection.client.users.list)
    for user in [*inside, *everyone]:
        fetched.usernames[str(user.id)] = str(user.username)
    fetched.asked |= {str(user.id) for user in inside if str(user.role.value) == "annotator"}


def _read_page(
    project: Project,
    design: RoundDesign,
    assist: bool,
    by_record: dict[str, tuple[str, int]],
    page: list[Any],
    fetched: _Fetched,
) -> None:
    """The answers of one page of records, with a look at whether people saw our texts."""
    ours = [record for record in page if str(record.external_id) in by_record]
    fetched.n_foreign += len(page) - len(ours)
    answered = [record for record in ours if record.responses]
    wanted = [by_record[str(record.external_id)][1] for record in answered]
    with reading(project.engine) as session:
        texts = select(Item.id, Item.prompt_json, Item.response_a, Item.response_b)
        shown = {row.id: row for row in session.execute(texts.where(Item.id.in_(wanted)))}
    for record in answered:
        pair_id, item_id = by_record[str(record.external_id)]
        row = shown[item_id]
        fields = mapping.record_fields(
            mapping.left_of(design, pair_id), row.prompt_json, row.response_a, row.response_b
        )
        if not _same_fields(record.fields, fields):
            fetched.rejected["of a pair whose text was changed in Argilla"] += len(record.responses)
            continue
        for response in record.responses:
            try:
                answer = mapping.read_answer(
                    design,
                    str(record.external_id),
                    response,
                    assisted=assist or bool(record.suggestions),
                )
            except BadInput as error:
                fetched.rejected[str(error)] += 1
                continue
            fetched.answers.append((pair_id, answer))


def _same_fields(there: Any, ours: dict[str, Any]) -> bool:
    read = dict(there or {})
    read["prompt"] = [
        {"role": turn["role"], "content": turn["content"]}
        if isinstance(turn, dict)
        else {"role": turn.role, "content": turn.content}
        for turn in read.get("prompt") or []
    ]
    return read == ours


def watch(
    project: Project,
    round_name: str | None,
    *,
    url: str | None,
    every_s: float,
    on_trouble: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Pulled]:
    """Pull now and then until all is answered or the round is closed; a server may come and go.

    Args:
        project: The project.
        round_name: The round; None is the newest open one.
        url: The server.
        every_s: Seconds between pulls.
        on_trouble: Told, in a line, that the server does not answer; it is asked again.
        sleep: Waits.

    Raises:
        BadInput: What waiting does not mend.
    """
    while True:
        try:
            pulled = pull(project, round_name, url=url)
        except ServiceFailed as error:
            on_trouble(str(error))
        else:
            yield pulled
            round_name = pulled.round_name
            if pulled.complete:
                return
        sleep(every_s)
