"""Numbers and tables as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any


def count(n: int) -> str:
    """A number of things."""
    return f"{n:,}"


def share(n: int, of: int) -> str:
    """A share in per cent; "not defined" of nothing."""
    return f"{100 * n / of:.1f}%" if of else "not defined"


def estimate(value: Mapping[str, Any] | None) -> str:
    """An estimate with its interval, its n and its method."""
    if value is None:
        return "not measured"
    return (
        f"{value['estimate']:.3f} [{value['low']:.3f}, {value['high']:.3f}] "
        f"(n = {count(value['n'])}, {value['method']})"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; a pipe or a line break in a cell cannot break it."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
