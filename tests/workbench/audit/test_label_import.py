import json
from pathlib import Path

import pytest
from round_world import draw, drawn_ids, make_project, pair, vote
from sqlalchemy import select
from sqlalchemy.orm import Session

from pipelines.errors import BadInput
from workbench.audit.extend import extend_round
from workbench.audit.label_import import import_labels
from workbench.audit.order import key
from workbench.audit.rounds import close_round
from workbench.db.models import Annotator, Item, LabelImport, Slot, Vote
from workbench.db.session import writing
from workbench.project import Project


@pytest.fixture
def project(tmp_path: Path, database_url: str) -> Project:
    return make_project(tmp_path / "p", database_url, [pair(k) for k in range(30)])


def lines(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def label(pair_id: str, who: str = "ana", value: str = "A", **more: object) -> dict[str, object]:
    return {"pair_id": pair_id, "annotator": who, "label": value} | more


def stored(project: Project) -> dict[tuple[str, str], tuple[str, int, bool]]:
    """(pair, person) -> (label, slot number, counts) of the live votes."""
    with Session(project.engine) as session:
        rows = session.execute(
            select(Item.pair_id, Annotator.name, Vote.label, Slot.number, Vote.counts)
            .join(Item, Item.id == Vote.item_id)
            .join(Slot, Slot.id == Vote.slot_id)
            .join(Annotator, Annotator.id == Vote.annotator_id)
            .where(Vote.undone_at.is_(None))
        ).all()
    return {(row[0], row[1]): (row[2], row[3], row[4]) for row in rows}


def test_labels_take_the_first_slots_and_the_rest_is_counted(
    project: Project, tmp_path: Path
) -> None:
    drawn = draw(project, 10, overlap=0.0)
    ids = drawn_ids(project, drawn.round_id)
    outside = next(f"p-{k:04d}" for k in range(30) if f"p-{k:04d}" not in ids)
    rows = [label(pair_id, value="B", seconds=2.5, comment="why") for pair_id in ids]
    file = lines(tmp_path / "l.jsonl", [*rows, label(outside), label("nobody's")])
    found = import_labels(project, file)
    assert (found.n_counted, found.n_not_drawn, found.n_unknown) == (10, 1, 1)
    assert stored(project) == {(pair_id, "ana"): ("B", 0, True) for pair_id in ids}
    with Session(project.engine) as session:
        one = session.scalars(select(Vote)).first()
        assert one is not None
        assert (one.origin, one.seconds, one.comment, one.left) == ("import", 2.5, "why", None)


def test_importing_again_changes_nothing(project: Project, tmp_path: Path) -> None:
    drawn = draw(project, 10)
    ids = drawn_ids(project, drawn.round_id)
    file = lines(tmp_path / "l.jsonl", [label(one, who) for one in ids for who in ("ana", "bob")])
    first = import_labels(project, file)
    before = stored(project)
    again = import_labels(project, file)
    assert (first.n_new, again.n_new, again.n_known) == (20, 0, 20)
    assert stored(project) == before
    with Session(project.engine) as session:
        assert len(session.scalars(select(LabelImport)).all()) == 1


def test_who_counts_is_decided_by_the_hash_and_not_by_the_file(
    project: Project, tmp_path: Path
) -> None:
    drawn = draw(project, 12, overlap=0.5, seed=4)
    ids = drawn_ids(project, drawn.round_id)
    people = ["ana", "bob", "cleo"]
    rows = [label(one, who) for one in ids for who in people]
    import_labels(project, lines(tmp_path / "l.jsonl", rows[::-1]))
    found = stored(project)
    firsts = set()
    for place, one in enumerate(ids):
        ranked = sorted(people, key=lambda who: key(4, "round-1", "first slot", f"{one}\t{who}"))
        firsts.add(ranked[0])
        doubled = place % 2 == 0  # a share of one half, from the first pair on
        assert found[one, ranked[0]] == ("A", 0, True)
        assert found[one, ranked[1]] == (("A", 1, True) if doubled else ("A", 0, False))
        assert found[one, ranked[2]] == ("A", 0, False)
    assert firsts == set(people)


def test_a_person_labels_a_pair_once(project: Project, tmp_path: Path) -> None:
    drawn = draw(project, 3)
    ids = drawn_ids(project, drawn.round_id)
    with writing(project.engine) as session:
        vote(session, drawn.round_id, ids[0], "B", "ana")
    rows = [label(ids[0]), label(ids[1]), label(ids[1]), label(ids[1], value="tie")]
    found = import_labels(project, lines(tmp_path / "l.jsonl", rows))
    assert (found.n_counted, found.n_known, found.n_differing) == (1, 1, 2)
    assert stored(project) == {(ids[0], "ana"): ("B", 0, True), (ids[1], "ana"): ("A", 0, True)}


def test_a_person_is_one_person_however_the_name_is_written(
    project: Project, tmp_path: Path
) -> None:
    ids = drawn_ids(project, draw(project, 2, overlap=0.0).round_id)
    with writing(project.engine) as session:
        session.add(Annotator(name="Ana", created_at=0.0, link_hash=None, revoked_at=None))
    rows = [label(ids[0], "ana"), label(ids[0], " ANA"), label(ids[1], "b\0b", comment="\0")]
    found = import_labels(project, lines(tmp_path / "l.jsonl", rows))
    assert (found.n_counted, found.n_known) == (2, 1)
    assert set(stored(project)) == {(ids[0], "Ana"), (ids[1], "b\ufffdb")}


def test_a_label_that_was_taken_back_stays_so(project: Project, tmp_path: Path) -> None:
    drawn = draw(project, 1)
    [pair_id] = drawn_ids(project, drawn.round_id)
    file = lines(tmp_path / "l.jsonl", [label(pair_id)])
    import_labels(project, file)
    with writing(project.engine) as session:
        session.scalars(select(Vote)).one().undone_at = 5.0
    assert import_labels(project, file).n_known == 1
    assert stored(project) == {}


def test_after_an_extension_the_same_file_fills_the_new_pairs(
    project: Project, tmp_path: Path
) -> None:
    draw(project, 10)
    file = lines(tmp_path / "l.jsonl", [label(f"p-{k:04d}") for k in range(30)])
    assert import_labels(project, file).n_counted == 10
    extend_round(project, n_more=5)
    assert import_labels(project, file).n_counted == 5


def test_a_csv_is_read_and_its_bad_rows_are_told_by_line(project: Project, tmp_path: Path) -> None:
    drawn = draw(project, 4)
    ids = drawn_ids(project, drawn.round_id)
    file = tmp_path / "l.csv"
    file.write_bytes(
        b"\xef\xbb\xbfpair_id,annotator,label,seconds,comment\r\n"
        + f'{ids[0]},ana,A,3.5,"one, two"\r\n{ids[1]},ana,C,,\r\n,ana,B,,\r\n'.encode()
        + f"{ids[2]},ana,tie,-1,\r\n{ids[3]},ana,tie,,\r\n".encode()
    )
    found = import_labels(project, file)
    assert found.n_counted == 2
    assert [(bad.line, bad.reason) for bad in found.rejects] == [
        (3, "unknown label"),
        (4, "wrong type"),
        (5, "out of range"),
    ]
    assert sum(found.n_rejected.values()) == 3


@pytest.mark.parametrize(
    ("header", "message"),
    [("pair_id,annotator", "'label' is missing"), ("pair_id,annotator,label,mood", "'mood'")],
)
def test_a_csv_with_other_columns_is_refused(
    project: Project, tmp_path: Path, header: str, message: str
) -> None:
    draw(project, 1)
    file = tmp_path / "l.csv"
    file.write_text(header + "\n")
    with pytest.raises(BadInput, match=message):
        import_labels(project, file)


def test_a_pairs_file_is_read_by_person_and_checked_by_text(
    project: Project, tmp_path: Path
) -> None:
    drawn = draw(project, 30)
    human = [{"annotator": who, "label": "B"} for who in ("ana", "bob")]
    rows = [pair(k, human=human) for k in range(30)]
    rows[7]["response_a"] = "something else"
    found = import_labels(project, lines(tmp_path / "l.jsonl", rows), annotators=["bob"])
    assert (found.n_counted, found.n_other_people) == (29, 30)
    assert found.n_rejected == {"different text": 1}
    assert {who for _, who in stored(project)} == {"bob"}
    assert drawn.n_new == {"main": 30}


def test_a_closed_round_takes_no_labels(project: Project, tmp_path: Path) -> None:
    draw(project, 3)
    close_round(project)
    with pytest.raises(BadInput, match="closed"):
        import_labels(project, lines(tmp_path / "l.jsonl", [label("p-0000")]))


def test_a_file_that_is_not_there_is_one_sentence(project: Project, tmp_path: Path) -> None:
    draw(project, 3)
    with pytest.raises(BadInput, match="cannot be read"):
        import_labels(project, tmp_path / "no.jsonl")
