"""PPO against that of TRL 1.12, the last with PPO: reward at equal rollouts and KL, and CPU time.

    python -m venv V && V/bin/pip install 'trl==1.12.*' 'torch>=2.10,<2.14'
    OMP_NUM_THREADS=1 python benchmarks/ppo_speed.py WORK REWARD_MODEL V/bin/python

The same model, reward model, prompts, rollouts, passes, minibatches, rates and clips, and a fixed
price of divergence; several prices, since two policies compare only at the same divergence.
REWARD_MODEL is a folder, such as the one that `learning.py` leaves. CPU seconds are those of
training, without imports and loading, in a process of its own for each run.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist, median
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import mean_of
from pipelines.models.local_model import quiet_loading
from pipelines.models.sampling import sample_ids
from pipelines.records import Message
from pipelines.sandbox.grammar import Situation
from pipelines.sandbox.tiny_model import encode_prompt
from pipelines.sandbox.world_prompts import draw_prompts
from pipelines.train.online import train_online
from pipelines.train.online_setup import prepare_online
from pipelines.train.ppo import token_logps
from pipelines.train.reward import rewards
from pipelines.train.run_folder import RunFolder
from pipelines.train.settings import TrainSettings

MODEL = Path(__file__).parents[1] / "data" / "helpdesk" / "model"
N_PROMPTS, N_HELD_OUT, SEED = 800, 600, 5
PRICES = (0.01, 0.03, 0.1)
# As in data/helpdesk/training.toml, with a price of divergence that does not move.
PPO = {
    "learning_rate": 5e-4, "value_learning_rate": 5e-4, "steps": 50, "batch_size": 64, "passes": 2,
    "minibatches": 2, "max_new_tokens": 60, "target_kl": 0.0,
}  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """One policy on held-out prompts, sampled at temperature 1; means of responses."""

    reward: Estimate
    kl: Estimate  # nats
    cpu_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("reward_model", type=Path)
    parser.add_argument("trl_python", nargs="?")
    parser.add_argument("--ours", type=float, help="train ours at this price, and nothing else")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    if given.ours is not None:
        _train_ours(given.work, given.reward_model.resolve(), given.ours)
        return
    print("| PPO of | price of KL | reward sigma(RM) | KL, nats | CPU s | times |")
    print("|---|---|---|---|---|---|")
    ratios = []
    for price in PRICES:  # ours and theirs in turn, so that both meet the same load
        ours, theirs = given.work / f"ours-{price}", given.work / f"theirs-{price}"
        if not (ours / "cpu.json").exists():
            command = [__file__, str(given.work), str(given.reward_model), "--ours", str(price)]
            subprocess.run([sys.executable, *command], check=True)
        if not (theirs / "cpu.json").exists():
            _train_theirs(given.work, given.reward_model.resolve(), price, given.trl_python)
        here = _measured(ours / "model", ours, given.reward_model)
        there = _measured(theirs, theirs, given.reward_model)
        ratios.append(there.cpu_s / here.cpu_s)
        for who, one in (("this project", here), ("TRL 1.12", there)):
            times = f"{there.cpu_s / one.cpu_s:.1f}"
            print(
                f"| {who} | {price:g} | {_said(one.reward, 3)} | {_said(one.kl, 2)} "
                f"| {one.cpu_s:.0f} | {times} |",
                flush=True,
            )
    print(f"\n(n = {N_HELD_OUT} held-out prompts; {PPO['steps']} x {PPO['batch_size']} rollouts)")
    print(f"Median of the {len(ratios)} ratios of CPU time: {median(ratios):.2f}.")


def _settings(price: float, reward_model: Path) -> TrainSettings:
    section = PPO | {"reward_model": str(reward_model), "beta": price}
    return TrainSettings.model_validate(
        {
            "model": str(MODEL), "max_length": 128, "warmup_share": 0.05, "tensorboard": False,
            "device": "cpu", "save_every": 1000, "seed": SEED, "ppo": section,
        }
    )  # fmt: skip


def _situations() -> list[Situation]:
    return draw_prompts(N_PROMPTS, SEED)


def _train_ours(work: Path, reward_model: Path, price: float) -> None:
    data = work / "prompts.jsonl"
    lines = [json.dumps({"prompt": one.text}) for one in _situations()]
    data.write_text("\n".join(lines) + "\n")
    prepared = prepare_online("ppo", _settings(price, reward_model), work, data)
    folder = RunFolder(work / f"ours-{price}")
    began = time.process_time()
    train_online(prepared, folder)
    cpu_s = time.process_time() - began
    (folder.path / "cpu.json").write_text(json.dumps(cpu_s))


def _train_theirs(work: Path, reward_model: Path, price: float, python: str | None) -> None:
    if python is None:
        sys.exit("name the Python of an environment with TRL 1.12 as the third argument")
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    settings = _settings(price, reward_model)
    section = settings.ppo.model_dump()
    said = section | {
        "model": str(MODEL), "reward_model": str(reward_model), "seed": SEED,
        "max_grad_norm": settings.max_grad_norm,
        "warmup_steps": round(settings.warmup_share * settings.ppo.steps),
        "prompts": [encode_prompt(tokenizer, one.text) for one in _situations()],
        "out": str(work / f"theirs-{price}"),
    }  # fmt: skip
    path = work / f"theirs-{price}.json"
    path.write_text(json.dumps(said))
    script = Path(__file__).with_name("ppo_speed_trl.py")
    subprocess.run([python, str(script), str(path)], check=True)


@torch.no_grad()
def _measured(model: Path, folder: Path, reward_model: Path) -> Measured:
    with quiet_loading():
        policy, start = (AutoModelForCausalLM.from_pretrained(one).eval() for one in (model, MODEL))
        judge = AutoModelForSequenceClassification.from_pretrained(reward_model)
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    situations = draw_prompts(N_HELD_OUT, SEED, "held-out")
    prompts = [encode_prompt(tokenizer, one.text) for one in situations]
    written = sample_ids(
        policy, prompts, torch.Generator().manual_seed(SEED), pad_id=tokenizer.pad_token_id,
        end_ids=(tokenizer.eos_token_id,), max_new_tokens=int(PPO["max_new_tokens"]),
    )  # fmt: skip
    texts = tokenizer.batch_decode(written, skip_special_tokens=True)
    turns = [((Message(role="user", content=one.text),), text)
             for one, text in zip(situations, texts, strict=True)]  # fmt: skip
    scores = 1.0 / (1.0 + np.exp(-np.array(rewards(judge, tokenizer, turns, 128))))
    kl = [_divergence(policy, start, p, w) for p, w in zip(prompts, written, strict=True)]
    cpu_s = json.loads((folder / "cpu.json").read_text())
    nats = np.array(kl)
    mean, error = float(nats.mean()), float(nats.std(ddof=1)) / len(nats) ** 0.5
    half = NormalDist().inv_cdf(0.975) * error
    divergence = Estimate(mean, mean - half, mean + half, "normal", len(nats))
    return Measured(mean_of(scores), divergence, cpu_s)


def _divergence(policy: Any, start: Any, prompt: Sequence[int], written: Sequence[int]) -> float:
    """log pi - log pi_start of one response that pi sampled: an unbiased estimate of the KL."""
    ids = torch.tensor([[*prompt, *written]])
    on = torch.zeros(1, ids.shape[1] - 1, dtype=torch.bool)
    on[:, len(prompt) - 1 :] = True
    mine, theirs = (
        token_logps(one, ids, torch.ones_like(ids), on, 1.0)[0].sum() for one in (policy, start)
    )
    return float(mine - theirs)


def _said(estimate: Estimate, digits: int) -> str:
    low, high = (f"{one:.{digits}f}" for one in (estimate.low, estimate.high))
    return f"{estimate.estimate:.{digits}f} ({low}-{high})"


if __name__ == "__main__":
    main()
