"""A few worlds through everything that is real: the server, the judge's client, the queue.

The help desk's pairs are judged by a simulated model over HTTP and labelled by simulated people at
the queue that people use; what the audit then reports is held against what was planted.
"""

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy.orm import Session

from pipelines.agreement.annotations import A, B, IntArray
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import wilson
from pipelines.agreement.position import labels_by_order, position_bias
from pipelines.importing import import_file
from pipelines.judge.spec import JudgeSpec
from pipelines.preferences.combine import combine_judge
from pipelines.records import PreferencePair
from pipelines.sandbox.annotators import Annotator, Traits
from pipelines.sandbox.background import in_background
from pipelines.sandbox.grammar import draw_reply, draw_situation
from pipelines.sandbox.judges import STANDARD_SKILL
from pipelines.sandbox.scoring import true_preference
from pipelines.sandbox.traits import ModelTraits
from pipelines.stages.budget import Limits
from workbench.audit.draw import draw_round
from workbench.audit.evidence import ceiling
from workbench.audit.options import Overrides, draw_options
from workbench.audit.reading import read_round
from workbench.data_files import data_dir
from workbench.judging import judge_all
from workbench.project import Project
from workbench.selftest.law import human_given_truth
from workbench.simulated import label_round

MODEL = "simulated-judge"
N_PAIRS, N_DRAWN = 400, 200
OVERLAP = 0.3
PEOPLE = {"simulated-careful": 0.95, "simulated-average": 0.85, "simulated-hasty": 0.75}
_START = 1_000_000.0  # Unix seconds: long ago, so that nothing hangs on the clock


@dataclass(frozen=True)
class LiveWorld:
    """What is planted in one world."""

    name: str
    traits: ModelTraits


@dataclass(frozen=True)
class LiveRow:
    """One diagnosis in one world."""

    world: str
    diagnosis: str
    planted: float
    measured: Estimate

    @property
    def holds(self) -> bool:
        """Whether the interval holds what was planted."""
        return self.measured.low - 1e-9 <= self.planted <= self.measured.high + 1e-9


def live_worlds() -> list[LiveWorld]:
    """A handful."""
    planted = {
        "position bias 0 points, accuracy .9": ModelTraits(accuracy=0.9),
        "position bias 10 points": ModelTraits(position_bias=10.0),
        "position bias 20 points": ModelTraits(position_bias=20.0),
        "position bias 30 points, accuracy .8": ModelTraits(accuracy=0.8, position_bias=30.0),
        "blind to privacy": ModelTraits(weights={"private": 0.0}),
    }
    return [LiveWorld(name, traits) for name, traits in planted.items()]


def run_live(world: LiveWorld, folder: Path, seed: int) -> list[LiveRow]:
    """One world, in a new project in `folder`."""
    project = Project.create(folder)
    truth = _import_pairs(project, seed)
    with in_background({MODEL: world.traits}, seed=seed) as url:
        spec = JudgeSpec(name=MODEL, model=MODEL, base_url=url, concurrency=16)
        judge_all(project, [spec], (data_dir(),), Limits())
    drawn = draw_round(
        project,
        draw_options(project, Overrides(label=MODEL, n_pairs=N_DRAWN, seed=seed, overlap=OVERLAP)),
        now=_START,
    )
    people = {
        name: Annotator(name, Traits(accuracy=accuracy), seed).label
        for name, accuracy in PEOPLE.items()
    }
    label_round(project.engine, drawn.round_id, people, 1.0, _START)
    try:
        return _rows(world, project, truth)
    finally:
        project.engine.dispose()


def _import_pairs(project: Project, seed: int) -> IntArray:
    """Pairs of the standard policy; their true labels as codes, shape (n_pairs,)."""
    source, lines, truth = random.Random(seed), [], []
    codes = {"A": 0, "B": 1, "tie": 2}
    for number in range(N_PAIRS):
        situation = draw_situation(source)
        a, b = (draw_reply(situation, source, STANDARD_SKILL) for _ in "ab")
        while b == a:
            b = draw_reply(situation, source, STANDARD_SKILL)
        pair = PreferencePair(
            id=f"pair-{number:04d}",
            prompt=situation.text,
            response_a=a,
            response_b=b,
            source="simulated",
        )
        lines.append(pair.model_dump_json(exclude_defaults=True))
        truth.append(codes[true_preference(situation, a, b)])
    path = project.dir / "pairs.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    import_file(project.store, path, project.config, strict=True, now=_START)
    return np.array(truth)


def _rows(world: LiveWorld, project: Project, truth: IntArray) -> list[LiveRow]:
    annotations = project.store.annotations()
    sides = labels_by_order(
        annotations.verdict_pair,
        annotations.verdict_order,
        annotations.verdict_label,
        annotations.n_pairs,
    )
    place = position_bias(*sides, annotations.prompt)
    label = combine_judge(annotations, MODEL).label
    # For each pair of this population: the chance that a vote equals the judge's label.
    given = np.stack([human_given_truth(accuracy) for accuracy in PEOPLE.values()])[:, truth]
    anyone = given.mean(axis=0)
    decides = anyone[:, [A, B]].sum(axis=1)
    agrees = np.where(
        label <= B, np.take_along_axis(anyone, np.maximum(label, 0)[:, None], 1)[:, 0], 0.0
    )
    two = sum(
        (given[i, :, :2] * given[j, :, :2]).sum(axis=1)
        for i in range(3)
        for j in range(3)
        if i != j
    )
    both = sum(
        given[i, :, :2].sum(axis=1) * given[j, :, :2].sum(axis=1)
        for i in range(3)
        for j in range(3)
        if i != j
    )
    read = read_round(project, now=2.0 * _START)
    main = read.main.now
    with Session(project.engine) as session:
        people = ceiling(session, read.round.id)
    rows = [
        LiveRow(world.name, "position: share of first places",
                0.5 + world.traits.position_bias / 200.0, place.first_rate),
    ]  # fmt: skip
    agreement = float(agrees.sum() / decides.sum())
    if main.estimate is not None:
        rows.append(LiveRow(world.name, "agreement, decisive, anytime", agreement, main.estimate))
        fixed = wilson(main.n_agree, main.n_agree + main.n_disagree)
        rows.append(LiveRow(world.name, "agreement, decisive, fixed sample", agreement, fixed))
    if people is not None and people.decisive is not None:
        found = people.decisive
        measured = Estimate(found.estimate, found.low, found.high, "wilson", found.n)
        planted = float(np.sum(two) / np.sum(both))
        rows.append(LiveRow(world.name, "people: ceiling, decisive", planted, measured))
    return rows
