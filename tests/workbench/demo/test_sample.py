"""The demo of the sample: its simulated votes came through the queue that people use."""

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from workbench.audit.queue import Desk, SyncRequest, mint_token, sync
from workbench.cli.main import app
from workbench.data_files import data_dir
from workbench.db.models import Annotator, Item, Lease, Round, Skip, Slot, Vote
from workbench.db.session import reading, writing
from workbench.demo.place import MARK, MadeDemo, make_demo
from workbench.demo.sample import SHARE_LABELLED, build_sample, read_answers
from workbench.project import Project
from workbench.simulated import label_round

NOW = 1_790_000_000.0
SAMPLE = data_dir() / "sample"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, MadeDemo]:
    folder = tmp_path_factory.mktemp("demo") / "demo"
    return folder, make_demo(folder, build_sample, "sample", now=NOW)


@pytest.fixture
def session(made: tuple[Path, MadeDemo]) -> Iterator[Session]:
    project = Project.open(made[0])
    with reading(project.engine) as session:
        yield session
    project.engine.dispose()


def test_every_sample_pair_is_imported_and_a_round_drawn(
    made: tuple[Path, MadeDemo], session: Session
) -> None:
    folder, demo = made
    assert demo.n_pairs == len((SAMPLE / "pairs.jsonl").read_text("utf-8").splitlines())
    assert demo.label == "simulated-judge-strong"
    assert set(demo.n_drawn) == {"main", "safety"}
    assert session.scalar(select(func.count(Item.id))) == sum(demo.n_drawn.values())
    assert json.loads((folder / MARK).read_text())["round_name"] == demo.round_name


def test_the_first_pairs_of_the_queue_are_labelled_without_a_gap(
    made: tuple[Path, MadeDemo], session: Session
) -> None:
    _, demo = made
    assert demo.answered / demo.asked == pytest.approx(SHARE_LABELLED, abs=0.03)
    answered = select(Vote.slot_id).where(Vote.counts.is_(True), Vote.undone_at.is_(None))
    rows = session.execute(
        select(Item.rank, Slot.id.in_(answered))
        .join(Slot, Slot.item_id == Item.id)
        .order_by(Item.rank, Item.id)
    )
    done = [filled for _, filled in rows]
    assert done == sorted(done, reverse=True)  # all answered slots, then all open ones
    assert sum(done) == demo.answered


def test_votes_are_marked_simulated_and_came_by_a_lease(session: Session) -> None:
    votes = session.scalars(select(Vote)).all()
    assert {vote.origin for vote in votes} == {"simulated"}
    assert all(vote.counts and vote.undone_at is None and vote.left for vote in votes)
    leases = {lease.id: lease for lease in session.scalars(select(Lease))}
    for vote in votes:
        lease = leases[vote.lease_id or ""]
        assert (lease.annotator_id, lease.slot_id) == (vote.annotator_id, vote.slot_id)
        assert lease.left == vote.left
        assert lease.ended_at is not None
    assert len({vote.left for vote in votes}) == 2


def test_each_vote_is_what_the_simulated_person_says_of_that_pair(session: Session) -> None:
    answers = read_answers(SAMPLE / "labels.jsonl")
    rows = session.execute(
        select(Vote.label, Vote.seconds, Vote.comment, Annotator.name, Item.pair_id)
        .join(Annotator, Annotator.id == Vote.annotator_id)
        .join(Item, Item.id == Vote.item_id)
    ).all()
    for label, seconds, comment, name, pair_id in rows:
        said = answers[name][pair_id]
        assert (label, seconds, comment) == (said.label, said.seconds, said.comment)
    assert {row.name for row in rows} == set(answers)


def test_overlap_pairs_went_to_two_people(session: Session) -> None:
    people = defaultdict(set)
    for item_id, who in session.execute(select(Vote.item_id, Vote.annotator_id)):
        people[item_id].add(who)
    double = session.execute(
        select(Slot.item_id, func.count(Vote.id))
        .join(Vote, Vote.slot_id == Slot.id)
        .group_by(Slot.item_id)
        .having(func.count(Vote.id) > 1)
    ).all()
    assert len(double) >= 15
    assert all(len(people[item_id]) == n for item_id, n in double)


def test_a_pair_in_a_language_that_somebody_cannot_read_was_skipped_and_then_answered(
    session: Session,
) -> None:
    skips = session.execute(
        select(Skip, Annotator.name).join(Annotator, Annotator.id == Skip.annotator_id)
    ).all()
    assert skips
    for skip, name in skips:
        assert name == "simulated-ben"
        assert skip.reason == "I cannot read this language"
        answered = select(Vote.annotator_id).where(Vote.slot_id == skip.slot_id)
        assert session.scalars(answered).one() != skip.annotator_id


def test_times_lie_in_the_past_in_the_order_of_a_real_session(
    made: tuple[Path, MadeDemo], session: Session
) -> None:
    (imported,) = Project.open(made[0]).store.manifest().imports
    drawn = session.scalars(select(Round.created_at)).one()
    assert imported.started_at <= drawn
    times = [vote.created_at for vote in session.scalars(select(Vote))]
    assert drawn < min(times)
    assert max(times) < NOW - 15 * 60  # longer ago than a lease lasts


def test_a_visitor_gets_the_first_open_pairs_of_the_round(
    made: tuple[Path, MadeDemo], tmp_path: Path
) -> None:
    folder, demo = tmp_path / "demo", made[1]
    shutil.copytree(made[0], folder)
    project = Project.open(folder)
    with writing(project.engine) as session:
        visitor = Annotator(name="visitor", created_at=NOW)
        session.add(visitor)
        session.flush()
        round_id = session.scalars(select(Round.id)).one()
        token = mint_token(session, round_id, visitor.id, NOW)
        reply = sync(session, SyncRequest(token=token, want=12), Desk(), NOW)
        shown = [item.item_id for item in reply.items]
        answered = select(Vote.item_id).where(Vote.counts.is_(True))
        waiting = session.scalars(
            select(Item.id).where(Item.id.not_in(answered)).order_by(Item.rank, Item.id)
        ).all()
    project.engine.dispose()
    assert len(shown) == 12
    assert shown == waiting[:12]  # nothing is held back by those who left
    assert (reply.everyone, reply.asked) == (demo.answered, demo.asked)


def test_making_it_again_gives_the_same_votes(
    made: tuple[Path, MadeDemo], session: Session, tmp_path: Path
) -> None:
    again = tmp_path / "demo"
    assert make_demo(again, build_sample, "sample", now=NOW) == made[1]

    def votes(session: Session) -> list[tuple[Any, ...]]:
        columns = (Vote.id, Vote.item_id, Vote.annotator_id, Vote.label, Vote.left, Vote.created_at)
        return [tuple(row) for row in session.execute(select(*columns).order_by(Vote.id))]

    project = Project.open(again)
    with reading(project.engine) as other:
        assert votes(other) == votes(session)
    project.engine.dispose()


def test_simulated_people_can_label_a_whole_round(
    made: tuple[Path, MadeDemo], tmp_path: Path
) -> None:
    folder, demo = tmp_path / "demo", made[1]
    shutil.copytree(made[0], folder)
    project = Project.open(folder)
    answers = read_answers(SAMPLE / "labels.jsonl")
    with reading(project.engine) as session:
        round_id = session.scalars(select(Round.id)).one()
    done = label_round(project.engine, round_id, answers, 1.0, NOW)
    assert done.answered == done.asked == demo.asked
    assert done.n_votes == demo.asked - demo.answered
    project.engine.dispose()


def test_the_command_makes_it_beside_the_other_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["demo", "--sample", "--no-serve"])
    assert done.exit_code == 0, done.output
    assert "298 imported" in done.output
    assert "judges and annotators are simulated" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["demo-sample"]
