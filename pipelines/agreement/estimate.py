"""The one shape of every reported number: estimate, interval, method, n."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Estimate:
    """A number with its confidence interval.

    `method` names how the interval was made ("wilson", "cluster", "bootstrap", ...); `n` counts
    the units (pairs, verdicts) behind it. An undefined quantity is `None`, never an Estimate.
    """

    estimate: float
    low: float
    high: float
    method: str
    n: int

    def as_dict(self) -> dict[str, Any]:
        """The JSON form of DESIGN.md."""
        return asdict(self)
