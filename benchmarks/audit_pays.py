"""Does auditing pay? The sandbox's truth says whether a policy trained on audited labels is better.

    OMP_NUM_THREADS=1 python benchmarks/audit_pays.py run [--seeds 10] [--part 0/2] [--out FILE]
                                                          [--judges position] [--hard] [--beta 0.1]
    python benchmarks/audit_pays.py table [--out FILE]

A cell is a judge, a treatment of its labels, a share of audited pairs and a seed. A seed draws the
prompts, the tiny model's candidates, the judge's noise, the audit and the order of training. Each
cell trains a DPO policy and a reward model with the workbench's own trainers and counts by the
sandbox's rules: the true win rate of the policy over the model that it started from, on held-out
prompts, and the reward model's accuracy on held-out pairs. Every finished cell is a line of FILE,
so that the same command goes on where it stopped; parts share one file.

People label the truth with 3% of slips. Settings of training were chosen on other prompts.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from scipy import stats
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from pipelines.errors import Undefined
from pipelines.preferences.audited import Audited
from pipelines.preferences.correction import learn_correction
from pipelines.preferences.recalibrate import recalibrate
from pipelines.records import Judgment, Message, Order, PreferencePair
from pipelines.sandbox.judges import Judge, p_a
from pipelines.sandbox.tiny_model_sampling import sample_replies
from pipelines.sandbox.traits import JudgeTraits
from pipelines.sandbox.world import Situation, truth
from pipelines.sandbox.world_outcomes import true_win_rate
from pipelines.sandbox.world_prompts import draw_prompts
from pipelines.train.reward import rewards
from pipelines.train.run import prepare, train
from pipelines.train.run_folder import RunFolder
from pipelines.train.settings import DpoSettings, RewardSettings, TrainSettings
from workbench.data_files import data_dir

BOTH: tuple[Order, ...] = ("ab", "ba")
# A judge and the orders in which it is asked; both orders would average position bias away.
JUDGES: dict[str, tuple[JudgeTraits, tuple[Order, ...]]] = {
    "random": (JudgeTraits(accuracy=0.75, confidence_slope=1.5), BOTH),
    "position": (JudgeTraits(accuracy=0.85, position_bias=40, confidence_slope=1.5), ("ab",)),
    "blind": (JudgeTraits(accuracy=0.85, weights={"private": 0.0}, confidence_slope=1.5), BOTH),
    "inverted": (JudgeTraits(accuracy=0.85, weights={"private": -1.0}, confidence_slope=1.5), BOTH),
}
SLIPS = 0.03
N_PROMPTS, N_CANDIDATES, PAIRS_A_PROMPT = 800, 4, 2
N_HELD_OUT, SAMPLES = 300, 2
SURE = 0.97  # of a label that nobody doubts: DPO on certainty runs away
DPO = DpoSettings(learning_rate=5e-4, epochs=2.0, batch_size=32, beta=0.3, sft_weight=1.0)
REWARD = RewardSettings(learning_rate=1e-3, epochs=3.0, batch_size=32, centring=0.0)


@dataclass(frozen=True, order=True)
class Cell:
    """One trained policy."""

    seed: int
    judge: str
    treatment: str
    share: float


@dataclass(frozen=True)
class World:
    """What a seed draws: pairs of replies, the truth about them, what people would say."""

    situations: list[Situation]
    pairs: list[tuple[str, str]]
    prompt: np.ndarray  # (n_pairs,) number of its message
    true: np.ndarray  # (n_pairs,) 1 where A is better, 0 where B is, 1/2
    human: np.ndarray  # (n_pairs,) the same with slips


def cells(n_seeds: int) -> Iterator[Cell]:
    """All cells, a seed after the other, so that a stop leaves whole seeds."""
    for seed in range(n_seeds):
        yield Cell(seed, "none", "true", 1.0)
        for share in (0.05, 0.1):
            yield Cell(seed, "none", "human only", share)
        for judge in JUDGES:
            yield Cell(seed, judge, "raw", 0.0)
            for share in (0.05, 0.1):
                for treatment in ("calibrated", "corrected"):
                    yield Cell(seed, judge, treatment, share)


def make_world(seed: int, model: Any, tokenizer: Any) -> World:
    """Candidates of the tiny model, paired."""
    drawn = draw_prompts(N_PROMPTS, seed=1000 + seed)
    asked = [one for one in drawn for _ in range(N_CANDIDATES)]
    replies = sample_replies(model, tokenizer, [one.text for one in asked], seed=seed)
    situations, pairs, prompt = [], [], []
    for number, one in enumerate(drawn):
        four = replies[N_CANDIDATES * number : N_CANDIDATES * (number + 1)]
        for a, b in list(zip(four[::2], four[1::2], strict=True))[:PAIRS_A_PROMPT]:
            if a != b:
                situations.append(one)
                pairs.append((a, b))
                prompt.append(number)
    gap = [truth(s, a) - truth(s, b) for s, (a, b) in zip(situations, pairs, strict=True)]
    true = (np.sign(gap) + 1.0) / 2.0
    slips = np.random.default_rng([seed, 1]).random(len(true)) < SLIPS
    return World(situations, pairs, np.array(prompt), true, np.where(slips, 1.0 - true, true))


def labels(cell: Cell, world: World) -> tuple[np.ndarray, np.ndarray, str]:
    """Soft labels of the pairs that are trained on, their rows, and what was applied."""
    every = np.arange(len(world.true))
    if cell.treatment == "true":
        return world.true, every, ""
    rng = np.random.default_rng([cell.seed, 2])
    audited = np.sort(rng.permutation(len(every))[: round(cell.share * len(every))])
    if cell.treatment == "human only":
        return world.human[audited], audited, ""
    traits, orders = JUDGES[cell.judge]
    judge = Judge(traits, f"simulated-{cell.judge}", cell.seed)
    said = [
        PreferencePair(
            prompt=one.text, response_a=a, response_b=b,
            ai=tuple(
                Judgment(judge=judge.name, order=order, p_a=p_a(judge, one, a, b, order))
                for order in orders
            ),
        )
        for one, (a, b) in zip(world.situations, world.pairs, strict=True)
    ]  # fmt: skip
    raw = np.array([np.mean([judgment.p_a for judgment in pair.ai]) for pair in said])
    if cell.treatment == "raw":
        return raw, every, ""
    people = Audited(
        audited, world.human[audited], np.ones(len(audited)),
        np.zeros(len(audited), dtype=np.bool_), world.prompt[audited],
    )  # fmt: skip
    soft, applied = raw, "no"
    chance = np.random.default_rng([cell.seed, 3])
    try:
        if cell.treatment == "calibrated":
            made = recalibrate(raw[audited], people, chance)
            if made.applied:
                soft, applied = made.map.p_a(raw), "yes"
        else:
            found = learn_correction([said[i] for i in audited], raw[audited], people, chance)
            if found.applied:
                soft, applied = found.model.p_a(said, raw), "yes"
    except Undefined as error:
        applied = f"undefined: {error}"
    soft = soft.copy()
    soft[audited] = world.human[audited]  # people's labels override
    return soft, every, applied


def run_cell(
    cell: Cell, world: World, base: "Base", hard: bool, dpo: DpoSettings
) -> dict[str, Any]:
    """Train on a cell's labels, or on the likelier side of each, and count by the truth."""
    began = time.process_time()
    soft, rows, applied = labels(cell, world)
    if hard:
        soft = (np.sign(soft - 0.5) + 1.0) / 2.0
    decisive = world.true[rows] != 0.5
    accuracy = float((((soft > 0.5) == (world.true[rows] > 0.5)) & (soft != 0.5))[decisive].mean())
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        data = place / "rows.jsonl"
        with data.open("w", encoding="utf-8") as file:
            for p, row in zip(np.clip(soft, 1.0 - SURE, SURE), rows, strict=True):
                a, b = world.pairs[row]
                texts = {"chosen": a, "rejected": b, "p_chosen": float(p)}
                file.write(json.dumps({"prompt": world.situations[row].text, **texts}) + "\n")
        # Few rows are seen as often in all as many.
        rounds = max(1.0, min(4.0, len(world.true) / len(rows) / 3.0))
        settings = TrainSettings(
            model=str(base.folder), max_length=128, seed=cell.seed, device="cpu", tensorboard=False,
            save_every=100_000, warmup_share=0.1,
            dpo=dpo.model_copy(update={"epochs": dpo.epochs * rounds}),
            reward=REWARD.model_copy(update={"epochs": REWARD.epochs * rounds}),
        )  # fmt: skip
        outcome: dict[str, Any] = {}
        for method in ("dpo", "reward"):
            run = RunFolder(place / method)
            train(prepare(method, settings, place, data), run)
            if method == "dpo":
                outcome |= base.win_rate(run.model, cell.seed)
            else:
                outcome["rm_accuracy"] = base.reward_accuracy(run.model)
    return {
        **asdict(cell), **outcome, "label_accuracy": round(accuracy, 4), "applied": applied,
        "cpu_s": round(time.process_time() - began, 1),
    }  # fmt: skip


class Base:
    """The model that every policy starts from, and its answers to held-out prompts."""

    def __init__(self) -> None:
        self.folder = data_dir() / "helpdesk" / "model"
        self.tokenizer = AutoTokenizer.from_pretrained(self.folder)
        self.model = AutoModelForCausalLM.from_pretrained(self.folder)
        self.held_out = draw_prompts(N_HELD_OUT, seed=77, split="held-out")
        self.asked = [one for one in self.held_out for _ in range(SAMPLES)]
        texts = [one.text for one in self.asked]
        self.replies = sample_replies(self.model, self.tokenizer, texts, seed=500)
        self.others = sample_replies(self.model, self.tokenizer, texts, seed=501)

    def win_rate(self, folder: Path, seed: int) -> dict[str, float]:
        """Of a policy over this model, by the truth, ties half."""
        policy = AutoModelForCausalLM.from_pretrained(folder)
        texts = [one.text for one in self.asked]
        mine = sample_replies(policy, self.tokenizer, texts, seed=900 + seed)
        found = true_win_rate(self.asked, mine, self.replies)
        return {"win_rate": found.estimate, "low": found.low, "high": found.high}

    def reward_accuracy(self, folder: Path) -> float:
        """Of a reward model on held-out pairs of this model's answers that do not tie."""
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)
        scores = []
        for replies in (self.replies, self.others):
            rows = [
                ((Message(role="user", content=s.text),), reply)
                for s, reply in zip(self.asked, replies, strict=True)
            ]
            scores.append(np.array(rewards(model, self.tokenizer, rows, 128)))
        gap = np.array(
            [
                truth(s, a) - truth(s, b)
                for s, a, b in zip(self.asked, self.replies, self.others, strict=True)
            ]
        )
        right = (scores[0] > scores[1]) == (gap > 0)
        return float(right[gap != 0].mean())


def run(options: argparse.Namespace) -> None:
    """All cells of this part that are not in the file yet."""
    torch.set_num_threads(1)
    done = {key(row) for row in read(options.out)}
    part, parts = (int(number) for number in options.part.split("/"))
    todo = [c for c in cells(options.seeds) if key(asdict(c)) not in done]
    judges = options.judges.split(",") if options.judges else ["none", *JUDGES]
    mine = [cell for cell in todo if cell.seed % parts == part and cell.judge in judges]
    print(f"{len(done)} cells are done, {len(mine)} to do here", flush=True)
    base, dpo = Base(), DPO.model_copy(update={"beta": options.beta})
    worlds: dict[int, World] = {}
    for cell in mine:
        if cell.seed not in worlds:
            worlds = {cell.seed: make_world(cell.seed, base.model, base.tokenizer)}
        row = run_cell(cell, worlds[cell.seed], base, options.hard, dpo)
        with options.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


def table(options: argparse.Namespace) -> None:
    """Markdown: means over seeds, and the paired difference to the same judge's raw labels."""
    rows = read(options.out)
    by_key = {key(row): row for row in rows}
    kinds = sorted({(r["judge"], r["treatment"], r["share"]) for r in rows}, key=_order)
    print("| judge | labels | audited | seeds | label accuracy | RM accuracy | true win rate | "
          "gain over raw, paired |")  # fmt: skip
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for judge, treatment, share in kinds:
        these = [
            r for r in rows if (r["judge"], r["treatment"], r["share"]) == (judge, treatment, share)
        ]
        raw = [by_key.get((r["seed"], judge, "raw", 0.0)) for r in these]
        gains = [
            r["win_rate"] - other["win_rate"] for r, other in zip(these, raw, strict=True) if other
        ]
        gain = interval(gains, sign=True) if treatment not in ("raw", "true", "human only") else "-"
        print(
            f"| {judge} | {treatment} | {share:.0%} | {len(these)} | "
            f"{np.mean([r['label_accuracy'] for r in these]):.3f} | "
            f"{np.mean([r['rm_accuracy'] for r in these]):.3f} | "
            f"{interval([r['win_rate'] for r in these])} | {gain} |"
        )


def interval(values: Sequence[float], sign: bool = False) -> str:
    """Mean and 95% t-interval over seeds."""
    form = "+.3f" if sign else ".3f"
    mean = float(np.mean(values)) if values else float("nan")
    if len(values) < 2:
        return f"{mean:{form}} (n = {len(values)}, no interval)"
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return f"{mean:{form}} [{mean - half:{form}}, {mean + half:{form}}]"


def key(row: dict[str, Any]) -> tuple[int, str, str, float]:
    """What tells cells apart."""
    return row["seed"], row["judge"], row["treatment"], row["share"]


def read(path: Path) -> list[dict[str, Any]]:
    """The finished cells; a torn last line is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def _order(kind: tuple[str, str, float]) -> tuple[int, str, float]:
    judges = ["none", *JUDGES]
    return judges.index(kind[0]), {"raw": "0", "true": "0"}.get(kind[1], kind[1]), kind[2]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("do", choices=("run", "table"))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--part", default="0/1", help="this process's share of the seeds, as 0/2")
    parser.add_argument("--judges", default="", help="these alone, as position,random")
    parser.add_argument("--hard", action="store_true", help="hard labels; takes a FILE of its own")
    parser.add_argument("--beta", type=float, default=DPO.beta, help="of DPO; a FILE of its own")
    parser.add_argument("--out", type=Path, default=Path("audit_pays.jsonl"))
    options = parser.parse_args()
    (run if options.do == "run" else table)(options)


if __name__ == "__main__":
    main()
