from pathlib import Path

import numpy as np
import pytest
from round_world import T0, answer, draw, drawn_ids, make_project, pair, scored, vote
from sqlalchemy import select
from sqlalchemy.orm import Session

from pipelines.agreement.active import draw_stage, fit_stage, group_by_confidence
from pipelines.errors import BadInput
from workbench.audit.active_draw import as_record, from_records, inclusion
from workbench.audit.certificate import make_certificate
from workbench.audit.design import GateDesign
from workbench.audit.extend import draw_next_stage, extend_round
from workbench.audit.labels import read_prefix
from workbench.audit.rounds import close_round
from workbench.audit.verify import verify
from workbench.db.models import DrawStage, Item
from workbench.db.session import writing
from workbench.project import Project


def p_a(number: int) -> float:
    """Confidence from a toss-up to near certainty, spread over the pairs."""
    return 0.5 + 0.49 * ((number * 37) % 400) / 400


@pytest.fixture
def project(tmp_path: Path, database_url: str) -> Project:
    return make_project(tmp_path / "p", database_url, [scored(k, p_a(k)) for k in range(400)])


def next_stage(project: Project, round_id: int, at: float = T0 + 500) -> int:
    with writing(project.engine) as session:
        return draw_next_stage(session, project, round_id, at)


def label_all(project: Project, round_id: int) -> None:
    """Labels as the judge's confidence says: wrong where it is nearly a toss-up."""
    ids = drawn_ids(project, round_id)
    with Session(project.engine) as session:
        n_done = len(read_prefix(session, round_id, "main"))
    with writing(project.engine) as session:
        for place, pair_id in enumerate(ids[n_done:], start=n_done):
            label = "A" if p_a(int(pair_id[2:])) > 0.6 else "B"
            vote(session, round_id, pair_id, label, at=T0 + 1 + place)


def test_the_first_stage_is_drawn_by_confidence(project: Project) -> None:
    drawn = draw(project, 200, mode="active")
    assert drawn.n_new == {"main": 60}
    unsure = [p_a(int(pair_id[2:])) for pair_id in drawn_ids(project, drawn.round_id)]
    assert np.mean(unsure) < np.mean([p_a(k) for k in range(400)])
    with Session(project.engine) as session:
        chance = list(session.scalars(select(Item.inclusion_prob)))
    assert 0.0 < min(chance) < max(chance) < 1.0


def test_the_next_stage_waits_for_every_answer_and_comes_once(project: Project) -> None:
    drawn = draw(project, 200, mode="active")
    round_id = drawn.round_id
    answer(project, round_id, ["A"] * 59)
    assert next_stage(project, round_id) == 0
    ids = drawn_ids(project, round_id)
    with writing(project.engine) as session:
        vote(session, round_id, ids[59], "A", at=T0 + 100)
    assert next_stage(project, round_id) == 60
    assert next_stage(project, round_id) == 0
    assert len(set(drawn_ids(project, round_id))) == 120


def test_stages_go_on_to_the_rounds_size(project: Project) -> None:
    drawn = draw(project, 150, mode="active", overlap=0.2)
    sizes = [60]
    for k in range(3):
        label_all(project, drawn.round_id)
        sizes.append(next_stage(project, drawn.round_id, T0 + 500 + k))
    assert sizes == [60, 60, 30, 0]
    ids = drawn_ids(project, drawn.round_id)
    assert len(set(ids)) == 150
    with Session(project.engine) as session:
        stages = session.scalars(select(DrawStage).order_by(DrawStage.number)).all()
        chance = dict(session.execute(select(Item.pair_id, Item.inclusion_prob)).all())
        ranks = list(session.scalars(select(Item.rank).order_by(Item.position)))
    assert [(stage.start, stage.size) for stage in stages] == [(0, 60), (60, 60), (120, 30)]
    assert stages[1].fit["n_labels"] == 60
    assert ranks == sorted(ranks)
    assert sum(1 / chance[pair_id] for pair_id in ids) == pytest.approx(400, rel=0.15)


def test_an_extension_between_two_stages_leaves_the_rounds_size(project: Project) -> None:
    drawn = draw(project, 70, mode="active")
    label_all(project, drawn.round_id)
    extend_round(project, n_more=5)
    label_all(project, drawn.round_id)
    assert next_stage(project, drawn.round_id) == 5
    label_all(project, drawn.round_id)
    assert next_stage(project, drawn.round_id) == 0


def test_a_closed_round_draws_no_stage(project: Project) -> None:
    drawn = draw(project, 200, mode="active")
    label_all(project, drawn.round_id)
    close_round(project)
    assert next_stage(project, drawn.round_id) == 0


def test_a_uniform_round_has_no_next_stage(project: Project) -> None:
    assert next_stage(project, draw(project, 60).round_id) == 0


def test_an_active_round_is_extended_by_a_stage_once_it_is_answered(project: Project) -> None:
    drawn = draw(project, 60, mode="active")
    with pytest.raises(BadInput, match="next active stage"):
        extend_round(project, n_more=25)
    label_all(project, drawn.round_id)
    assert extend_round(project, n_more=25).n_new == {"main": 25}
    assert len(set(drawn_ids(project, drawn.round_id))) == 85


def test_an_active_certificate_is_verified_stage_by_stage(project: Project) -> None:
    drawn = draw(project, 120, GateDesign(trust_above=0.6, warn_below=0.6), mode="active")
    label_all(project, drawn.round_id)
    next_stage(project, drawn.round_id)
    label_all(project, drawn.round_id)
    found = make_certificate(project, now=T0 + 1000)
    part = found.strata[0]
    assert (part.decision, part.n_read) == ("TRUST", 120)
    assert part.slices == ()
    assert part.agreement is not None
    assert part.agreement.low < 0.8 < part.agreement.high  # the truth: four pairs in five
    checked = verify(project, found)
    assert [check for check in checked.checks if not check.ok] == []
    design = found.design.model_copy(update={"seed": 1})
    checked = verify(project, found.model_copy(update={"design": design}))
    told = {check.name for check in checked.checks if not check.ok}
    assert told == {"design", "main: draw"}


def test_a_label_changed_in_an_earlier_stage_changes_the_draw_of_the_next(
    project: Project,
) -> None:
    drawn = draw(project, 120, mode="active")
    label_all(project, drawn.round_id)
    next_stage(project, drawn.round_id)
    found = make_certificate(project, now=T0 + 1000)
    part = found.strata[0]
    flipped = [
        entry.model_copy(update={"human": "B" if entry.human == "A" else "A"})
        for entry in part.labels
    ]
    forged = part.model_copy(update={"labels": tuple(flipped)})
    checked = verify(project, found.model_copy(update={"strata": (forged,)}))
    told = {check.name for check in checked.checks if not check.ok}
    assert {"main: draw", "main: labels", "main: gate"} <= told


def test_without_a_confidence_active_mode_is_refused(tmp_path: Path, database_url: str) -> None:
    project = make_project(tmp_path / "p", database_url, [pair(k) for k in range(80)])
    with pytest.raises(BadInput, match="no verdict of this label has a p_a"):
        draw(project, 60, mode="active")


def test_inclusion_probabilities_are_those_of_many_draws() -> None:
    confidence = np.linspace(0.0, 0.5, 120)
    groups = group_by_confidence(confidence, max_groups=4)
    counts = np.zeros(4)
    n_draws = 400
    for seed in range(n_draws):
        stage = draw_stage(groups, fit_stage(groups, [], []), [], 40, seed)
        counts += np.bincount(stage.group, minlength=4)
    expected = inclusion(groups, [stage])
    assert counts / n_draws / groups.size == pytest.approx(expected, abs=0.02)
    assert float(expected @ groups.size) == pytest.approx(40)


def test_a_recorded_stage_reads_as_it_was_drawn() -> None:
    groups = group_by_confidence(np.linspace(0.0, 0.5, 90))
    stage = draw_stage(groups, fit_stage(groups, [], []), [], 30, 7)
    again = from_records([as_record(stage, groups)])
    assert again.stages[0].fit == stage.fit
    assert again.stages[0].group.tolist() == stage.group.tolist()
    assert again.groups.size.tolist() == groups.size.tolist()
    assert again.n_drawn == 30
