"""What a person noted on each response, un-swapped: by response, not by side of the screen.

A vote keeps its tags and ratings as they were given, on the left and the right of one screen, and
beside them which response stood on the left. Whoever reads them goes through `by_response`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Remarks:
    """Error tags, and ratings from 1 (worst) to 5, of the responses "A" and "B"."""

    tags: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ratings: dict[str, dict[str, int]] = field(
        default_factory=dict
    )  # criterion -> response -> mark

    def __bool__(self) -> bool:
        return bool(self.tags or self.ratings)

    def as_dict(self) -> dict[str, Any]:
        """For files: `{"tags": {"A": [...]}, "ratings": {"helpful": {"B": 4}}}`, no empty parts."""
        said: dict[str, Any] = {}
        if self.tags:
            said["tags"] = {response: list(tags) for response, tags in self.tags.items()}
        if self.ratings:
            said["ratings"] = self.ratings
        return said

    def __str__(self) -> str:
        parts = [f"{response}: {', '.join(tags)}" for response, tags in self.tags.items()]
        for criterion, marks in self.ratings.items():
            given = ", ".join(f"{response} {mark}" for response, mark in marks.items())
            parts.append(f"{criterion}: {given}")
        return "; ".join(parts)


def by_response(details: Mapping[str, Any] | None, left: str | None) -> Remarks:
    """The remarks of one vote.

    Args:
        details: `Vote.details`, which speak of left and right.
        left: `Vote.left`: the response that stood on the left, "A" or "B"; None (an imported
            label) has no sides, and so no remarks.
    """
    if not details or left not in ("A", "B"):
        return Remarks()
    side_of = {"A": "left", "B": "right"} if left == "A" else {"A": "right", "B": "left"}
    given = details.get("tags") or {}
    tags = {one: tuple(given[side]) for one, side in side_of.items() if given.get(side)}
    ratings = {}
    for criterion, marks in (details.get("criteria") or {}).items():
        # A page of another version may have sent something else: passed over, as on arrival.
        if isinstance(marks, dict):
            read = {one: marks[side] for one, side in side_of.items() if _is_mark(marks.get(side))}
            if read:
                ratings[criterion] = read
    return Remarks(tags, ratings)


def _is_mark(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
