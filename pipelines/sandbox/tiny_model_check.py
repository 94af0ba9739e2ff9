"""Whether a tiny model speaks as it was taught: fluent, and with faults at the planted rates."""

from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from pipelines.agreement.estimate import Estimate
from pipelines.sandbox.scoring import PRINCIPLES
from pipelines.sandbox.tiny_model_sampling import sample_replies
from pipelines.sandbox.world_outcomes import fault_rates, planted_rates
from pipelines.sandbox.world_prompts import DEMONSTRATION_SKILL, draw_prompts

N_CHECKED = 1500


@dataclass(frozen=True)
class Check:
    """Fault rates of one sampled reply to each of n held-out messages, beside the planted ones.

    `planted` is what the demonstrations have; both are by principle.
    """

    n: int
    faults: dict[str, Estimate]
    planted: dict[str, float]

    @property
    def fluent(self) -> float:
        """The share of replies that are fluent."""
        return 1.0 - self.faults["fluent"].estimate

    def as_json(self) -> dict[str, JsonValue]:
        """For the file beside the model."""
        return {
            "n_held_out": self.n,
            "fault_rates": {
                one: {"planted": round(self.planted[one], 4), **_rounded(self.faults[one])}
                for one in PRINCIPLES
            },
        }


def check(
    model: Any,
    tokenizer: Any,
    n: int = N_CHECKED,
    seed: int = 0,
    skill: float = DEMONSTRATION_SKILL,
) -> Check:
    """Sample replies at temperature 1 to held-out messages, and count their faults.

    Args:
        model: The tiny model.
        tokenizer: Its tokenizer.
        n: Messages, all different; enough for each kind to come up.
        seed: Of messages and replies.
        skill: Of the demonstrations that it was trained on.
    """
    situations = draw_prompts(n, seed, "held-out")
    replies = sample_replies(model, tokenizer, [one.text for one in situations], seed)
    rates = fault_rates(situations, replies)
    planted = planted_rates(situations, skill)
    return Check(
        n,
        {one: rate for one, rate in rates.items() if rate is not None},
        {one: rate for one, rate in planted.items() if rate is not None},
    )


def _rounded(estimate: Estimate) -> dict[str, JsonValue]:
    return {
        "estimate": round(estimate.estimate, 4),
        "low": round(estimate.low, 4),
        "high": round(estimate.high, 4),
        "method": estimate.method,
        "n": estimate.n,
    }
