"""One stage of `workbench run` on a project: what it is given, and what it says it did."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from pipelines.agreement.estimate import Estimate
from pipelines.errors import BadInput, ServiceFailed
from pipelines.run import Step
from pipelines.stages.standing import Standing
from workbench.project import Project

OnStanding = Callable[[Standing], None]
OnCount = Callable[[int, int], None]
People = Callable[[Project, str], None]

QUICK_PROMPTS = 12  # with --quick, of each file


@dataclass(frozen=True)
class Bars:
    """Who draws progress: one bar that knows rate and cost, and one that counts."""

    standing: Callable[[], AbstractContextManager[OnStanding]]
    counting: Callable[[str], AbstractContextManager[OnCount]]


@dataclass(frozen=True)
class Task:
    """One stage to be done.

    Attributes:
        project: With the settings of recipe and step.
        step: What the recipe says.
        quick: Few prompts only.
        bars: Progress.
        people: Simulated people, who label the round of a name; None where real people label.
    """

    project: Project
    step: Step
    quick: bool
    bars: Bars
    people: People | None = None

    @property
    def most(self) -> int | None:
        """Prompts or responses of a quick run."""
        return QUICK_PROMPTS if self.quick else None


@dataclass(frozen=True)
class Did:
    """What a stage did.

    Attributes:
        lines: What it says.
        waiting: What is to be done before it can go on; None when it is done.
        interrupted: It was told to stop.
        gain: evaluate: the last policy's win rate over the first; None where there is none.
        figures: evaluate: what is kept of it, as JSON values; see `measuring.figures_of`.
    """

    lines: tuple[str, ...]
    waiting: str | None = None
    interrupted: bool = False
    gain: Estimate | None = None
    figures: dict[str, Any] = field(default_factory=dict)


class Asking(Protocol):
    """What runs of generate, judge and revise have in common."""

    @property
    def ended(self) -> str:
        """How: "done", "interrupted", "service", or the limit that was reached."""

    @property
    def error(self) -> str | None:
        """What the service said last."""

    @property
    def n_outages(self) -> int:
        """Requests given up after retries."""

    @property
    def n_pending(self) -> int:
        """What is not done."""


def ended(runs: Sequence[Asking], did: Did) -> Did:
    """Whether runs came to their end.

    Raises:
        ServiceFailed: A service did.
        BadInput: A limit was reached.
    """
    for run in runs:
        if run.ended == "service" or run.n_outages:
            raise ServiceFailed(
                f"the service failed after retries ({run.error}); everything answered is kept: the "
                "same command goes on"
            )
        if run.ended == "interrupted":
            return replace(did, interrupted=True)
        if run.ended != "done":
            raise BadInput(
                f"stopped at {run.ended} with {run.n_pending:,} pending; raise it in project.toml "
                "and run the same command: what is done is not asked again"
            )
    return did


def words(value: Estimate | None) -> str:
    """An estimate with its interval and n."""
    if value is None:
        return "undefined"
    return f"{value.estimate:.1%} ({value.low:.1%} to {value.high:.1%}, n = {value.n:,})"


def failed(reasons: Mapping[str, int]) -> str:
    """What failed, by reason, to stand at the end of a line."""
    return f", failed: {counted(reasons)}" if reasons else ""


def counted(reasons: Mapping[str, int]) -> str:
    """Numbers and what they count."""
    return ", ".join(f"{n:,} {why}" for why, n in reasons.items())
