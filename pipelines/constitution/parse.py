"""What a critic's text says, strictly: verdict, reason and advice, or nothing.

Three parts, each starting a line, in this order and once each. A text that says two verdicts, or
a violation without a reason or advice, says nothing: no verdict is ever guessed.
"""

import re
from dataclasses import dataclass

from pipelines.constitution.trajectory import Verdict

# White space and Markdown's signs may stand before and around a key, nothing else.
_PART = re.compile(
    r"^[ \t>#*_`-]*(?P<key>Verdict|Why|Improve)[*_` \t]*[:：][*_` \t]*(?P<rest>.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_DECORATION = " \t*_`\"'.。"
_VERDICTS: dict[str, Verdict] = {"satisfied": "satisfied", "violated": "violated"}
_ORDER = ["verdict", "why", "improve"]


@dataclass(frozen=True)
class Finding:
    """A critic's three parts."""

    verdict: Verdict
    why: str
    improve: str


def parse_critique(text: str) -> Finding | None:
    """The three parts, or None."""
    found = list(_PART.finditer(text))
    if [part.group("key").lower() for part in found] != _ORDER:
        return None
    ends = [*(part.start() for part in found[1:]), len(text)]
    values = [text[part.start("rest") : end].strip() for part, end in zip(found, ends, strict=True)]
    verdict = _VERDICTS.get(values[0].strip(_DECORATION).casefold())
    if verdict is None or not values[1] or (verdict == "violated" and not values[2]):
        return None
    return Finding(verdict, values[1], values[2])


def write_critique(finding: Finding) -> str:
    """The three parts as they are asked for; `parse_critique` reads them back."""
    return f"Verdict: {finding.verdict}\nWhy: {finding.why}\nImprove: {finding.improve}"
