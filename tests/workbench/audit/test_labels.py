import random
from pathlib import Path

import pytest
from round_world import T0, answer, draw, drawn_ids, make_project, pair, person, skip, vote
from sqlalchemy.orm import Session

from workbench.audit.extend import extend_round
from workbench.audit.labels import PrefixLabels, read_prefix
from workbench.db.models import Annotator
from workbench.db.session import writing
from workbench.project import Project


@pytest.fixture
def project(tmp_path: Path, database_url: str) -> Project:
    return make_project(tmp_path / "p", database_url, [pair(k, "AB"[k % 2]) for k in range(60)])


def read(project: Project, round_id: int, as_of: float | None = None) -> PrefixLabels:
    with Session(project.engine) as session:
        return read_prefix(session, round_id, "main", as_of=as_of)


def test_the_prefix_ends_at_the_first_open_pair(project: Project) -> None:
    drawn = draw(project, 10)
    ids = drawn_ids(project, drawn.round_id)
    with writing(project.engine) as session:
        for place in (0, 1, 2, 4, 5, 9):
            vote(session, drawn.round_id, ids[place], "A")
    found = read(project, drawn.round_id)
    assert (len(found), found.n_drawn, found.n_waiting) == (3, 10, 3)
    assert list(found.pair_id) == ids[:3]


def test_labels_come_in_draw_order_whatever_the_order_of_completion(project: Project) -> None:
    drawn = draw(project, 20)
    ids = drawn_ids(project, drawn.round_id)
    labels = {pair_id: random.Random(pair_id).choice(["A", "B", "tie"]) for pair_id in ids}
    shuffled = random.Random(0).sample(ids, len(ids))
    with writing(project.engine) as session:
        for k, pair_id in enumerate(shuffled):
            vote(session, drawn.round_id, pair_id, labels[pair_id], at=T0 + k)
    found = read(project, drawn.round_id)
    codes = {"A": 0, "B": 1, "tie": 2}
    assert found.human.tolist() == [codes[labels[pair_id]] for pair_id in ids]
    assert found.ai.tolist() == [int(pair_id[2:]) % 2 for pair_id in ids]


def test_only_live_votes_of_the_first_slot_count(project: Project) -> None:
    drawn = draw(project, 4, overlap=1.0)
    ids = drawn_ids(project, drawn.round_id)
    with writing(project.engine) as session:
        vote(session, drawn.round_id, ids[0], "B", "ana")
        vote(session, drawn.round_id, ids[0], "A", "bob", number=1)
        vote(session, drawn.round_id, ids[0], "A", "cleo", counts=False)
        vote(session, drawn.round_id, ids[1], "A", "bob", number=1)
    assert read(project, drawn.round_id).human.tolist() == [1]


def test_an_edited_vote_is_read_anew_and_the_old_one_as_of_then(project: Project) -> None:
    drawn = draw(project, 3)
    ids = drawn_ids(project, drawn.round_id)
    answer(project, drawn.round_id, ["A", "A", "A"])
    with writing(project.engine) as session:
        old = vote(session, drawn.round_id, ids[0], "A", "bob", counts=False, at=T0 + 5)
        old.undone_at = T0 + 6
    with writing(project.engine) as session:
        first = session.get_one(type(old), f"{drawn.round_id}-{ids[1]}-ana-{T0 + 2}")
        first.undone_at = T0 + 50
        session.flush()
        vote(session, drawn.round_id, ids[1], "B", at=T0 + 51)
    assert read(project, drawn.round_id).human.tolist() == [0, 1, 0]
    assert read(project, drawn.round_id, T0 + 49).human.tolist() == [0, 0, 0]
    assert read(project, drawn.round_id, T0 + 50).human.tolist() == [0]
    assert read(project, drawn.round_id, T0 + 2).human.tolist() == [0, 0]
    assert len(read(project, drawn.round_id, T0 - 1)) == 0


def test_pairs_of_a_later_extension_are_not_seen_as_of_then(project: Project) -> None:
    drawn = draw(project, 3)
    extend_round(project, n_more=4, now=T0 + 100)
    assert read(project, drawn.round_id, T0 + 99).n_drawn == 3
    assert read(project, drawn.round_id).n_drawn == 7


def test_a_pair_that_everybody_skipped_is_read_as_unanswered(project: Project) -> None:
    drawn = draw(project, 4)
    ids = drawn_ids(project, drawn.round_id)
    with writing(project.engine) as session:
        for name in ("ana", "bob"):
            person(session, name, seat_in=drawn.round_id)
        vote(session, drawn.round_id, ids[0], "A")
        vote(session, drawn.round_id, ids[2], "B")
        skip(session, drawn.round_id, ids[1], "ana")
    assert len(read(project, drawn.round_id)) == 1  # bob may still answer it
    with writing(project.engine) as session:
        skip(session, drawn.round_id, ids[1], "bob", at=T0 + 10)
    assert read(project, drawn.round_id).human.tolist() == [0, -1, 1]
    assert len(read(project, drawn.round_id, T0 + 9)) == 1


def test_a_newcomer_is_waited_for_and_a_revoked_person_is_not(project: Project) -> None:
    drawn = draw(project, 2)
    ids = drawn_ids(project, drawn.round_id)
    with writing(project.engine) as session:
        person(session, "ana", seat_in=drawn.round_id)
        skip(session, drawn.round_id, ids[0], "ana")
    assert read(project, drawn.round_id).human.tolist() == [-1]
    with writing(project.engine) as session:
        bob = person(session, "bob", seat_in=drawn.round_id)
    assert len(read(project, drawn.round_id)) == 0
    with writing(project.engine) as session:
        session.get_one(Annotator, bob).revoked_at = T0 + 5
    assert read(project, drawn.round_id).human.tolist() == [-1]


def test_whoever_labelled_the_pair_elsewhere_is_not_waited_for(project: Project) -> None:
    drawn = draw(project, 1, overlap=1.0)
    [pair_id] = drawn_ids(project, drawn.round_id)
    with writing(project.engine) as session:
        for name in ("ana", "bob"):
            person(session, name, seat_in=drawn.round_id)
        vote(session, drawn.round_id, pair_id, "A", "bob", number=1)
        skip(session, drawn.round_id, pair_id, "ana")
    assert read(project, drawn.round_id).human.tolist() == [-1]


def test_a_later_answer_replaces_the_gap(project: Project) -> None:
    drawn = draw(project, 1)
    [pair_id] = drawn_ids(project, drawn.round_id)
    with writing(project.engine) as session:
        person(session, "ana", seat_in=drawn.round_id)
        one = skip(session, drawn.round_id, pair_id, "ana")
        one.undone_at = T0 + 5
        vote(session, drawn.round_id, pair_id, "B", "ana", at=T0 + 5)
    assert read(project, drawn.round_id).human.tolist() == [1]


def test_a_round_without_labels_reads_as_empty(project: Project) -> None:
    drawn = draw(project, 5)
    found = read(project, drawn.round_id)
    assert (len(found), found.n_drawn, found.outcomes("decisive").tolist()) == (0, 5, [])
