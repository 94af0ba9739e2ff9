"""The card's section on what people said of the AI labels: certificates, and imported labels."""

from collections.abc import Iterator
from typing import Any

from workbench.export.markdown import count, estimate, table


def audit_section(facts: dict[str, Any]) -> Iterator[str]:
    """Paragraphs and tables."""
    if facts["n_votes"]:
        origins = ", ".join(f"{count(n)} {name}" for name, n in facts["vote_origins"].items())
        yield f"{count(facts['n_votes'])} votes were given in audit rounds (by origin: {origins})."
    else:
        yield "No vote was given in an audit round."
    if facts["imported_labels"]:
        yield from _imported(facts["imported_labels"])


def _imported(imported: dict[str, Any]) -> Iterator[str]:
    yield (
        f"{count(imported['n_labels'])} human labels by {count(imported['n_annotators'])} people "
        f"came with {count(imported['n_pairs'])} of the pairs. They describe and "
        "certify nothing: nobody knows how those pairs were chosen."
    )
    yield table(
        ["on pairs with imported human labels", "agreement [95% interval]"],
        [
            ["AI label with the human majority", estimate(imported["agreement"])],
            ["two people with each other (the ceiling)", estimate(imported["human_human"])],
        ],
    )
