"""Options that many commands have, said once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

if TYPE_CHECKING:
    from pipelines.stages.budget import Limits

INTERRUPTED = 130  # exit code, as a shell reports it

ProjectDir = Annotated[Path, typer.Option(help="The project folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RoundArgument = Annotated[
    str | None, typer.Argument(metavar="[ROUND]", help="Its name; the newest open one if absent.")
]
EstimateOnly = Annotated[
    bool, typer.Option("--dry-run", help="Say tokens, price and time; ask nothing.")
]
BudgetUsd = Annotated[
    float | None, typer.Option(min=0.0, help="Stop before this many dollars are spent.")
]
MaxRequests = Annotated[int | None, typer.Option(min=1, help="Stop after this many requests.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Ask again what failed before.")]


class _Limited(Protocol):
    """A section of project.toml that bounds what is asked."""

    @property
    def budget_usd(self) -> float | None: ...

    @property
    def max_requests(self) -> int | None: ...


def limits_of(own: _Limited, budget_usd: float | None, max_requests: int | None) -> "Limits":
    """What a run may use: the command line's bounds where it gave some, else its section's."""
    from pipelines.stages.budget import Limits

    return Limits(
        own.budget_usd if budget_usd is None else budget_usd,
        own.max_requests if max_requests is None else max_requests,
    )
