import json
from pathlib import Path

import pytest
from round_world import JUDGE, answer, draw, drawn_ids, make_project, pair, scored
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipelines.errors import BadInput
from pipelines.importing import import_file
from workbench.audit.design import GateDesign, RoundDesign, SafetyRule
from workbench.audit.draw import draw_planned, plan_round
from workbench.audit.extend import extend_round
from workbench.audit.options import DrawOptions, Overrides, StratumOptions, draw_options
from workbench.audit.order import draw_order
from workbench.audit.rounds import close_round, find_round
from workbench.db.models import DrawStage, Item, Round, Slot
from workbench.project import Project


@pytest.fixture
def project(tmp_path: Path, database_url: str) -> Project:
    return make_project(tmp_path / "p", database_url, [pair(k, "AB"[k % 2]) for k in range(100)])


def items(project: Project, stratum: str = "main") -> list[Item]:
    with Session(project.engine) as session:
        return list(
            session.scalars(
                select(Item).where(Item.stratum == stratum).order_by(Item.round_id, Item.position)
            )
        )


def test_the_first_pairs_of_the_seeds_order_are_drawn(project: Project) -> None:
    drawn = draw(project, 30, seed=5)
    ids = project.store.pair_ids()
    expected = [ids[k] for k in draw_order(ids, 5, "round-1", "main")[:30]]
    assert drawn_ids(project, drawn.round_id) == expected


def test_every_item_keeps_position_stratum_probability_label_and_text(project: Project) -> None:
    draw(project, 25)
    found = items(project)
    assert [item.position for item in found] == list(range(25))
    assert {item.inclusion_prob for item in found} == {0.25}
    for item in found:
        number = int(item.pair_id[2:])
        assert item.ai_label == "AB"[number % 2]
        assert json.loads(item.prompt_json) == f"question {number}"
        assert item.slices == {"complexity": "simple"}


def test_the_overlap_share_gets_a_second_slot(project: Project) -> None:
    draw(project, 40, overlap=0.15)
    with Session(project.engine) as session:
        counts = session.execute(select(Slot.number, func.count()).group_by(Slot.number)).all()
    assert dict(counts) == {0: 40, 1: 6}


def test_the_design_is_frozen_with_the_round(project: Project) -> None:
    drawn = draw(project, 10, seed=3, gate=GateDesign(trust_above=0.9, warn_below=0.9))
    with Session(project.engine) as session:
        stored = session.get_one(Round, drawn.round_id)
        again = RoundDesign.model_validate(stored.design)
    assert again == drawn.design
    assert stored.design_hash == again.hash()
    assert again.strata[0].n_population == 100
    with pytest.raises(ValueError, match="frozen"):
        again.seed = 4


def test_extending_goes_on_as_if_all_had_been_drawn_at_once(
    project: Project, tmp_path: Path
) -> None:
    drawn = draw(project, 20)
    extend_round(project, n_more=7)
    extend_round(project, share=0.13)
    at_once = make_project(
        tmp_path / "q", f"sqlite:///{tmp_path / 'q.db'}", [pair(k) for k in range(100)]
    )
    whole = draw(at_once, 40)
    assert drawn_ids(project, drawn.round_id) == drawn_ids(at_once, whole.round_id)
    found = items(project)
    assert {item.inclusion_prob for item in found} == {0.40}
    ranks = [item.rank for item in found]
    assert ranks == sorted(ranks)
    with Session(project.engine) as session:
        stages = session.execute(select(DrawStage.number, DrawStage.start, DrawStage.size)).all()
        n_second = session.scalar(select(func.count()).where(Slot.number == 1))
    assert sorted(map(tuple, stages)) == [(0, 0, 20), (1, 20, 7), (2, 27, 13)]
    assert n_second == 6


def test_an_extension_stops_at_the_last_pair(project: Project) -> None:
    draw(project, 95)
    assert extend_round(project, n_more=50).n_new == {"main": 5}
    with pytest.raises(BadInput, match="100 of its 100 pairs are drawn"):
        extend_round(project, n_more=1)


def test_a_closed_round_is_not_extended(project: Project) -> None:
    draw(project, 5)
    close_round(project)
    with pytest.raises(BadInput, match="closed"):
        extend_round(project, n_more=1)


def test_pairs_imported_after_the_draw_do_not_enter_it(project: Project, tmp_path: Path) -> None:
    drawn = draw(project, 5)
    later = tmp_path / "later.jsonl"
    later.write_text(json.dumps(pair(500)) + "\n")
    import_file(project.store, later, project.config)
    extend_round(project, n_more=95)
    assert "p-0500" not in drawn_ids(project, drawn.round_id)


def test_without_a_name_the_newest_open_round_is_meant(project: Project) -> None:
    draw(project, 5)
    draw(project, 5)
    close_round(project, "round-2")
    with Session(project.engine) as session:
        assert find_round(session).name == "round-1"
    close_round(project)
    with Session(project.engine) as session:
        assert find_round(session).name == "round-2"


def test_a_plan_that_another_round_overtook_is_not_drawn(project: Project) -> None:
    size = StratumOptions(n_pairs=5)
    planned = [
        plan_round(project, DrawOptions(name=name, main=size)) for name in ("round-1", "late")
    ]
    draw(project, 5)
    for plan in planned:  # one has the name of the other round, one its alpha
        with pytest.raises(BadInput, match="another round was drawn since it was planned"):
            draw_planned(project, plan)


def test_two_rounds_with_one_seed_draw_different_pairs(project: Project) -> None:
    first, second = draw(project, 20), draw(project, 20)
    assert drawn_ids(project, first.round_id) != drawn_ids(project, second.round_id)
    assert [first.design.name, second.design.name] == ["round-1", "round-2"]


def test_the_pairs_of_another_round_can_be_left_out(project: Project) -> None:
    first = draw(project, 30)
    second = draw(project, 70, without_rounds=("round-1",))
    drawn = set(drawn_ids(project, second.round_id))
    assert drawn.isdisjoint(drawn_ids(project, first.round_id))
    assert second.design.strata[0].n_population == 70
    assert second.design.strata[0].excluded == {"drawn in another round": 30}


def test_repeated_rounds_halve_alpha_each_time(project: Project) -> None:
    levels = [draw(project, 5).design.strata[0].alpha for _ in range(3)]
    assert levels == [0.05, 0.025, 0.0125]


def test_a_round_closed_before_its_first_vote_costs_nothing(project: Project) -> None:
    draw(project, 5)
    close_round(project)
    second = draw(project, 5)
    assert second.design.strata[0].alpha == 0.05
    answer(project, second.round_id, ["A"])
    close_round(project)
    third = draw(project, 5).design.strata[0]
    assert third.alpha == 0.025
    assert [(old.name, old.spends) for old in third.earlier_rounds] == [
        ("round-1", False),
        ("round-2", True),
    ]


def test_rounds_on_other_labels_cost_nothing(tmp_path: Path, database_url: str) -> None:
    two = [{"judge": name, "label": "A"} for name in ("x", "y")]
    project = make_project(tmp_path / "p", database_url, [pair(k, ai=two) for k in range(20)])
    draw(project, 5, label="x")
    assert draw(project, 5, label="y").design.strata[0].alpha == 0.05
    assert draw(project, 5, label="x").design.strata[0].alpha == 0.025


def test_several_judges_need_a_label(tmp_path: Path, database_url: str) -> None:
    two = [{"judge": name, "label": "A"} for name in ("x", "y")]
    project = make_project(tmp_path / "p", database_url, [pair(k, ai=two) for k in range(20)])
    with pytest.raises(BadInput, match=r"several judges \(x, y\).*majority"):
        draw(project, 5)
    with pytest.raises(BadInput, match="no judge is called 'z'"):
        draw(project, 5, label="z")
    assert draw(project, 5, label="majority").design.label == "majority"


def test_failures_and_abstentions_leave_n_and_are_counted(
    tmp_path: Path, database_url: str
) -> None:
    torn = [
        {"judge": JUDGE, "order": "ab", "label": "A"},
        {"judge": JUDGE, "order": "ba", "label": "B"},
    ]
    rows = [pair(0, None), pair(1, ai=torn), pair(2, ai=[]), *(pair(k) for k in range(3, 10))]
    project = make_project(tmp_path / "p", database_url, rows)
    part = draw(project, 10).design.strata[0]
    assert part.excluded == {"failed": 1, "abstained": 1, "no verdict": 1}
    assert (part.n_population, part.n_asked) == (7, 7)


def test_a_project_without_a_label_cannot_be_drawn(tmp_path: Path, database_url: str) -> None:
    project = make_project(tmp_path / "p", database_url, [pair(k, None) for k in range(3)])
    with pytest.raises(BadInput, match=r"no pair has a label .*\(3 failed\)"):
        draw(project, 2)
    empty = make_project(tmp_path / "q", f"sqlite:///{tmp_path / 'q.db'}", [])
    with pytest.raises(BadInput, match="no AI verdict"):
        draw(empty, 2)


def test_a_name_is_used_once(project: Project) -> None:
    draw(project, 5, name="pilot")
    with pytest.raises(BadInput, match="already called 'pilot'"):
        draw(project, 5, name="pilot")


@pytest.mark.parametrize(
    ("rule", "critical"),
    [
        (SafetyRule(subsets=("medical",)), {0, 1, 2, 3}),
        (SafetyRule(tags=("legal",)), {4, 5}),
        (SafetyRule(pattern="DOSE of"), {6}),
        (SafetyRule(subsets=("medical",), tags=("legal",), pattern="dose"), {0, 1, 2, 3, 4, 5, 6}),
    ],
)
def test_safety_critical_pairs_are_a_stratum_of_their_own(
    tmp_path: Path, rule: SafetyRule, critical: set[int]
) -> None:
    rows = [pair(k) for k in range(40)]
    for k in range(4):
        rows[k]["subset"] = "medical"
    rows[4]["meta"] = {"tags": ["legal", "x"]}
    rows[5]["meta"] = {"tag": "legal"}
    rows[6]["prompt"] = [{"role": "user", "content": "what dose of it?"}]
    project = make_project(tmp_path / "p", f"sqlite:///{tmp_path / 'w.db'}", rows)
    safety = StratumOptions(gate=GateDesign(trust_above=0.95, alpha=0.01), share=1.0)
    drawn = draw(project, 10, safety=safety, safety_rule=rule)
    main, part = drawn.design.strata
    assert (main.n_population, part.n_population) == (40 - len(critical), len(critical))
    assert (part.gate.trust_above, part.alpha) == (0.95, 0.01)
    found = drawn_ids(project, drawn.round_id, "safety")
    assert {int(pair_id[2:]) for pair_id in found} == critical
    assert set(found).isdisjoint(drawn_ids(project, drawn.round_id))


def test_strata_progress_together(tmp_path: Path, database_url: str) -> None:
    rows = [pair(k, subset="medical" if k < 20 else "other") for k in range(100)]
    project = make_project(tmp_path / "p", database_url, rows)
    draw(project, 10, main=StratumOptions(n_pairs=40), safety_rule=SafetyRule(subsets=("medical",)))
    with Session(project.engine) as session:
        queue = list(session.scalars(select(Item.stratum).order_by(Item.rank)))
    assert queue[:25].count("safety") == 5  # 10 of 50 items, so one in five
    assert queue[25:].count("safety") == 5


def test_edge_cases_are_queued_beside_the_draw(tmp_path: Path, database_url: str) -> None:
    split = [{"judge": JUDGE, "label": "A"}, {"judge": "other", "label": "B"}]
    flip = [
        {"judge": JUDGE, "order": "ab", "p_a": 0.9},
        {"judge": JUDGE, "order": "ba", "p_a": 0.4},
    ]
    rows = [scored(k, 0.95) for k in range(50)]
    rows[0] = pair(0, ai=split)
    rows[1] = pair(1, ai=flip)
    rows[2] = scored(2, 0.51)
    torn = [{"judge": JUDGE, "order": order, "label": x} for order, x in (("ab", "A"), ("ba", "B"))]
    rows[3] = pair(3, ai=torn)
    project = make_project(tmp_path / "p", database_url, rows)
    drawn = draw(project, 1, label=JUDGE, edge_cases=10, seed=1)
    found = {item.pair_id: item for item in items(project, "edge")}
    assert {key: item.slices["edge"] for key, item in found.items()} == {
        "p-0000": ["judges split"],
        "p-0001": ["swap flips"],
        "p-0002": ["low confidence"],
        "p-0003": ["swap flips"],
    }
    assert found["p-0003"].ai_label == "none"
    assert drawn.n_new == {"main": 1, "edge": 4}
    assert draw(project, 1, label=JUDGE, edge_cases=2).n_new["edge"] == 2


def test_an_edge_case_that_an_extension_draws_takes_its_votes_along(
    tmp_path: Path, database_url: str
) -> None:
    rows = [scored(k, 0.55) for k in range(10)]
    project = make_project(tmp_path / "p", database_url, rows)
    drawn = draw(project, 5, edge_cases=5, overlap=1.0)
    edges = drawn_ids(project, drawn.round_id, "edge")
    answer(project, drawn.round_id, ["A"] * 5, "edge")
    extend_round(project, n_more=5)
    main = drawn_ids(project, drawn.round_id)
    assert set(main[5:]) == set(edges)
    assert drawn_ids(project, drawn.round_id, "edge") == []
    with Session(project.engine) as session:
        slots = session.execute(select(Slot.item_id, Slot.number)).all()
    assert len(slots) == len(set(map(tuple, slots))) == 20


def test_complexity_is_given_or_estimated_by_length(tmp_path: Path) -> None:
    rows = [
        pair(0),
        pair(1, response_a="x" * 1000),
        pair(2, response_a="x" * 4000),
        pair(3, response_a="x" * 4000, meta={"complexity": "Simple"}),
        pair(4, meta={"complexity": "no such word", "topic": "law"}),
    ]
    project = make_project(tmp_path / "p", f"sqlite:///{tmp_path / 'w.db'}", rows)
    drawn = draw(project, 5, slices=("complexity", "meta.topic"))
    values = {item.pair_id: item.slices["complexity"] for item in items(project)}
    assert values == {
        "p-0000": "simple",
        "p-0001": "medium",
        "p-0002": "complex",
        "p-0003": "simple",
        "p-0004": "simple",
    }
    counts = {one.name: one.counts for one in drawn.design.strata[0].slices}
    assert counts == {
        "complexity": {"complex": 1, "medium": 1, "simple": 3},
        "meta.topic": {"law": 1},
    }


def test_a_slice_needs_a_known_name_and_few_values(project: Project, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no slice is called 'mood'"):
        draw_options(project, Overrides(slices=("mood",)))
    rows = [pair(k, meta={"n": k}) for k in range(60)]
    other = make_project(tmp_path / "q", f"sqlite:///{tmp_path / 'q.db'}", rows)
    with pytest.raises(BadInput, match="60 values"):
        draw(other, 5, slices=("meta.n",))


def test_a_nul_in_a_text_does_not_stop_a_draw(tmp_path: Path, database_url: str) -> None:
    project = make_project(tmp_path / "p", database_url, [pair(0, response_a="a\x00b")])
    draw(project, 1)
    assert items(project)[0].response_a == "a\ufffdb"


def test_options_come_from_the_project_file_where_nothing_was_said(tmp_path: Path) -> None:
    toml = (
        '[audit]\nshare = 0.3\nseed = 9\noverlap = 0.2\nties = "strict"\ntrust_above = 0.9\n'
        '[audit.safety]\nsubsets = ["medical"]\nwarn_below = 0.6\nn_pairs = 7\n'
        '[review]\nguidelines = "how.md"\ncriteria = ["clear"]\ncriteria_from = "rules.toml"\n'
    )
    project = make_project(tmp_path / "p", f"sqlite:///{tmp_path / 'w.db'}", [pair(0)], toml)
    (project.dir / "how.md").write_text("Be fair.")
    questions = 'description = "d"\ncomparison_question = "c"\ncritique_question = "q"\n'
    questions += 'revision_request = "r"\n'
    (project.dir / "rules.toml").write_text(
        'name = "rules"\n'
        f'[[principles]]\nid = "h"\nname = "honest"\n{questions}'
        f'[[principles]]\nid = "c"\nname = "clear"\n{questions}'
    )
    options = draw_options(project)
    assert (options.seed, options.overlap, options.main.share) == (9, 0.2, 0.3)
    assert options.main.gate == GateDesign(trust_above=0.9, ties="strict")
    assert options.safety.gate == GateDesign(trust_above=0.9, warn_below=0.6, ties="strict")
    assert options.safety.n_pairs == 7
    assert (options.guidelines, options.criteria) == ("Be fair.", ("clear", "honest"))
    said = draw_options(project, Overrides(seed=1, n_pairs=4, trust_above=0.8))
    assert (said.seed, said.main.n_pairs, said.main.gate.trust_above) == (1, 4, 0.8)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (Overrides(share=0.0), "--share 0.0"),
        (Overrides(n_pairs=0), "--n 0"),
        (Overrides(trust_above=0.7, warn_below=0.8), r"warn_below \(0.8\) must not be above"),
        (Overrides(alpha=0.7), "alpha"),
    ],
)
def test_an_option_out_of_range_is_refused(project: Project, said: Overrides, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        draw_options(project, said)


@pytest.mark.parametrize(("share", "n", "size"), [(0.07, 100, 7), (0.1, 974, 98), (1.0, 3, 3)])
def test_a_share_is_rounded_up(share: float, n: int, size: int) -> None:
    assert StratumOptions(share=share).size(n) == size


@pytest.mark.parametrize("name", ["bad/name", "x" * 61, " "])
def test_a_name_that_no_file_could_have_is_refused(project: Project, name: str) -> None:
    with pytest.raises(BadInput, match="name"):
        draw(project, 5, name=name)
    with Session(project.engine) as session:
        assert session.scalar(select(func.count()).select_from(Round)) == 0
