"""What the trainers are tried on: a tiny random model, and pairs of a help desk."""

import gc
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.records import Message
from pipelines.sandbox.grammar import draw_reply
from pipelines.sandbox.scoring import true_preference
from pipelines.sandbox.tiny_model import Shape, make_tokenizer, new_model
from pipelines.sandbox.world_prompts import draw_prompts
from pipelines.train.rows import PreferenceRow

SMALL = Shape(hidden=32, layers=2, mlp=64, heads=2)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # a model this small is many times slower with two
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", autouse=True)
def _short_collections():
    """Every training ends with a garbage collection; after a thousand tests one takes a second."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of 40 thousand weights and its tokenizer, as `from_pretrained` loads them."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    tokenizer = make_tokenizer()
    new_model(len(tokenizer), SMALL, seed=1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def pair_rows(n: int, split: str = "train", **same: Any) -> list[dict[str, Any]]:
    """Rows as `workbench export trl` writes them: soft labels, weights, who decided."""
    rng = random.Random(f"rows {split}")
    half = "train" if split == "train" else "held-out"
    rows: list[dict[str, Any]] = []
    for situation in draw_prompts(2 * n, 0, half):  # type: ignore[arg-type]  # one of its names
        first, second = draw_reply(situation, rng, 0.5), draw_reply(situation, rng, 0.5)
        label = true_preference(situation, first, second)
        if label == "tie" or first == second or len(rows) == n:
            continue
        chosen, rejected = (first, second) if label == "A" else (second, first)
        p = rng.choice([0.6, 0.8, 1.0])
        rows.append(
            {
                "prompt": [{"role": "user", "content": situation.text}],
                "chosen": [{"role": "assistant", "content": chosen}],
                "rejected": [{"role": "assistant", "content": rejected}],
                "p_chosen": p,
                "margin": 2.0 * p - 1.0,
                "weight": rng.choice([0.5, 1.0, 2.0]),
                "label_source": "human" if split != "train" and len(rows) % 2 else "ai",
                **same,
            }
        )
    assert len(rows) == n
    return rows


def preference_rows(n: int) -> list[PreferenceRow]:
    """The same as the trainers hold them."""
    return [
        PreferenceRow(
            tuple(Message(**turn) for turn in row["prompt"]), row["chosen"][0]["content"],
            row["rejected"][0]["content"], row["p_chosen"], row["weight"], row["margin"],
        )
        for row in pair_rows(n)
    ]  # fmt: skip


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def lines() -> Callable[[Path, list[dict[str, Any]]], Path]:
    """`write_lines`."""
    return write_lines


@pytest.fixture(scope="session")
def make_rows() -> Callable[..., list[dict[str, Any]]]:
    """`pair_rows`."""
    return pair_rows


@pytest.fixture(scope="session")
def make_pairs() -> Callable[[int], list[PreferenceRow]]:
    """`preference_rows`."""
    return preference_rows
