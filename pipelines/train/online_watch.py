"""Looks at the same prompts during online training: what the reward thinks, and a held-out judge.

They are prompts that nothing is trained on; where the data hold none out, they are training
prompts, and the figures' names say so.

The judge's opinion is a win rate against the model that training began with, whose answers it
scored at the first look; these stand in the run's folder, so that a run that goes on compares with
the same.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipelines.models.sampling import end_ids, sample_ids
from pipelines.train.hacking import HELD_OUT, SEEN, repetition
from pipelines.train.reward_functions import Function, Reward
from pipelines.train.rows import PromptRow
from pipelines.train.run_folder import RunFolder, write_json
from pipelines.train.settings import OnlineSettings

_START = "watch_start.json"


@dataclass(frozen=True)
class Look:
    """How a run is watched.

    Attributes:
        folder: The run's.
        rows: Prompts.
        held_out: Whether nothing is trained on them.
        tokenizer: Of the policy.
        section: How it samples.
        reward: What it is trained on.
        judge: Scores a response, higher is better; None when nobody else judges.
        seed: Of the samples; the same at each look, so that looks differ by the policy alone.
    """

    folder: RunFolder
    rows: Sequence[PromptRow]
    held_out: bool
    tokenizer: Any
    section: OnlineSettings
    reward: Reward
    judge: Function | None
    seed: int

    def due(self, step: int) -> bool:
        """Whether to look after this step."""
        every = self.section.watch_every
        return every > 0 and (step % every == 0 or step == self.section.steps)

    def first(self, model: Any) -> None:
        """Before the first step: the start's scores, which later looks are compared with."""
        if self.section.watch_every and self.judge is not None and self._start() is None:
            _, texts = self._answers(model)
            write_json(self._place, {"scores": self.judge(self._prompts(), texts)})

    def __call__(self, model: Any) -> dict[str, float]:
        """The figures of one look, for the curves."""
        tokens, texts = self._answers(model)
        figures = {
            "n": float(len(texts)),
            "reward": float(self.reward(self._prompts(), texts).reward.nanmean()),
            "length": sum(map(len, tokens)) / len(tokens),
            "repetition": repetition(tokens),
        }
        start = self._start()
        if self.judge is not None and start is not None:
            now = self.judge(self._prompts(), texts)
            figures["win_rate"] = win_rate(now, start)
        before = HELD_OUT if self.held_out else SEEN
        return {before + name: value for name, value in figures.items()}

    def _answers(self, model: Any) -> tuple[list[list[int]], list[str]]:
        generator = torch.Generator(device=model.device).manual_seed(self.seed)
        tokens = sample_ids(
            model, [prompt_ids(self.tokenizer, row) for row in self.rows], generator,
            pad_id=self.tokenizer.pad_token_id, end_ids=end_ids(model, self.tokenizer),
            temperature=self.section.temperature, max_new_tokens=self.section.max_new_tokens,
        )  # fmt: skip
        return tokens, self.tokenizer.batch_decode(tokens, skip_special_tokens=True)

    def _prompts(self) -> list[Any]:
        return [row.prompt for row in self.rows]

    @property
    def _place(self) -> Path:
        return self.folder.path / _START

    def _start(self) -> list[float] | None:
        try:
            scores: list[float] = json.loads(self._place.read_text(encoding="utf-8"))["scores"]
        except FileNotFoundError:
            return None
        return scores


def prompt_ids(tokenizer: Any, row: PromptRow) -> list[int]:
    """A prompt's tokens, up to where the response begins."""
    turns = [turn.model_dump() for turn in row.prompt]
    ids: list[int] = tokenizer.apply_chat_template(
        turns, add_generation_prompt=True, return_dict=False
    )
    return ids


def win_rate(now: Sequence[float], before: Sequence[float]) -> float:
    """The share of prompts with the higher score, ties half; a failed score counts for nothing."""
    met = [(a > b) + 0.5 * (a == b) for a, b in zip(now, before, strict=True) if a == a and b == b]
    return sum(met) / len(met) if met else float("nan")
