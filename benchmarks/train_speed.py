"""Tokens a second and peak memory of each trainer against stock TRL with its defaults.

    OMP_NUM_THREADS=1 python benchmarks/train_speed.py WORK                 # the tiny model, CPU
    python benchmarks/train_speed.py WORK --shape 0.5b --shape 1.5b         # random weights, CUDA

The same model, rows, batch size, learning rate and number of epochs. Each run is a process of its
own, ours and theirs in turn, and goes from rows in a file to a saved model. What counts is CPU
seconds on a CPU and seconds by the clock on a GPU; tokens are those of prompts and responses,
without padding. On a CPU bfloat16 and gradient checkpointing, which TRL switches on by itself, are
off for both; on a GPU both keep their defaults.
"""

import argparse
import json
import multiprocessing
import random
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoTokenizer, PrinterCallback, Qwen2Config, Qwen2ForCausalLM
from trl import (
    DPOConfig,
    DPOTrainer,
    KTOConfig,
    KTOTrainer,
    RewardConfig,
    RewardTrainer,
    SFTConfig,
    SFTTrainer,
)

from pipelines.sandbox.grammar import draw_reply
from pipelines.sandbox.scoring import true_preference
from pipelines.sandbox.tiny_model import make_tokenizer
from pipelines.sandbox.world_prompts import draw_prompts
from pipelines.train.run import prepare, quiet_libraries, train
from pipelines.train.run_folder import RunFolder
from pipelines.train.settings import TrainSettings

TINY = Path(__file__).parents[1] / "data" / "helpdesk" / "model"
METHODS = ("sft", "reward", "dpo", "kto", "orpo")
RATE = 1e-5
# Widths of Qwen2.5: hidden, layers, heads, key-value heads, inner.
SHAPES = {"0.5b": (896, 24, 14, 2, 4864), "1.5b": (1536, 28, 12, 2, 8960)}
# bfloat16 without sparsity, from the vendor's data sheets.
PEAK_FLOPS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12}


@dataclass(frozen=True)
class World:
    """What is trained on what."""

    name: str
    model: Path
    data: Path
    max_length: int
    batch_size: int
    device: str


@dataclass(frozen=True)
class Run:
    """One run."""

    seconds: float
    peak_bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--shape", action="append", choices=["tiny", *SHAPES])
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    print("| model | trainer | of | tokens/s | times | peak MB | MFU |")
    print("|---|---|---|---|---|---|---|")
    for shape in given.shape or ["tiny"]:
        world = _tiny(given.work, given.pairs) if shape == "tiny" else _large(given, shape)
        for method in METHODS:
            for line in _rows(world, method, given.work, given.repeats):
                print(line, flush=True)


def _rows(world: World, method: str, work: Path, repeats: int) -> Iterator[str]:
    runs: dict[str, list[Run]] = {"this project": [], "stock TRL": []}
    for number in range(repeats):
        for who, found in runs.items():
            found.append(_run(world, method, who, work / f"{world.name}-{method}-{number}"))
    n_tokens = tokens_of(world, method)
    rate = {who: n_tokens / median(run.seconds for run in found) for who, found in runs.items()}
    for who, found in runs.items():
        peak = median(run.peak_bytes for run in found) / 2**20
        used = _utilisation(world, method, rate[who])
        mfu = f"{used:.1%}" if used is not None else "-"
        times = f"{rate[who] / rate['stock TRL']:.2f}"
        figures = f"{rate[who]:,.0f} | {times} | {peak:,.0f} | {mfu}"
        yield f"| {world.name} | {method} | {who} | {figures} |"


def _run(world: World, method: str, who: str, folder: Path) -> Run:
    """In a process of its own: forked on a CPU, so that libraries are loaded once."""
    place = folder / who.replace(" ", "-")
    if (place / "run.json.seconds").exists():
        return Run(**json.loads((place / "run.json.seconds").read_text()))
    context = multiprocessing.get_context("fork" if world.device == "cpu" else "spawn")
    process = context.Process(target=_measured, args=(world, method, who, place))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{who}, {method}: ended with {process.exitcode}")
    return Run(**json.loads((place / "run.json.seconds").read_text()))


def _measured(world: World, method: str, who: str, place: Path) -> None:
    torch.set_num_threads(1 if world.device == "cpu" else 8)
    work: Callable[[], None]
    if who == "this project":

        def work() -> None:
            _ours(world, method, place)
    else:

        def work() -> None:
            _stock(world, method, place)

    cpu = world.device == "cpu"
    clock = time.process_time if cpu else time.perf_counter
    began = clock()
    with quiet_libraries():
        work()
    if not cpu:
        torch.cuda.synchronize()
    seconds = clock() - began
    peak = (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if cpu
        else torch.cuda.max_memory_allocated()
    )
    place.mkdir(parents=True, exist_ok=True)
    (place / "run.json.seconds").write_text(json.dumps(asdict(Run(seconds, peak))))


def _ours(world: World, method: str, place: Path) -> None:
    section = {"learning_rate": RATE, "batch_size": world.batch_size, "epochs": 1.0}
    settings = TrainSettings.model_validate(
        {
            "model": str(world.model), "max_length": world.max_length, "device": world.device,
            "save_every": 100_000, "tensorboard": False, "warmup_share": 0.0,
            "labels": "hard" if method == "orpo" else "soft",
            "gradient_checkpointing": world.device != "cpu", method: section,
        }
    )  # fmt: skip
    train(prepare(method, settings, place, world.data), RunFolder(place))


def _stock(world: World, method: str, place: Path) -> None:
    cpu = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False}
    arguments = {
        "output_dir": str(place), "learning_rate": RATE, "num_train_epochs": 1,
        "per_device_train_batch_size": world.batch_size, "max_length": world.max_length,
        "save_strategy": "no", "report_to": "none", "disable_tqdm": True,
        **(cpu if world.device == "cpu" else {}),
    }  # fmt: skip
    rows = [json.loads(line) for line in world.data.read_text().splitlines()]
    pairs = [
        {
            "prompt": [{"role": "user", "content": row["prompt"]}],
            "chosen": [{"role": "assistant", "content": row["chosen"]}],
            "rejected": [{"role": "assistant", "content": row["rejected"]}],
        }
        for row in rows
    ]
    single = [
        {"prompt": row["prompt"], "completion": row[side], "label": side == "chosen"}
        for row in pairs
        for side in ("chosen", "rejected")
    ]
    tokenizer = AutoTokenizer.from_pretrained(world.model)
    config: Any
    trainer: Any
    match method:
        case "sft":
            config, trainer = SFTConfig, SFTTrainer
            data = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in pairs]
        case "reward":
            config, trainer, data = RewardConfig, RewardTrainer, pairs
        case "dpo":
            config, trainer, data = DPOConfig, DPOTrainer, pairs
        case "kto":
            config, trainer, data = KTOConfig, KTOTrainer, single
        case _:
            from trl.experimental.orpo import ORPOConfig, ORPOTrainer

            config, trainer, data = ORPOConfig, ORPOTrainer, pairs
    theirs = trainer(
        model=str(world.model), args=config(**arguments), processing_class=tokenizer,
        train_dataset=Dataset.from_list(data),
    )  # fmt: skip
    theirs.remove_callback(PrinterCallback)  # it would print into the table
    theirs.train()
    theirs.save_model(str(place / "model"))


def tokens_of(world: World, method: str) -> int:
    """Tokens of one epoch, without padding."""
    tokenizer = AutoTokenizer.from_pretrained(world.model)
    sides = ("chosen",) if method == "sft" else ("chosen", "rejected")
    return sum(
        len(
            tokenizer.apply_chat_template(
                [
                    {"role": "user", "content": row["prompt"]},
                    {"role": "assistant", "content": row[side]},
                ],
                return_dict=False,
            )
        )
        for row in map(json.loads, world.data.read_text().splitlines())
        for side in sides
    )


def _utilisation(world: World, method: str, tokens_per_s: float) -> float | None:
    """Model FLOP utilisation: 6 N a token for forward and backward, attention beside it (Chowdhery
    et al. 2022, appendix B), 2 N more where a reference reads it too; recomputation does not count.
    """
    if world.device == "cpu":
        return None
    name = torch.cuda.get_device_name()
    peak = next((flops for kind, flops in PEAK_FLOPS.items() if kind in name), None)
    if peak is None:
        return None
    config = Qwen2Config.from_pretrained(world.model)
    with torch.device("meta"):
        n = sum(one.numel() for one in Qwen2ForCausalLM(config).parameters())
    attention = 12 * config.num_hidden_layers * config.hidden_size * world.max_length
    passes = 8 / 6 if method in ("dpo", "kto") else 1.0
    return tokens_per_s * passes * (6 * n + attention) / peak


def _tiny(work: Path, n_pairs: int) -> World:
    rng = random.Random(0)
    rows: list[dict[str, str]] = []
    for situation in draw_prompts(3 * n_pairs, 0):
        one, two = draw_reply(situation, rng, 0.6), draw_reply(situation, rng, 0.6)
        label = true_preference(situation, one, two)
        if label != "tie" and len(rows) < n_pairs:
            chosen, rejected = (one, two) if label == "A" else (two, one)
            rows.append({"prompt": situation.text, "chosen": chosen, "rejected": rejected})
    return World("tiny, 0.35M", TINY, _written(work / "tiny.jsonl", rows), 128, 32, "cpu")


def _large(given: argparse.Namespace, shape: str) -> World:
    """Random weights of this shape, and pairs of 1,024 tokens of random words."""
    if not torch.cuda.is_available():
        raise SystemExit(f"--shape {shape} needs a CUDA GPU, and torch sees none")
    folder = given.work / shape
    if not (folder / "config.json").exists():
        hidden, layers, heads, shared, inner = SHAPES[shape]
        config = Qwen2Config(
            hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
            num_key_value_heads=shared, intermediate_size=inner, vocab_size=151_936,
            tie_word_embeddings=True,
        )  # fmt: skip
        torch.manual_seed(0)
        Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
        tokenizer = make_tokenizer()
        tokenizer.model_max_length = 4096
        tokenizer.save_pretrained(folder)
    rng = random.Random(0)
    words = [word for word in sorted(make_tokenizer().get_vocab()) if word.isalpha()]

    def text(n: int) -> str:
        return " ".join(rng.choice(words) for _ in range(n))

    # With the template's own tokens, which are few, a conversation stays under 1,024.
    rows = [
        {"prompt": text(500), "chosen": text(510), "rejected": text(510)}
        for _ in range(given.pairs)
    ]
    return World(shape, folder, _written(given.work / "long.jsonl", rows), 1024, 8, "cuda")


def _written(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
