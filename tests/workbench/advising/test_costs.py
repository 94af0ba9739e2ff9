"""What a recipe would cost: by hand from the project's own figures, and never out of the air."""

import json
from pathlib import Path

import pytest

from pipelines.generate.manifest import GenerateManifest
from pipelines.judge.manifest import JudgeManifest
from pipelines.run import Recipe
from pipelines.stages.manifest import Spent
from workbench.advising.costs import Cost, costs_of, total
from workbench.project import Project

RECIPE = Recipe.model_validate(
    {
        "title": "A",
        "what": "B",
        "steps": [
            {"stage": "generate"},
            {"stage": "judge", "judges": ["judge"]},
            {"stage": "audit"},
            {"stage": "pairs"},
            {"stage": "train", "method": "dpo"},
            {"stage": "evaluate", "policies": ["writer", "dpo"]},
        ],
    }
)
SETTINGS = """
[audit]
share = 0.5
overlap = 0.2
seconds_per_pair = 60.0
[costs]
usd_per_hour = 20.0
[generate]
n_candidates = 3
[[models]]
name = "writer"
model = "some-writer"
base_url = "https://models.invalid/v1"
usd_per_1m_input = 1.0
usd_per_1m_output = 2.0
[[judges]]
name = "judge"
model = "some-judge"
base_url = "https://models.invalid/v1"
mode = "logprob"
{price}
"""
PRICE = "usd_per_1m_input = 10.0\nusd_per_1m_output = 0.0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project of ten prompts and four held-out ones, that has asked nobody yet."""
    (tmp_path / "project.toml").write_text(SETTINGS.format(price=PRICE))
    for name, n in (("prompts.jsonl", 10), ("held-out.jsonl", 4)):
        rows = [json.dumps({"prompt": f"{name} {k}"}) for k in range(n)]
        (tmp_path / name).write_text("\n".join(rows) + "\n")
    return tmp_path


def log(folder: Path, requests: int = 100) -> None:
    """100 requests to the judge: 200 tokens each; to the writer: 30 in, 50 out."""
    judge = folder / "runs" / "judge" / "judge"
    judge.mkdir(parents=True)
    spent = Spent(requests=requests, prompt_tokens=200 * requests, completion_tokens=0)
    (judge / "manifest.json").write_text(
        JudgeManifest(judge="judge", spent=spent).model_dump_json()
    )
    writer = folder / "runs" / "generate" / "writer"
    writer.mkdir(parents=True)
    spent = Spent(requests=requests, prompt_tokens=30 * requests, completion_tokens=50 * requests)
    text = GenerateManifest(model="writer", spent=spent).model_dump_json()
    (writer / "manifest.json").write_text(text)


def test_calls_dollars_and_hours_by_hand(folder: Path) -> None:
    log(folder)
    generate, judge, audit, pairs, train, evaluate = costs_of(Project.open(folder), RECIPE)
    # 10 prompts x 3 answers; 30 x 1e-6 + 50 x 2e-6 dollars each
    assert generate.calls == 30
    assert generate.usd == pytest.approx(30 * 130e-6)
    # 3 pairs of 3 answers, in both orders; 200 x 10e-6 dollars each
    assert judge.calls == 10 * 3 * 2
    assert judge.usd == pytest.approx(60 * 2e-3)
    # half of 30 pairs, a fifth of them twice, a minute each
    assert audit.human_hours == pytest.approx(15 * 1.2 / 60)
    assert audit.human_usd == pytest.approx(15 * 1.2 / 60 * 20.0)
    assert (pairs.calls, pairs.usd, pairs.machine_hours) == (0, 0.0, 0.0)
    assert evaluate.calls == 4 * 2  # a pair for each held-out prompt, in both orders
    # Nobody has trained here yet.
    assert train.machine_hours is None
    assert "no run of dpo in this project" in train.rests_on[0]
    whole = total([generate, judge, audit, pairs, train, evaluate])
    assert whole.calls == 30 + 60 + 8
    assert whole.machine_hours is None


def test_training_takes_as_long_as_its_last_run_here(folder: Path) -> None:
    run = folder / "runs" / "train" / "before"
    run.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"method": "dpo", "settings": {"device": "cpu"}}))
    (run / "result.json").write_text(json.dumps({"steps": 300}))
    # 12 s a step; it was off for a day between steps 20 and 30
    times = {0: 0.0, 10: 120.0, 20: 240.0, 30: 86_640.0, 40: 86_760.0, 50: 86_880.0}
    points = [json.dumps({"step": step, "at": at}) for step, at in times.items()]
    (run / "curves.jsonl").write_text("\n".join(points) + "\n")
    train = costs_of(Project.open(folder), RECIPE)[4]
    assert train.machine_hours == pytest.approx(300 * 12 / 3600)
    assert train.rests_on == ("as long as its last run here, before on a CPU",)


def test_without_a_log_or_a_price_the_dollars_are_unknown_and_the_calls_are_not(
    folder: Path,
) -> None:
    judge = costs_of(Project.open(folder), RECIPE)[1]
    assert (judge.calls, judge.usd) == (60, None)
    assert "nobody has asked judge here: tokens unknown" in judge.rests_on
    (folder / "project.toml").write_text(SETTINGS.format(price=""))
    log(folder)
    judge = costs_of(Project.open(folder), RECIPE)[1]
    assert (judge.calls, judge.usd) == (60, None)
    assert any("has no price in project.toml" in line for line in judge.rests_on)


def test_what_is_missing_is_named_and_makes_the_sum_unknown(folder: Path) -> None:
    (folder / "prompts.jsonl").unlink()
    costs = costs_of(Project.open(folder), RECIPE)
    assert costs[0].calls is None
    assert "no prompts at prompts.jsonl" in costs[0].rests_on[0]
    assert costs[1].calls is None  # so many pairs as there will be
    assert total(costs).calls is None
    assert total([]) == Cost("all")
