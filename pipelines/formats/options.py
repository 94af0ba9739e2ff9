"""How a foreign format becomes pairs: what the file itself does not say."""

from dataclasses import dataclass
from typing import Literal

LabelsAre = Literal["human", "ai"]


@dataclass(frozen=True)
class ReadOptions:
    """Choices of the person who imports.

    `labels_are` says who chose (None: what the format usually holds). `scores` says which pairs
    N scored completions become: all of them, or the best one against each other one.
    """

    labels_are: LabelsAre | None = None
    scores: Literal["all", "best"] = "all"
