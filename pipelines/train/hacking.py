"""Reward hacking: the reward goes up and what it stands for does not."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Watched:
    """One look at held-out prompts during training."""

    reward: float
    win_rate: float  # of a held-out judge, 0 to 1
    kl: float
    length: float


def parted(points: Sequence[Watched], n_prompts: int) -> str | None:
    """A warning when reward and held-out judge have parted; None while they have not.

    They have parted when the reward is higher at the end than at the judge's best look, and the
    judge's score has fallen from there by more than two standard errors of a difference of two
    shares of `n_prompts` (Gao, Schulman and Hilton 2023 describe the shape).

    Args:
        points: In order of steps.
        n_prompts: Held-out prompts at each look.
    """
    if len(points) < 2:
        return None
    best, last = max(points, key=lambda point: point.win_rate), points[-1]
    p = (best.win_rate + last.win_rate) / 2.0
    error = math.sqrt(2.0 * max(p * (1.0 - p), 1e-9) / n_prompts)
    fell = best.win_rate - last.win_rate
    if last.reward <= best.reward or fell <= 2.0 * error:
        return None
    return (
        f"the reward rose from {best.reward:.3f} to {last.reward:.3f} while the held-out judge's "
        f"score fell from {best.win_rate:.3f} to {last.win_rate:.3f} (n = {n_prompts} prompts; KL "
        f"{best.kl:.1f} to {last.kl:.1f}, length {best.length:.0f} to {last.length:.0f} tokens): "
        "the policy exploits the reward model; stop earlier, raise beta, or audit more pairs"
    )
