"""PPO against that of TRL 1.12, the last with PPO: reward at equal rollouts and KL, and CPU time.

    python -m venv V && V/bin/pip install 'trl==1.12.*' 'torch>=2.10,<2.14'
    OMP_NUM_THREADS=1 python benchmarks/ppo_speed.py WORK REWARD_MODEL V/bin/python [--seeds 3]

The same model, reward model, prompts, rollouts, rates and clips, a fixed price of divergence, and
four updates a step: two passes over two minibatches, or one pass over four, which uses each
response once. Policies compare only at the same divergence, so there are several prices, and
between them the reward at one nat is interpolated, linear in the square root of the divergence.
REWARD_MODEL is a folder, such as the one that `learning.py` leaves. CPU seconds are those of
training, without imports and loading, in a process of its own for each run. Finished runs stay in
WORK, so the same command goes on where it stopped.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import torch
from scipy import stats
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from pipelines.models.local_model import quiet_loading
from pipelines.models.sampling import sample_ids
from pipelines.records import Message
from pipelines.sandbox.tiny_model import encode_prompt
from pipelines.sandbox.world_prompts import draw_prompts
from pipelines.train.online import train_online
from pipelines.train.online_setup import prepare_online
from pipelines.train.ppo import token_logps
from pipelines.train.reward import rewards
from pipelines.train.run_folder import RunFolder
from pipelines.train.settings import TrainSettings

MODEL = Path(__file__).parents[1] / "data" / "helpdesk" / "model"
N_PROMPTS, N_HELD_OUT, FIRST_SEED = 800, 600, 5
PRICES = (0.01, 0.03, 0.1)
# About as in data/helpdesk/training.toml, with a price of divergence that does not move and, since
# TRL has but one, the policy's rate for the critic too.
PPO = {
    "learning_rate": 3e-4, "value_learning_rate": 3e-4, "steps": 50, "batch_size": 64,
    "max_new_tokens": 60, "target_kl": 0.0,
}  # fmt: skip
OURS, THEIRS = "this project", "TRL 1.12"
PASSES: dict[int, dict[str, int]] = {
    2: {"passes": 2, "minibatches": 2},
    1: {"passes": 1, "minibatches": 4},
}
WHO = tuple((who, passes) for passes in PASSES for who in (OURS, THEIRS))


@dataclass(frozen=True)
class Run:
    """One run of training."""

    who: str
    passes: int
    price: float
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.who.replace(' ', '-')}-{self.passes}-{self.price}-{self.seed}"


@dataclass(frozen=True)
class Measured:
    """One policy on held-out prompts, sampled at temperature 1; means over responses."""

    reward: float
    kl: float  # nats
    cpu_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("reward_model", type=Path)
    parser.add_argument("trl_python", nargs="?")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--one", help="train this run of ours, and nothing else", metavar="JSON")
    given = parser.parse_args()
    torch.set_num_threads(1)
    work, reward_model = given.work, given.reward_model.resolve()
    work.mkdir(parents=True, exist_ok=True)
    if given.one is not None:
        _train_ours(work, reward_model, Run(**json.loads(given.one)))
        return
    found: dict[Run, Measured] = {}
    for seed in range(FIRST_SEED, FIRST_SEED + given.seeds):
        for price in PRICES:  # one after the other, so that all meet the same load
            for who, passes in WHO:
                run = Run(who, passes, price, seed)
                if not (work / run.name / "cpu.json").exists():
                    shutil.rmtree(work / run.name, ignore_errors=True)  # a part says no time
                    if who == THEIRS:
                        _train_theirs(work, reward_model, run, given.trl_python)
                    else:
                        one = ["--one", json.dumps(asdict(run))]
                        command = [__file__, str(work), str(reward_model), *one]
                        subprocess.run([sys.executable, *command], check=True)
                if not (work / run.name / "measured.json").exists():
                    _measure(work / run.name, reward_model, seed)
                said = json.loads((work / run.name / "measured.json").read_text())
                found[run] = Measured(**said)
    _print(found, given.seeds)


def _print(found: dict[Run, Measured], n_seeds: int) -> None:
    seeds = range(FIRST_SEED, FIRST_SEED + n_seeds)
    print("| price of KL | PPO of | passes | reward sigma(RM) | KL, nats | CPU s | times |")
    print("|---:|---|---:|---:|---:|---:|---:|")
    for price in PRICES:
        for who, passes in WHO:
            these = [found[Run(who, passes, price, seed)] for seed in seeds]
            slow = [found[Run(THEIRS, 2, price, seed)].cpu_s for seed in seeds]
            times = median(a / one.cpu_s for a, one in zip(slow, these, strict=True))
            reward, kl = [one.reward for one in these], [one.kl for one in these]
            print(
                f"| {price:g} | {who} | {passes} | {_range(reward, 3)} | {_range(kl, 2)} "
                f"| {mean(one.cpu_s for one in these):.0f} | {times:.2f} |"
            )
    print(f"\n(Means of {n_seeds} seeds with their range; {N_HELD_OUT} held-out prompts a seed; "
          f"{PPO['steps']} x {PPO['batch_size']} rollouts.)\n")  # fmt: skip
    for passes in PASSES:
        ours, theirs = (
            np.array([_at_one_nat([found[Run(who, passes, price, seed)] for price in PRICES])
                      for seed in seeds]) for who in (OURS, THEIRS)
        )  # fmt: skip
        gains = ours - theirs
        half = stats.t.ppf(0.975, n_seeds - 1) * gains.std(ddof=1) / n_seeds**0.5
        print(
            f"Reward at one nat, {passes} passes: ours {ours.mean():.3f}, TRL's {theirs.mean():.3f}"
            f", paired by seed {gains.mean():+.3f} "
            f"({gains.mean() - half:+.3f} to {gains.mean() + half:+.3f}, {n_seeds} seeds)."
        )


def _range(values: Sequence[float], digits: int) -> str:
    low, middle, high = (f"{x:.{digits}f}" for x in (min(values), mean(values), max(values)))
    return f"{middle} ({low}-{high})"


def _at_one_nat(runs: Sequence[Measured]) -> float:
    """Between the prices next to it, or NaN; reward grows about as the root of the divergence."""
    ordered = sorted(runs, key=lambda one: one.kl)
    roots = [max(one.kl, 0.0) ** 0.5 for one in ordered]
    return float(np.interp(1.0, roots, [one.reward for one in ordered], np.nan, np.nan))


def _settings(run: Run, reward_model: Path) -> TrainSettings:
    section = PPO | PASSES[run.passes]
    section |= {"reward_model": str(reward_model), "beta": run.price}
    return TrainSettings.model_validate(
        {
            "model": str(MODEL), "max_length": 128, "warmup_share": 0.05, "tensorboard": False,
            "device": "cpu", "save_every": 1000, "seed": run.seed, "ppo": section,
        }
    )  # fmt: skip


def _train_ours(work: Path, reward_model: Path, run: Run) -> None:
    data = work / f"prompts-{run.seed}.jsonl"
    lines = [json.dumps({"prompt": one.text}) for one in draw_prompts(N_PROMPTS, run.seed)]
    data.write_text("\n".join(lines) + "\n")
    prepared = prepare_online("ppo", _settings(run, reward_model), work, data)
    folder = RunFolder(work / run.name)
    began = time.process_time()
    train_online(prepared, folder)
    cpu_s = time.process_time() - began
    (folder.path / "cpu.json").write_text(json.dumps(cpu_s))


def _train_theirs(work: Path, reward_model: Path, run: Run, python: str | None) -> None:
    if python is None:
        sys.exit("name the Python of an environment with TRL 1.12 as the third argument")
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    settings = _settings(run, reward_model)
    prompts = draw_prompts(N_PROMPTS, run.seed)
    said = settings.ppo.model_dump() | {
        "model": str(MODEL), "reward_model": str(reward_model), "seed": run.seed,
        "max_grad_norm": settings.max_grad_norm,
        "warmup_steps": round(settings.warmup_share * settings.ppo.steps),
        "prompts": [encode_prompt(tokenizer, one.text) for one in prompts],
        "out": str(work / run.name / "model"),
    }  # fmt: skip
    (work / run.name).mkdir(exist_ok=True)
    path = work / run.name / "asked.json"
    path.write_text(json.dumps(said))
    script = Path(__file__).with_name("ppo_speed_trl.py")
    subprocess.run([python, str(script), str(path)], check=True)


@torch.no_grad()
def _measure(folder: Path, reward_model: Path, seed: int) -> None:
    with quiet_loading():
        policy, start = (
            AutoModelForCausalLM.from_pretrained(one).eval() for one in (folder / "model", MODEL)
        )
        judge = AutoModelForSequenceClassification.from_pretrained(reward_model)
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    situations = draw_prompts(N_HELD_OUT, seed, "held-out")
    prompts = [encode_prompt(tokenizer, one.text) for one in situations]
    written = sample_ids(
        policy, prompts, torch.Generator().manual_seed(seed), pad_id=tokenizer.pad_token_id,
        end_ids=(tokenizer.eos_token_id,), max_new_tokens=int(PPO["max_new_tokens"]),
    )  # fmt: skip
    texts = tokenizer.batch_decode(written, skip_special_tokens=True)
    turns = [((Message(role="user", content=one.text),), text)
             for one, text in zip(situations, texts, strict=True)]  # fmt: skip
    scores = 1.0 / (1.0 + np.exp(-np.array(rewards(judge, tokenizer, turns, 128))))
    kl = [_divergence(policy, start, p, w) for p, w in zip(prompts, written, strict=True)]
    cpu_s = json.loads((folder / "cpu.json").read_text())
    said = Measured(float(scores.mean()), float(np.mean(kl)), cpu_s)
    (folder / "measured.json").write_text(json.dumps(asdict(said)))


def _divergence(policy: Any, start: Any, prompt: Sequence[int], written: Sequence[int]) -> float:
    """log pi - log pi_start of one response that pi sampled: an unbiased estimate of the KL."""
    ids = torch.tensor([[*prompt, *written]])
    on = torch.zeros(1, ids.shape[1] - 1, dtype=torch.bool)
    on[:, len(prompt) - 1 :] = True
    mine, theirs = (token_logps(one, ids, on, 1.0)[0].sum() for one in (policy, start))
    return float(mine - theirs)


if __name__ == "__main__":
    main()
