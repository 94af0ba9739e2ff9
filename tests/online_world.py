"""A model of a few thousand weights, prompts and rewards for tests of online training."""

import json
import os
import signal
from pathlib import Path

from pipelines.sandbox.tiny_model import Shape, make_tokenizer, new_model, save
from pipelines.sandbox.world_prompts import draw_prompts, prompt_row
from pipelines.train.online import train_online
from pipelines.train.online_setup import prepare_online
from pipelines.train.rl_trl import train_groups
from pipelines.train.run_folder import RunFolder
from pipelines.train.settings import TrainSettings

STEPS, KILLED_AT = 5, 3  # checkpoints at 2 and 4


def build(folder: Path) -> None:
    """Model and prompts."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer()
    save(new_model(len(tokenizer), Shape(16, 1, 32, 2), 0), tokenizer, folder / "start")
    rows = [prompt_row(one) for one in draw_prompts(20, 0)]
    held_out = [prompt_row(one) | {"split": "test"} for one in draw_prompts(8, 0, "held-out")]
    lines = [json.dumps({"prompt": row["prompt"]}) for row in rows]
    (folder / "prompts").mkdir()
    (folder / "prompts" / "train.jsonl").write_text("\n".join(lines) + "\n")
    lines = [json.dumps({"prompt": row["prompt"]}) for row in held_out]
    (folder / "prompts" / "test.jsonl").write_text("\n".join(lines) + "\n")


def settings(method: str, lora: bool = False, **section: object) -> TrainSettings:
    """Small and quick; `section` goes to the method's own settings."""
    name = "ppo" if method == "a2c" else method
    small = {
        "learning_rate": 1e-3, "batch_size": 8, "steps": STEPS, "max_new_tokens": 8, "passes": 2,
        "constitution": "pipelines.sandbox.rewards:rules", "shaping": 1.0,
        "unfinished_penalty": 0.1,
    }  # fmt: skip
    shared = {"model": "start", "max_length": 64, "save_every": 2, "tensorboard": False}
    adapter = {"use": lora, "rank": 2}
    return TrainSettings.model_validate(
        {**shared, "device": "cpu", "lora": adapter, name: small | section}
    )


def run(
    folder: Path, method: str, name: str, on_progress=None, *, data: str = "prompts",
    **options: object,
) -> RunFolder:  # fmt: skip
    """Train, to the end if nothing kills it."""
    prepared = prepare_online(method, settings(method, **options), folder, folder / data)
    place = RunFolder(folder / "runs" / name)
    trains = train_groups if method in ("rloo", "grpo") else train_online
    trains(prepared, place, on_progress or (lambda step, n_steps: None))
    return place


def kill_at_three_of_five(step: int, n_steps: int) -> None:
    """Progress that ends its process."""
    if step * STEPS >= KILLED_AT * n_steps:
        os.kill(os.getpid(), signal.SIGKILL)
