"""What became of it round by round: of a recipe with rounds, the shares of its suites."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def by_round(steps: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A table of each suite's share by round; none where no step that evaluates comes again.

    Args:
        steps: As `Ran` holds them.
    """
    rounds = [
        one for one in steps if one["stage"] == "evaluate" and one["round"] and one["figures"]
    ]
    if not rounds:
        return
    columns: dict[str, list[str]] = {}
    for place, one in enumerate(rounds):
        for suite in dict.fromkeys(share["suite"] for share in one["figures"]["suites"]):
            shares = [each for each in one["figures"]["suites"] if each["suite"] == suite]
            column = columns.setdefault(suite, [])
            if not place:  # the first policy is where the rounds begin
                column.append(_words(shares[0]["share"]))
            column.append(_words(shares[-1]["share"]))
        gains = columns.setdefault("win rate over the round before", [""])
        gains.append("" if one["gain"] is None else _words(one["gain"]))
    widths = [max(len(name), *map(len, column)) for name, column in columns.items()]
    heads = (f"{name:>{width}}" for name, width in zip(columns, widths, strict=True))
    yield "  ".join(["round", *heads])
    for row, number in enumerate([0, *(one["round"] for one in rounds)]):
        cells = (
            f"{column[row] if row < len(column) else '':>{width}}"
            for column, width in zip(columns.values(), widths, strict=True)
        )
        yield "  ".join([f"{number:>5}", *cells])


def _words(share: Mapping[str, Any] | None) -> str:
    if share is None:
        return "-"
    return (
        f"{share['estimate']:.1%} ({share['low']:.1%} to {share['high']:.1%}, n = {share['n']:,})"
    )
