"""Does it learn? The tiny model from labels of a 75%-accurate simulated judge, on one core.

    OMP_NUM_THREADS=1 python benchmarks/learning.py WORK [--seeds 3]
    OMP_NUM_THREADS=1 python benchmarks/learning.py WORK --choose '{"passes": 2, "minibatches": 2}'

Prints tables for README.md. True win rate over the model that training began with, at temperature
1, on held-out messages that no setting was chosen on. WORK keeps what is done: the same command
goes on. `--choose` is how settings of PPO are chosen: other seeds, other messages; WORK is one
setting's.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from pipelines.agreement.estimate import Estimate
from pipelines.models.local_model import quiet_loading
from pipelines.records import Message
from pipelines.sandbox.grammar import Situation
from pipelines.sandbox.judges import Judge
from pipelines.sandbox.tiny_model_pairs import (
    SampledPair,
    judged_rows,
    label_accuracy,
    reward_accuracy,
    sample_pairs,
    true_rows,
    win_rate_over,
)
from pipelines.sandbox.traits import JudgeTraits
from pipelines.sandbox.world_prompts import draw_prompts
from pipelines.toml_files import read_toml
from pipelines.train.online import train_online
from pipelines.train.online_setup import prepare_online
from pipelines.train.reward import rewards
from pipelines.train.rl_trl import train_groups
from pipelines.train.run import prepare, train
from pipelines.train.run_folder import RunFolder
from pipelines.train.settings import Settings, TrainSettings

HELPDESK = Path(__file__).parents[1] / "data" / "helpdesk"
ACCURACY = 0.75
N_PROMPTS, N_HELD_OUT = 800, 500
CHOSEN_ON = (300, 777)  # the messages on which settings were chosen: how many, and their seed
STAGES = ("reward", "ppo", "rloo", "grpo", "dpo", "dpo-true")


@dataclass(frozen=True)
class Asked:
    """What differs between the table and a choice: settings, and messages to measure on."""

    ppo: dict[str, Any]
    messages: list[Situation]


class SettingsFile(Settings):
    """`data/helpdesk/training.toml`."""

    train: TrainSettings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--choose", type=json.loads, metavar="JSON", help="keys of [train.ppo]")
    given = parser.parse_args()
    torch.set_num_threads(1)
    choosing = given.choose is not None
    first, stages = (14, STAGES[:2]) if choosing else (11, STAGES)
    asked = Asked(given.choose or {}, chosen_on() if choosing else held_out(N_HELD_OUT))
    found = [
        _kept(given.work / f"seed-{seed}", stage, seed, asked)
        for seed in range(first, first + given.seeds)
        for stage in stages
    ]
    for line in _table(found, stages):
        print(line)


def _kept(work: Path, stage: str, seed: int, asked: Asked) -> dict[str, Any]:
    """A stage's figures, from before or now."""
    path = work / f"{stage}.json"
    if not path.exists():
        figures = _stage(work, stage, seed, asked)
        print(stage, seed, figures, flush=True)
        path.write_text(json.dumps(figures))
    figures = json.loads(path.read_text())
    return {**figures, "estimate": Estimate(**figures["estimate"]), "stage": stage, "seed": seed}


def _stage(work: Path, stage: str, seed: int, asked: Asked) -> dict[str, Any]:
    """Train, and measure what came out."""
    start, tokenizer = _load(HELPDESK / "model"), AutoTokenizer.from_pretrained(HELPDESK / "model")
    settings = _settings(seed, str(work / "runs" / "reward" / "model"), asked.ppo)
    work.mkdir(parents=True, exist_ok=True)
    judged, true, accuracy = _data(work, start, tokenizer, seed)
    began = time.process_time()
    folder = RunFolder(work / "runs" / stage)
    if stage == "reward":
        train(prepare("reward", settings, work, judged), folder)
    elif stage == "ppo":
        train_online(prepare_online("ppo", settings, work, judged), folder)
    elif stage in ("rloo", "grpo"):
        train_groups(prepare_online(stage, settings, work, judged), folder)
    else:
        train(prepare("dpo", settings, work, true if stage == "dpo-true" else judged), folder)
    cpu_s = time.process_time() - began
    situations = asked.messages
    if stage == "reward":
        pairs = sample_pairs(start, tokenizer, situations, seed)
        estimate = reward_accuracy(pairs, _scores(folder.model, pairs, settings.max_length))
    else:
        estimate = win_rate_over(_load(folder.model), start, tokenizer, situations)
    last = folder.result() or {}
    return {
        "estimate": asdict(estimate), "cpu_s": cpu_s, "label_accuracy": accuracy,
        "kl": last.get("kl"),
    }  # fmt: skip


def _settings(seed: int, reward_model: str, ppo: dict[str, Any]) -> TrainSettings:
    file = read_toml(HELPDESK / "training.toml", SettingsFile, "settings of the trainers")
    said = file.train.model_dump() | {"model": str(HELPDESK / "model"), "seed": seed}
    for section in ("ppo", "rloo", "grpo"):
        said[section]["reward_model"] = reward_model
    said["ppo"] |= ppo
    return TrainSettings.model_validate(said)


def _data(work: Path, start: Any, tokenizer: Any, seed: int) -> tuple[Path, Path, float]:
    """Pairs of the start's own replies with the judge's labels and with true ones."""
    judged, true, accuracy = work / "judged.jsonl", work / "true.jsonl", work / "accuracy.json"
    if not accuracy.exists():
        pairs = sample_pairs(start, tokenizer, draw_prompts(N_PROMPTS, seed), seed)
        rows = judged_rows(pairs, Judge(JudgeTraits(accuracy=ACCURACY), seed=seed))
        _write(judged, rows)
        _write(true, true_rows(pairs))
        accuracy.write_text(json.dumps(label_accuracy(pairs, rows)))
    return judged, true, json.loads(accuracy.read_text())


def chosen_on() -> list[Situation]:
    """Held-out messages on which settings are chosen."""
    return draw_prompts(*CHOSEN_ON, "held-out")


def held_out(n: int) -> list[Situation]:
    """Held-out messages that no setting was chosen on."""
    seen = {one.text for one in chosen_on()}
    fresh = [one for one in draw_prompts(2 * n, 2026, "held-out") if one.text not in seen]
    return fresh[:n]


def _scores(
    folder: Path, pairs: Sequence[SampledPair], max_length: int
) -> Callable[[Situation, str], float]:
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    asked = [(one.situation, text) for one in pairs for text in (one.a, one.b)]
    turns = [((Message(role="user", content=one.text),), text) for one, text in asked]
    found = dict(zip(asked, rewards(model, tokenizer, turns, max_length), strict=True))
    return lambda situation, reply: found[situation, reply]


def _table(found: Sequence[dict[str, Any]], stages: Sequence[str]) -> Iterator[str]:
    yield "| stage | labels | by seed | worst interval | KL (nats) | CPU s, most |"
    yield "|---|---|---|---|---|---|"
    for stage in stages:
        runs = [one for one in found if one["stage"] == stage]
        worst = min((one["estimate"] for one in runs), key=lambda each: each.estimate)
        true = stage == "dpo-true"
        right = "true" if true else ", ".join(f"{one['label_accuracy']:.3f}" for one in runs)
        by_seed = ", ".join(f"{one['estimate'].estimate:.3f}" for one in runs)
        kl = [one["kl"] for one in runs if one["kl"] is not None]
        yield (
            f"| {stage} | {right} | {by_seed} | {worst.low:.3f}-{worst.high:.3f} (n = {worst.n:,}) "
            f"| {', '.join(f'{one:.1f}' for one in kl) or '-'} "
            f"| {max(one['cpu_s'] for one in runs):.0f} |"
        )


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _load(folder: Path) -> Any:
    with quiet_loading():
        return AutoModelForCausalLM.from_pretrained(folder).eval()


if __name__ == "__main__":
    main()
