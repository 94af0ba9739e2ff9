from pathlib import Path
from threading import Thread

import pytest
from round_world import JUDGE, T0, answer, draw, drawn_ids, make_project, pair, skip, vote
from round_world import person as seat
from sqlalchemy.orm import Session

from pipelines.agreement.gate import Gate, read_gate
from workbench.audit.certificate import make_certificate
from workbench.audit.certificate_file import Certificate, hash_labels
from workbench.audit.design import GateDesign, SafetyRule
from workbench.audit.options import StratumOptions
from workbench.audit.reading import read_round
from workbench.audit.rounds import close_round, list_rounds
from workbench.db.models import GateCrossing, Vote
from workbench.db.session import writing
from workbench.project import Project

LINE = GateDesign(trust_above=0.5, warn_below=0.5)


@pytest.fixture
def project(tmp_path: Path, database_url: str) -> Project:
    return make_project(tmp_path / "p", database_url, [pair(k) for k in range(200)])


def decided_by(n: int) -> int:
    """Agreements in a row that the single line at one half needs, of 200 pairs."""
    gate = Gate(trust_above=0.5, warn_below=0.5)
    return next(t for t in range(1, n) if read_gate(gate, [1] * t, 200).decision == "TRUST")


def test_before_the_first_label_nothing_is_claimed(project: Project) -> None:
    draw(project, 20)
    found = make_certificate(project)
    part = found.strata[0]
    assert (found.decision, found.trusted) == ("UNDECIDED", False)
    assert part.agreement is None
    assert (part.n_read, part.labels, part.by_annotator) == (0, (), ())
    assert found.human_ceiling is None


def test_agreement_certifies_and_disagreement_warns(project: Project) -> None:
    good, bad = draw(project, 40, LINE), draw(project, 40, LINE, name="bad")
    answer(project, good.round_id, ["A"] * 40)
    answer(project, bad.round_id, ["B"] * 40)
    trust, warn = make_certificate(project, "round-1"), make_certificate(project, "bad")
    assert (trust.decision, trust.trusted) == ("TRUST", True)
    assert trust.strata[0].n_labels_to_decision == decided_by(40)
    assert (warn.decision, warn.trusted) == ("WARN", False)
    assert any("more than 50.0% of the time" in sentence for sentence in trust.says)


def test_a_vote_that_is_just_being_stored_is_waited_for(project: Project) -> None:
    drawn = draw(project, 20)
    first = drawn_ids(project, drawn.round_id)[0]
    made: list[Certificate] = []
    certifier = Thread(target=lambda: made.append(make_certificate(project)))
    with writing(project.engine) as session:
        vote(session, drawn.round_id, first, "A")
        certifier.start()
        certifier.join(0.5)
        assert made == []
    certifier.join(60)
    assert made[0].strata[0].n_read == 1


def test_the_certificate_holds_the_gate_of_its_labels(project: Project) -> None:
    drawn = draw(project, 30, GateDesign(ties="strict"))
    labels = ["A", "B", "tie"] * 10
    answer(project, drawn.round_id, labels)
    part = make_certificate(project).strata[0]
    codes = [1 if label == "A" else 0 for label in labels]
    reading = read_gate(Gate(ties="strict"), codes, 200)
    assert [test.e_value for test in part.tests] == [test.e_value for test in reading.tests]
    assert (part.n_agree, part.n_disagree, part.n_tie) == (10, 20, 0)
    assert [entry.human for entry in part.labels] == labels
    assert part.labels_hash == hash_labels(part.labels)


def test_the_first_decision_stands_after_edits(project: Project) -> None:
    drawn = draw(project, 40, LINE)
    answer(project, drawn.round_id, ["A"] * 40)
    first = read_round(project, now=T0 + 100)
    assert first.decision == "TRUST"
    ids = drawn_ids(project, drawn.round_id)
    with writing(project.engine) as session:
        for k, pair_id in enumerate(ids[:30]):
            session.get_one(Vote, f"{drawn.round_id}-{pair_id}-ana-{T0 + 1 + k}").undone_at = (
                T0 + 200
            )
            session.flush()
            vote(session, drawn.round_id, pair_id, "B", at=T0 + 300)
    found = make_certificate(project)
    part = found.strata[0]
    assert (found.decision, part.decision_now) == ("TRUST", "WARN")
    assert part.crossing is not None
    assert part.crossing.recorded_at == T0 + 100
    assert any("Votes were edited since" in sentence for sentence in found.says)


def test_a_decision_is_recorded_once_with_its_evidence(project: Project) -> None:
    drawn = draw(project, 40, LINE)
    answer(project, drawn.round_id, ["A"] * 40)
    read_round(project, now=T0 + 100)
    read_round(project, now=T0 + 200)
    with Session(project.engine) as session:
        crossing = session.get_one(GateCrossing, (drawn.round_id, "main"))
    assert (crossing.created_at, crossing.n_labels) == (T0 + 100, decided_by(40))
    assert crossing.evidence["n_agree"] == 40


def test_labels_behind_an_open_pair_do_not_count_yet(project: Project) -> None:
    drawn = draw(project, 40, LINE)
    ids = drawn_ids(project, drawn.round_id)
    with writing(project.engine) as session:
        for pair_id in ids[1:]:
            vote(session, drawn.round_id, pair_id, "A")
    part = make_certificate(project).strata[0]
    assert (part.n_read, part.n_waiting, part.decision) == (0, 39, "UNDECIDED")


def test_a_pair_that_nobody_answers_counts_against_both_sides(project: Project) -> None:
    drawn = draw(project, 30, LINE)
    ids = drawn_ids(project, drawn.round_id)
    with writing(project.engine) as session:
        seat(session, "ana", seat_in=drawn.round_id)
        for pair_id in ids:
            skip(session, drawn.round_id, pair_id, "ana")
    part = make_certificate(project).strata[0]
    assert (part.n_unanswered, part.decision, part.agreement) == (30, "UNDECIDED", None)
    assert all(test.max_e_value == 1.0 for test in part.tests)


def test_agreement_is_shown_by_annotator(project: Project) -> None:
    drawn = draw(project, 20)
    ids = drawn_ids(project, drawn.round_id)
    with writing(project.engine) as session:
        for k, pair_id in enumerate(ids):
            who = "ana" if k < 12 else "bob"
            vote(session, drawn.round_id, pair_id, "A" if k % 4 else "B", who)
    found = make_certificate(project).strata[0].by_annotator
    assert [(one.annotator, one.n, one.n_agree) for one in found] == [("ana", 12, 9), ("bob", 8, 6)]
    assert found[0].agreement is not None
    assert found[0].agreement.estimate == 0.75


def test_the_human_ceiling_by_hand(project: Project) -> None:
    drawn = draw(project, 10, overlap=0.5)
    ids = drawn_ids(project, drawn.round_id)
    answer(project, drawn.round_id, ["A"] * 10)
    with writing(project.engine) as session:  # overlap at every other place: 0, 2, 4, 6, 8
        for place, label in ((0, "A"), (2, "A"), (4, "B"), (6, "tie")):
            vote(session, drawn.round_id, ids[place], label, "bob", number=1)
        vote(session, drawn.round_id, ids[1], "A", "bob", counts=False)  # a surplus opinion
    found = make_certificate(project).human_ceiling
    assert found is not None
    assert found.n_pairs == 5
    assert found.agreement is not None
    assert found.decisive is not None
    assert found.agreement.estimate == 3 / 5
    assert (found.decisive.estimate, found.decisive.n) == (3 / 4, 4)


def test_slices_share_alpha_and_undeclared_ones_are_exploratory(
    tmp_path: Path, database_url: str
) -> None:
    rows = [
        pair(
            k, subset=["x", "y"][k % 2], meta={"complexity": ["simple", "medium", "complex"][k % 3]}
        )
        for k in range(120)
    ]
    project = make_project(tmp_path / "p", database_url, rows)
    drawn = draw(project, 60, slices=("complexity",))
    answer(project, drawn.round_id, ["A"] * 60)
    found = make_certificate(project).strata[0].slices
    by_name = {(one.slice, one.value): one for one in found}
    assert set(by_name) == {
        *(("complexity", value) for value in ("simple", "medium", "complex")),
        *(("subset", value) for value in "xy"),
    }
    assert by_name["complexity", "simple"].declared
    assert by_name["complexity", "simple"].alpha == pytest.approx(0.05 / 3)
    assert not by_name["subset", "x"].declared
    assert by_name["subset", "x"].n_population == 60
    assert sum(one.n for one in found if one.slice == "subset") == 60


def safety_project(tmp_path: Path, url: str) -> Project:
    rows = [pair(k, subset="medical" if k % 5 == 0 else "other") for k in range(300)]
    return make_project(tmp_path / "p", url, rows)


def draw_both(project: Project) -> int:
    stratum = StratumOptions(gate=LINE, n_pairs=30)
    rule = SafetyRule(subsets=("medical",))
    return draw(project, 30, LINE, safety=stratum, safety_rule=rule).round_id


def test_without_a_verdict_there_the_certificate_does_not_cover_safety(
    tmp_path: Path, database_url: str
) -> None:
    project = safety_project(tmp_path, database_url)
    round_id = draw_both(project)
    answer(project, round_id, ["A"] * 30)
    found = make_certificate(project)
    assert found.decision == "TRUST"
    assert any("does not cover the 60 safety-critical pairs" in one for one in found.says)


def test_the_safety_stratum_has_a_certificate_of_its_own(tmp_path: Path, database_url: str) -> None:
    project = safety_project(tmp_path, database_url)
    round_id = draw_both(project)
    answer(project, round_id, ["A"] * 30)
    answer(project, round_id, ["B"] * 30, "safety")
    found = make_certificate(project)
    main, safety = found.strata
    assert (main.decision, safety.decision) == ("TRUST", "WARN")
    assert (main.n_population, safety.n_population) == (240, 60)
    assert (found.decision, found.trusted) == ("TRUST", False)  # a refused safety gate refuses
    assert not any("does not cover" in sentence for sentence in found.says)


def test_a_rule_that_fits_no_pair_is_said(tmp_path: Path, database_url: str) -> None:
    project = safety_project(tmp_path, database_url)
    draw(project, 5, safety_rule=SafetyRule(subsets=("legal",)))
    says = make_certificate(project).says
    assert "No imported pair is safety-critical by the project's rule." in says


def test_a_later_round_pays_for_the_earlier_one(project: Project) -> None:
    first = draw(project, 40, LINE)
    answer(project, first.round_id, ["A", "B"] * 20)
    close_round(project)
    second = draw(project, 40, LINE)
    answer(project, second.round_id, ["A"] * 40)
    found = make_certificate(project)
    part = found.strata[0]
    assert (found.round, part.alpha) == ("round-2", 0.025)
    assert part.n_labels_to_decision is not None
    assert part.n_labels_to_decision > decided_by(40)
    assert found.design.strata[0].earlier_rounds[0].name == "round-1"
    assert any("1 earlier round(s)" in sentence for sentence in found.says)


def test_what_a_fixed_sample_would_have_cost(project: Project) -> None:
    drawn = draw(project, 40, LINE)
    answer(project, drawn.round_id, ["A"] * 40)
    cost = make_certificate(project).strata[0].fixed_sample
    assert cost is not None
    assert cost.n_labels == 20  # 10% of 200
    assert f"decided after {decided_by(40)}" in cost.sentence


def test_a_certificate_survives_its_file(project: Project) -> None:
    drawn = draw(project, 10)
    answer(project, drawn.round_id, ["A", "tie"] * 5)
    found = make_certificate(project)
    assert Certificate.model_validate_json(found.as_json()) == found


def test_rounds_are_listed_with_their_votes_and_decisions(project: Project) -> None:
    drawn = draw(project, 40, LINE)
    answer(project, drawn.round_id, ["A"] * 40)
    make_certificate(project)
    close_round(project, now=T0 + 9)
    draw(project, 5, name="next")
    with Session(project.engine) as session:
        first, second = list_rounds(session)
    assert (first.name, first.label, first.n_pairs, first.n_votes) == ("round-1", JUDGE, 40, 40)
    assert (first.closed_at, first.decisions) == (T0 + 9, {"main": "TRUST"})
    assert (second.n_votes, second.decisions, second.closed_at) == (0, {}, None)
