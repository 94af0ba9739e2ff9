from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from round_world import T0, answer, draw, drawn_ids, make_project, pair, vote
from sqlalchemy import select, update

from pipelines.errors import BadInput
from workbench.audit.certificate import make_certificate
from workbench.audit.certificate_file import Certificate, hash_labels, read_certificate
from workbench.audit.design import GateDesign, SafetyRule
from workbench.audit.extend import extend_round
from workbench.audit.rounds import close_round
from workbench.audit.verify import Verification, verify
from workbench.db.models import GateCrossing, Item, Round, Vote
from workbench.db.session import writing
from workbench.project import Project

LINE = GateDesign(trust_above=0.5, warn_below=0.5)


@pytest.fixture
def project(tmp_path: Path, database_url: str) -> Project:
    rows = [pair(k, "AB"[k % 2], subset="xy"[k % 3 == 0]) for k in range(120)]
    return make_project(tmp_path / "p", database_url, rows)


@pytest.fixture
def certificate(project: Project) -> Certificate:
    """Of a round of 30 main and 10 safety-critical pairs, part-labelled."""
    drawn = draw(project, 30, LINE, safety_rule=SafetyRule(subsets=("y",)), overlap=0.3)
    answer(project, drawn.round_id, ["A", "A", "B", "tie"] * 6)
    answer(project, drawn.round_id, ["B"] * 5, "safety")
    with writing(project.engine) as session:
        vote(session, drawn.round_id, drawn_ids(project, drawn.round_id)[1], "A", "bob", number=1)
    return make_certificate(project, now=T0 + 1000)


def failures(found: Verification) -> dict[str, str]:
    return {check.name: check.detail for check in found.checks if not check.ok}


def altered(certificate: Certificate, **main: Any) -> Certificate:
    """The certificate with other values in its main stratum."""
    part, *rest = certificate.strata
    return certificate.model_copy(update={"strata": (part.model_copy(update=main), *rest)})


def test_an_honest_certificate_matches(project: Project, certificate: Certificate) -> None:
    found = verify(project, certificate)
    assert failures(found) == {}
    assert found.notes == ()
    assert [check.name for check in found.checks][:3] == ["design", "main: pairs", "main: draw"]


def test_it_still_matches_after_edits_votes_extension_and_closing(
    project: Project, certificate: Certificate
) -> None:
    ids = drawn_ids(project, 1)
    with writing(project.engine) as session:
        old = session.get_one(Vote, f"1-{ids[0]}-ana-{T0 + 1}")
        old.undone_at = T0 + 2000
        session.flush()
        vote(session, 1, ids[0], "B", at=T0 + 2001)
        vote(session, 1, ids[24], "A", at=T0 + 2002)
    extend_round(project, n_more=10, now=T0 + 2003)
    close_round(project, now=T0 + 2004)
    found = verify(project, certificate)
    assert failures(found) == {}
    assert found.notes == (
        "main: since the certificate 2 votes came and 1 were taken back; certify again to read "
        "them",
    )


def test_a_clock_that_is_behind_the_votes_makes_no_difference(project: Project) -> None:
    drawn = draw(project, 10)
    answer(project, drawn.round_id, ["A"] * 10)
    found = make_certificate(project, now=T0 - 100)
    assert (found.created_at, found.strata[0].n_read) == (T0 + 10, 10)
    assert verify(project, found).ok


def test_another_seed_is_told(project: Project, certificate: Certificate) -> None:
    design = certificate.design.model_copy(update={"seed": 99})
    told = failures(verify(project, certificate.model_copy(update={"design": design})))
    assert set(told) == {"design", "main: draw", "safety: draw"}
    assert "seed is 99 here and 0 in the round" in told["design"]
    assert told["main: draw"].startswith("place 0: the round holds 'p-")


def test_another_gate_is_told(project: Project, certificate: Certificate) -> None:
    main, safety = certificate.design.strata
    easy = main.model_copy(update={"gate": GateDesign(trust_above=0.1, warn_below=0.1)})
    design = certificate.design.model_copy(update={"strata": (easy, safety)})
    forged = certificate.model_copy(update={"design": design, "design_hash": design.hash()})
    told = failures(verify(project, forged))
    assert {"design", "main: gate"} <= set(told)
    assert "the round was drawn with another design hash" in told["design"]


def test_a_label_changed_in_the_certificate_is_told_by_place(
    project: Project, certificate: Certificate
) -> None:
    labels = list(certificate.strata[0].labels)
    labels[2] = labels[2].model_copy(update={"human": "A"})
    told = failures(verify(project, altered(certificate, labels=tuple(labels))))
    name = labels[2].pair_id
    assert (
        f"place 2, pair '{name}': the certificate read A by ana, the database holds B by ana"
        in (told["main: labels"])
    )
    assert "hash" in told["main: labels"]
    hidden = altered(certificate, labels=tuple(labels), labels_hash=hash_labels(labels))
    assert {"main: labels", "everything else"} <= set(failures(verify(project, hidden)))


def test_a_vote_changed_behind_the_programs_back_is_told(
    project: Project, certificate: Certificate
) -> None:
    ids = drawn_ids(project, 1)
    with writing(project.engine) as session:
        session.get_one(Vote, f"1-{ids[3]}-ana-{T0 + 4}").label = "A"
    told = failures(verify(project, certificate))
    assert told["main: labels"] == (
        f"place 3, pair '{ids[3]}': the certificate read tie by ana, the database holds A by ana"
    )


def test_a_vote_that_vanished_is_told(project: Project, certificate: Certificate) -> None:
    ids = drawn_ids(project, 1)
    with writing(project.engine) as session:
        session.delete(session.get_one(Vote, f"1-{ids[5]}-ana-{T0 + 6}"))
    told = failures(verify(project, certificate))
    assert "24 labels were read and lists 24; the database holds 5" in told["main: labels"]


def test_a_pair_changed_in_the_queue_is_told(project: Project, certificate: Certificate) -> None:
    ids = drawn_ids(project, 1)
    with writing(project.engine) as session:
        one = session.scalars(select(Item).where(Item.pair_id == ids[7])).one()
        one.response_a = "a better answer"
    told = failures(verify(project, certificate))
    assert set(told) == {"main: texts", "everything else"}
    assert f"pair '{ids[7]}': reviewers saw another text" in told["main: texts"]


def test_pairs_put_in_another_order_are_told(project: Project, certificate: Certificate) -> None:
    ids = drawn_ids(project, 1)
    with writing(project.engine) as session:
        for place, pair_id in ((100, ids[0]), (0, ids[1]), (1, ids[0])):
            session.execute(
                update(Item)
                .where(Item.pair_id == pair_id, Item.stratum == "main")
                .values(position=place)
            )
    told = failures(verify(project, certificate))
    assert told["main: draw"].startswith(
        f"place 0: the round holds '{ids[1]}' and the seed draws '{ids[0]}'"
    )


def test_an_imported_verdict_that_changed_is_told(
    project: Project, certificate: Certificate
) -> None:
    ids = drawn_ids(project, 1)
    row = project.store.pair_ids().index(ids[4])
    path = project.store.part_path("verdicts", project.store.manifest().parts[0].number)
    table = pq.read_table(path)
    labels = table["label"].to_pylist()
    labels[row] = 1 - labels[row]
    place = table.schema.get_field_index("label")
    column = pa.array(labels, table.schema.field(place).type)
    pq.write_table(table.set_column(place, table.schema.field(place), column), path)
    told = failures(verify(project, certificate))
    assert f"pair '{ids[4]}' was drawn with label" in told["main: pairs"]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"decision": "TRUST"}, "decision is 'TRUST' here and 'UNDECIDED'"),
        ({"trusted": True}, "trusted is True here and False"),
        ({"says": ("All is well.",)}, "says is"),
        ({"human_ceiling": None}, "human_ceiling is None here"),
        ({"closed_at": 5.0}, "closed_at"),
    ],
)
def test_whatever_else_was_changed_is_told(
    project: Project, certificate: Certificate, change: dict[str, Any], where: str
) -> None:
    told = failures(verify(project, certificate.model_copy(update=change)))
    assert set(told) == {"everything else"}
    assert where in told["everything else"]


def test_a_nicer_number_is_told(project: Project, certificate: Certificate) -> None:
    tests = certificate.strata[0].tests
    nicer = (tests[0].model_copy(update={"max_e_value": 25.0}), *tests[1:])
    told = failures(verify(project, altered(certificate, tests=nicer)))
    assert "test trust: e-value 25" in told["main: gate"]


def test_a_record_of_the_decision_that_was_changed_is_told(project: Project) -> None:
    drawn = draw(project, 40, LINE)
    labels = ["AB"[int(pair_id[2:]) % 2] for pair_id in drawn_ids(project, drawn.round_id)]
    answer(project, drawn.round_id, labels)
    found = make_certificate(project, now=T0 + 500)
    assert found.decision == "TRUST"
    assert verify(project, found).ok
    with writing(project.engine) as session:
        session.get_one(GateCrossing, (drawn.round_id, "main")).n_labels = 2
    assert "n_labels" in failures(verify(project, found))["everything else"]


def test_a_design_changed_in_the_database_is_told(
    project: Project, certificate: Certificate
) -> None:
    with writing(project.engine) as session:
        found = session.get_one(Round, 1)
        found.design = {**found.design, "seed": 5}
    assert "seed is 0 here and 5 in the round" in failures(verify(project, certificate))["design"]


def test_a_label_that_nobody_gave_is_told_not_thrown(
    project: Project, certificate: Certificate
) -> None:
    design = certificate.design.model_copy(update={"label": "nobody"})
    told = failures(verify(project, certificate.model_copy(update={"design": design})))
    assert {"design", "pairs"} <= set(told)


def test_a_certificate_of_another_project_is_refused(
    project: Project, certificate: Certificate
) -> None:
    with pytest.raises(BadInput, match="no round 'elsewhere'"):
        verify(project, certificate.model_copy(update={"round": "elsewhere"}))


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": "rlaif-audit-certificate/9"}'])
def test_a_file_that_is_no_certificate_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "c.json"
    file.write_text(text)
    with pytest.raises(BadInput, match="not a certificate"):
        read_certificate(file)
