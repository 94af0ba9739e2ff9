"""What is read from the database: live votes, newest adjudications, the latest draw."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.agreement.annotations import NONE
from pipelines.config import CONFIG_NAME
from pipelines.errors import BadInput
from workbench.audit.argilla_votes import ASSISTED
from workbench.export.labels import audited_label, read_labels
from workbench.export.material import gather
from workbench.export.merge import merged
from workbench.project import Project


def test_undone_votes_are_gone_and_surplus_votes_are_evidence(project: Project, draw: Any) -> None:
    audit = draw(project)
    first, second = audit.pair_ids()[:2]
    audit.vote(first, "ana", "A", undone_at=200.0)
    audit.vote(first, "ana", "B")
    audit.vote(first, "ben", "A", counts=False)
    audit.vote(second, "ben", "tie", both_bad=True, origin="simulated")
    labels = read_labels(project.engine)
    assert sorted((v.annotator, v.label) for v in labels.pairs[first].votes.values()) == [
        ("ana", "B"),
        ("ben", "A"),
    ]
    assert labels.n_votes == 3
    assert labels.origins() == {"simulated": 1, "workbench": 2}


def test_the_newest_adjudication_stands(project: Project, draw: Any) -> None:
    audit = draw(project)
    pair_id = audit.pair_ids()[0]
    audit.adjudicate(pair_id, "eve", "A", created_at=900.0)
    audit.adjudicate(pair_id, "eve", "tie", created_at=901.0)
    decision = read_labels(project.engine).pairs[pair_id].adjudication
    assert decision is not None
    assert (decision.annotator, decision.label) == ("eve", "tie")


def test_a_person_who_votes_in_two_rounds_counts_once_with_the_newer_vote(
    project: Project, draw: Any
) -> None:
    one = draw(project, "one", n_pairs=40)
    two = draw(project, "two", n_pairs=30)
    both = sorted(set(one.pair_ids()) & set(two.pair_ids()))[0]
    one.vote(both, "ana", "A", created_at=10.0)
    two.vote(both, "ana", "B", created_at=20.0)
    drawn = read_labels(project.engine).pairs[both]
    assert [vote.label for vote in drawn.votes.values()] == ["B"]
    assert (drawn.round, drawn.stratum) == ("two", "main")
    assert drawn.inclusion_prob == pytest.approx(30 / 57)  # 60 without the three with no label
    only_one = read_labels(project.engine, "one").pairs[both]
    assert [vote.label for vote in only_one.votes.values()] == ["A"]
    assert only_one.inclusion_prob == pytest.approx(40 / 57)


def test_a_label_given_with_the_ais_in_sight_replaces_none_of_ones_own(
    project: Project, draw: Any
) -> None:
    one = draw(project, "one", n_pairs=40)
    audit = draw(project, "two", n_pairs=30)
    first, second = sorted(set(one.pair_ids()) & set(audit.pair_ids()))[:2]
    one.vote(first, "ana", "A", created_at=10.0)
    audit.vote(first, "ana", "B", created_at=20.0, origin=ASSISTED, counts=False)
    audit.vote(second, "ana", "B", created_at=20.0, origin=ASSISTED, counts=False)
    audit.vote(second, "ben", "tie")
    audit.adjudicate(second, "eve", "A", created_at=900.0)
    pairs = read_labels(project.engine).pairs
    assert [vote.label for vote in pairs[first].votes.values()] == ["A"]
    assert sorted(vote.label for vote in pairs[second].votes.values()) == ["B", "tie"]
    # In a file of pairs it does not pass for a blind one.
    (pair,) = project.store.pairs(project.store.rows_of([second]).tolist())
    given = merged(pair.model_copy(update={"human": ()}), pairs[second])
    assert [(one.annotator, one.label) for one in given.human] == [("ben", "tie"), ("eve", "A")]
    assert given.meta["audit"]["assisted"] == {"ana": "B"}
    # What is learned of the AI comes from blind labels, and not from disputed pairs alone.
    material = gather(project, None, "sol")
    row = int(project.store.rows_of([second])[0])
    blind = material.blind_evidence()
    assert material.evidence.round_votes[row].tolist() == [0, 1, 1]
    assert blind.round_votes[row].tolist() == [0, 0, 1]
    assert (material.evidence.adjudicated[row], blind.adjudicated[row]) == (0, NONE)


def test_the_rounds_say_which_label_they_audit(project: Project, draw: Any) -> None:
    assert audited_label(read_labels(project.engine)) is None
    draw(project)
    assert audited_label(read_labels(project.engine)) == "sol"


def test_an_unknown_round_is_refused_with_the_names_of_those_there_are(
    project: Project, draw: Any
) -> None:
    draw(project)
    with pytest.raises(BadInput, match='round "third" does not exist; rounds: first'):
        read_labels(project.engine, "third")


def test_labels_are_read_from_any_database(
    tmp_path: Path, database_url: str, new_project: Any, pair_rows: Any, draw: Any
) -> None:
    project = new_project(tmp_path / "project", pair_rows())
    (project.dir / CONFIG_NAME).write_text(f'[database]\nurl = "{database_url}"\n')
    project = Project.open(project.dir)
    audit = draw(project)
    pair_id = audit.pair_ids()[3]
    audit.vote(pair_id, "ana", "A")
    audit.adjudicate(pair_id, "eve", "B")
    labels = read_labels(project.engine)
    project.engine.dispose()
    assert len(labels.pairs) == 20
    assert labels.pairs[pair_id].adjudication is not None
    assert labels.n_votes == 1
