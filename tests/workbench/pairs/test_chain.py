"""`workbench pairs` on a small project: labels corrected where it pays, every pair counted."""

import json
import random
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sqlalchemy import select, update
from typer.testing import CliRunner

from pipelines.agreement.annotations import NONE
from pipelines.config import PairsSection
from pipelines.errors import BadInput, Undefined
from pipelines.importing import import_file
from pipelines.judge.derived import read_record
from pipelines.preferences.combine import combine_judge
from pipelines.records import Judgment
from workbench.audit.argilla_votes import ASSISTED
from workbench.audit.draw import draw_round
from workbench.audit.options import DrawOptions, StratumOptions
from workbench.cli.main import app
from workbench.db.models import Annotator, Item, Slot, Vote
from workbench.db.session import writing
from workbench.pairs.chain import make_pairs
from workbench.pairs.labelers import human_labels
from workbench.pairs.output import FOLDER
from workbench.project import Project

WORDS = ("plan", "works", "step", "then", "clear", "ask", "help", "note", "list", "why")
N, N_LABELLED, FAILED = 400, 110, 7


def rows(*, blind=True, seed=5):
    """Three pairs a prompt; a response with a leak is bad, which a blind judge does not see."""
    rng = random.Random(seed)
    made = []
    for k in range(N):
        quality, leak = [rng.gauss(0, 1), rng.gauss(0, 1)], [rng.random() < 0.5, rng.random() < 0.5]
        value = [quality[j] - 4 * leak[j] for j in (0, 1)]
        seen = quality if blind else value
        p_a = 1 / (1 + np.exp(-2 * (seen[0] - seen[1])))
        texts = [
            " ".join(rng.choice(WORDS) for _ in range(10)) + f" {k}{'ab'[j]}"
            + (" secret password" if leak[j] else "")
            for j in (0, 1)
        ]  # fmt: skip
        verdict = {"judge": "sol", "order": "ab", "p_a": p_a}
        if k == FAILED:
            verdict = {"judge": "sol", "order": "ab", "failure": "refused"}
        made.append(
            {
                "id": f"p{k}",
                "prompt": f"question {k // 3}",
                "response_a": texts[0],
                "response_b": texts[1],
                "subset": "even" if k % 2 else "odd",
                "ai": [verdict],
                "human": [{"annotator": "ana", "label": "A" if value[0] > value[1] else "B"}]
                if k < N_LABELLED
                else [],
                "meta": {"truth": "A" if value[0] > value[1] else "B"},
            }
        )
    return made


def project_of(folder: Path, made) -> Project:
    project = Project.create(folder)
    path = folder / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    import_file(project.store, path, project.config)
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return project_of(tmp_path / "p", rows())


def test_a_blind_judge_is_corrected_stored_and_recorded(project):
    made = make_pairs(project, PairsSection())
    assert made.learned.stored_as == "sol+corrected"
    truth = np.array([0 if t == "A" else 1 for t in project.store.meta_values("truth")])
    annotations = project.store.annotations()
    unaudited = np.arange(N) >= N_LABELLED
    own, new = (
        np.mean(combine_judge(annotations, judge).label[unaudited] == truth[unaudited])
        for judge in ("sol", "sol+corrected")
    )
    assert new > own + 0.1
    assert combine_judge(annotations, "sol+corrected").label[FAILED] == NONE  # never scored
    record = read_record(project.dir, "sol+corrected")
    assert record is not None
    assert record.judges == ("sol",)
    assert len(record.learned_from) == N_LABELLED - 1
    # People's labels override; elsewhere the corrected label leaves.
    assert made.counts.kept_by_source == {"ai": N - N_LABELLED, "human": N_LABELLED}
    assert (made.curated.label[:N_LABELLED] == truth[:N_LABELLED]).all()


def test_the_chain_can_be_repeated_and_gives_the_same(project):
    first = make_pairs(project, PairsSection())
    second = make_pairs(project, PairsSection())  # now a corrected judge is in the store
    assert np.array_equal(first.curated.p_a, second.curated.p_a)
    assert first.label == second.label == "sol"


def test_a_judge_that_is_right_keeps_its_labels(tmp_path):
    project = project_of(tmp_path / "p", rows(blind=False))
    made = make_pairs(project, PairsSection(recalibrate="off"))
    assert made.learned.correction is not None
    assert not made.learned.correction.applied
    assert made.learned.stored_as is None
    assert project.store.annotations().judges == ("sol",)


def test_without_people_nothing_is_learned_and_that_is_said(tmp_path):
    bare = [{**row, "human": []} for row in rows()]
    made = make_pairs(project_of(tmp_path / "p", bare), PairsSection())
    assert made.learned.correction is None
    assert "nothing learned" in made.learned.notes[0]
    assert made.counts.n_kept == N - 1


def test_nothing_is_learned_from_labels_given_with_the_ais_in_sight(tmp_path):
    project = project_of(tmp_path / "p", [{**row, "human": []} for row in rows()])
    main = StratumOptions(n_pairs=N_LABELLED)
    drawn = draw_round(project, DrawOptions(label="sol", name="r", main=main, overlap=0.0))
    truth = dict(zip(project.store.pair_ids(), project.store.meta_values("truth"), strict=True))
    with writing(project.engine) as session:
        person = Annotator(name="ben", created_at=0.0, link_hash=None, revoked_at=None)
        session.add(person)
        session.flush()
        items = select(Item, Slot.id).join(Slot, Slot.item_id == Item.id)
        for item, slot in session.execute(items.where(Item.round_id == drawn.round_id)):
            session.add(
                Vote(
                    id=f"v-{item.id}", round_id=drawn.round_id, item_id=item.id, slot_id=slot,
                    annotator_id=person.id, label=truth[item.pair_id], left="A", details={},
                    origin="argilla", created_at=1.0,
                )
            )  # fmt: skip
    assert make_pairs(project, PairsSection()).learned.n_labels == N_LABELLED
    with writing(project.engine) as session:
        session.execute(update(Vote).values(origin=ASSISTED, counts=False))
    made = make_pairs(project, PairsSection())
    assert made.learned.n_labels == 0
    assert made.learned.notes[0] == (
        f"nothing is learned from {N_LABELLED} labels given with the AI's in sight"
    )
    assert made.counts.kept_by_source["human"] == N_LABELLED  # labels they are all the same
    with pytest.raises(Undefined, match="without the AI's in sight"):
        human_labels(project, None)


def test_corrected_labels_are_not_corrected_again(project):
    make_pairs(project, PairsSection())
    with pytest.raises(BadInput, match="made from people's labels already"):
        make_pairs(project, PairsSection(label="sol+corrected"))


def test_every_pair_is_counted_and_no_prompt_is_in_two_splits(tmp_path):
    made_rows = rows()
    made_rows += [{**made_rows[k], "id": f"again{k}", "human": []} for k in range(200, 210)]
    swapped = made_rows[300]
    made_rows.append(
        {
            **swapped,
            "id": "swapped",
            "response_a": swapped["response_b"],
            "response_b": swapped["response_a"],
        }
    )
    made_rows[250] |= {
        "ai": [{"judge": "sol", "order": "ab", "p_a": 0.9}],
        "meta": {"violations": {"a": [{"principle": "x"}], "b": [{"principle": "x"}]}},
    }
    project = project_of(tmp_path / "p", made_rows)
    options = PairsSection(
        correct=False,
        recalibrate="off",
        min_confidence=0.6,
        max_length_ratio=1.5,
        near_duplicates=0.9,
        scheme="best-of-n",
        reweight="prompt",
        test_share=0.2,
        validation_share=0.2,
    )
    made = make_pairs(project, options)
    counts = made.counts
    lost = sum(n for step in counts.steps for n in step.dropped.values())
    assert counts.n_pairs == len(made_rows) == counts.n_kept + lost
    for step, following in zip(counts.steps, counts.steps[1:], strict=False):
        assert step.n_out == following.n_in
    dropped = {why: n for step in counts.steps for why, n in step.dropped.items()}
    assert dropped["both responses violate the constitution"] == 1
    assert 5 <= dropped["the same texts as an earlier pair"] <= 11
    assert dropped["not in the scheme"] > 50
    kept = np.array([not reason for reason in made.reasons])
    prompt = project.store.annotations().prompt
    for code in np.unique(prompt[kept]):
        assert len(set(made.split[kept & (prompt == code)])) == 1
    assert set(made.splits) == {"train", "validation", "test"}
    assert made.weight[kept].mean() == pytest.approx(1.0)
    per_prompt = np.bincount(prompt[kept], weights=made.weight[kept])
    assert per_prompt[per_prompt > 0] == pytest.approx(per_prompt.max())


def test_the_command_prints_the_steps_and_writes_what_became_of_each_pair(project):
    runner = CliRunner()
    before = project.store.content_hash()
    said = runner.invoke(app, ["pairs", "--project", str(project.dir), "--dry-run"])
    assert said.exit_code == 0, said.output
    assert "correction: applied" in said.output
    assert "without any judge" in said.output
    assert "dry run" in said.output
    assert project.store.content_hash() == before
    said = runner.invoke(app, ["pairs", "--project", str(project.dir), "--json"])
    facts = json.loads(said.stdout)
    assert facts["labels_stored_as"] == "sol+corrected"
    assert facts["counts"]["n_pairs"] == N
    table = pq.read_table(project.dir / FOLDER / "pairs.parquet").to_pydict()
    assert table["id"] == project.store.pair_ids()
    kept = json.loads((project.dir / FOLDER / "manifest.json").read_text())
    n_kept = sum(reason is None for reason in table["dropped"])
    assert n_kept == kept["counts"]["n_kept"] == facts["counts"]["n_kept"]
    assert kept["correction"]["over_judge"]["accuracy_gain"]["n"] == N_LABELLED - 1


BAD = {"principle": "private", "severity": "severe"}


def violating(folder: Path) -> Project:
    """Judge sol prefers A everywhere. Pairs 0, 1, 2: A, B, both break the constitution."""
    made = [
        {
            "id": f"p{k}",
            "prompt": f"question {k}",
            "response_a": f"one {k}",
            "response_b": f"two {k}",
            "ai": [{"judge": "sol", "order": "ab", "p_a": 0.9}],
            "meta": {"violations": {"a": [BAD] * (k in (0, 2)), "b": [BAD] * (k in (1, 2))}}
            if k < 5
            else {},
        }
        for k in range(12)
    ]
    return project_of(folder, made)


@pytest.mark.parametrize(
    ("settings", "label", "gone"),
    [
        ({"constitution": "rule"}, {0: "B", 1: "A"}, {2: "both violate severely"}),
        ({"constitution": "rule", "both_severe": "judge"}, {0: "B", 1: "A", 2: "A"}, {}),
        ({"constitution": "rule", "principles": ("harmless",)}, {0: "A", 1: "A", 2: "A"}, {}),
        ({"constitution": "off"}, {0: "A", 1: "A", 2: "A"}, {}),
        (
            {"constitution": "filter"},
            {1: "A"},
            {
                0: "the preferred response violates the constitution",
                2: "both responses violate the constitution",
            },
        ),
    ],
)
def test_the_constitution_rules_filters_or_is_left_out(tmp_path, settings, label, gone):
    project = violating(tmp_path / "p")
    made = make_pairs(project, PairsSection(correct=False, recalibrate="off", **settings))
    for row in (0, 1, 2):
        assert made.reasons[row] == gone.get(row, "")
        if row in label:
            assert made.curated.label[row] == "AB".index(label[row])
    assert all(made.curated.label[5:] == 0)
    step = next(one for one in made.counts.steps if one.name == "constitution")
    assert step.n_in - step.n_out == len(gone)
    if settings == {"constitution": "rule"}:
        assert made.curated.p_a[0] == 0.0
        assert made.as_dict()["flags"] == {
            "the rule overturns the judge": 1,
            "both violate severely": 1,
        }
        assert step.notes["not checked"] == 7


def test_as_weights_the_constitution_lowers_a_pair(tmp_path):
    project = violating(tmp_path / "p")
    options = PairsSection(
        correct=False, recalibrate="off", constitution="weights", severe_weight=0.25
    )
    weight = make_pairs(project, options).weight
    assert weight[0] / weight[1] == pytest.approx(0.25)


def test_the_rule_does_not_overrule_people(tmp_path):
    project = violating(tmp_path / "p")
    made = [
        {
            "id": "people",
            "prompt": "question",
            "response_a": "one",
            "response_b": "two",
            "ai": [{"judge": "sol", "order": "ab", "p_a": 0.9}],
            "human": [{"annotator": "ana", "label": "A"}],
            "meta": {"violations": {"a": [BAD], "b": []}},
        }
    ]
    path = tmp_path / "more.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    import_file(project.store, path, project.config)
    options = PairsSection(correct=False, recalibrate="off", constitution="rule")
    done = make_pairs(Project.open(project.dir), options)
    assert (done.curated.label[12], done.reasons[12]) == (0, "")


def test_a_judge_that_rates_gives_soft_labels_and_chooses_by_its_scores(tmp_path):
    worth = {"one": 9.0, "two": 3.0, "three": 1.0}
    couples = [("one", "two"), ("three", "one"), ("two", "three")]
    made = [
        {"id": f"p{k}-{j}", "prompt": f"q {k}", "response_a": f"{a} {k}", "response_b": f"{b} {k}"}
        for k in range(8)
        for j, (a, b) in enumerate(couples)
    ]
    project = project_of(tmp_path / "p", made)
    project.store.put_judgments(
        "critic",
        [
            (
                f"p{k}-{j}",
                Judgment(
                    judge="critic",
                    label="A" if worth[a] > worth[b] else "B",
                    raw=json.dumps({"ratings": [], "a": worth[a], "b": worth[b]}),
                ),
            )
            for k in range(8)
            for j, (a, b) in enumerate(couples)
        ],
    )
    options = {"correct": False, "recalibrate": "off", "score_scale": 4.0}
    made = make_pairs(project, PairsSection(scheme="best-worst", **options))
    assert [not reason for reason in made.reasons] == [False, True, False] * 8
    assert made.curated.p_a[1] == pytest.approx(1 / (1 + np.exp(2.0)))  # 1 against 9, scale 4
    made = make_pairs(project, PairsSection(scheme="best-of-n", **options))
    per_prompt = [sum(not reason for reason in made.reasons[k : k + 2]) for k in range(0, 24, 3)]
    assert per_prompt == [1] * 8
    made = make_pairs(project, PairsSection(min_margin=5.0, **options))
    assert [not reason for reason in made.reasons] == [True, True, False] * 8
