"""The tiny model learns from imperfect labels on a CPU, and a bound on violations is kept.

The settings are those of the table in benchmarks/README.md with fewer pairs and steps, so the
thresholds are lower than what stands there; each was passed by a wide margin.
"""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipelines.sandbox.judges import Judge
from pipelines.sandbox.tiny_model_pairs import (
    judged_rows,
    label_accuracy,
    sample_pairs,
    win_rate_over,
)
from pipelines.sandbox.traits import JudgeTraits
from pipelines.sandbox.world_prompts import draw_prompts
from pipelines.toml_files import read_toml
from pipelines.train.curves import read_curves
from pipelines.train.online import train_online
from pipelines.train.online_setup import prepare_online
from pipelines.train.run import prepare, train
from pipelines.train.run_folder import RunFolder
from pipelines.train.settings import Settings, TrainSettings
from workbench.data_files import data_dir

HELPDESK = data_dir() / "helpdesk"


class SettingsFile(Settings):
    """`data/helpdesk/training.toml`."""

    train: TrainSettings


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def start():
    folder = HELPDESK / "model"
    return AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(
        folder
    )


@pytest.fixture(scope="module")
def world(start, tmp_path_factory):
    """320 pairs of the model's own replies, labelled by a judge that is right in three of four."""
    folder = tmp_path_factory.mktemp("learns")
    pairs = sample_pairs(*start, draw_prompts(160, 3), 3)
    rows = judged_rows(pairs, Judge(JudgeTraits(accuracy=0.75), seed=3))
    assert 0.68 <= label_accuracy(pairs, rows) <= 0.82
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def settings(**sections) -> TrainSettings:
    said = read_toml(HELPDESK / "training.toml", SettingsFile, "settings").train.model_dump()
    for name, changes in sections.items():
        said[name] |= changes
    return TrainSettings.model_validate(said | {"model": str(HELPDESK / "model")})


def win_rate(place: RunFolder, start):
    model = AutoModelForCausalLM.from_pretrained(place.model).eval()
    return win_rate_over(model, *start, draw_prompts(100, 3, "held-out"))


def run_ppo(folder: Path, name: str, **section) -> RunFolder:
    place = RunFolder(folder / name)
    chosen = settings(ppo=section)
    train_online(prepare_online("ppo", chosen, folder, folder / "pairs.jsonl"), place)
    return place


def test_dpo_learns_from_the_labels_of_a_judge(world, start):
    place = RunFolder(world / "dpo")
    train(prepare("dpo", settings(), world, world / "pairs.jsonl"), place)
    assert win_rate(place, start).estimate >= 0.58


def test_ppo_learns_from_a_reward_model_of_the_same_labels(world, start):
    short = settings(reward={"epochs": 2.0})
    train(prepare("reward", short, world, world / "pairs.jsonl"), RunFolder(world / "rm"))
    place = run_ppo(world, "ppo", steps=12, batch_size=32, reward_model="rm/model")
    curves = read_curves(place.path)
    assert curves[-1]["reward"] > curves[0]["reward"]
    assert win_rate(place, start).estimate >= 0.58


def test_the_constrained_variant_brings_violations_under_their_bound(world):
    """The reward hardly pays for it, so it is the multiplier that does."""
    place = run_ppo(  # few steps, so a higher rate
        world, "bounded", constitution="pipelines.sandbox.rewards:rules", shaping=0.01,
        violation="pipelines.sandbox.rewards:violations", violation_bound=0.05,
        multiplier_rate=3.0, batch_size=32, steps=18, learning_rate=5e-4,
    )  # fmt: skip
    curves = read_curves(place.path)
    first, last = ([p["violation_rate"] for p in some] for some in (curves[:3], curves[-5:]))
    assert sum(first) / 3 > 0.1
    assert sum(last) / 5 <= 0.05
    multipliers = [p["multiplier"] for p in curves]
    assert multipliers[0] == 0.0 < max(multipliers)
