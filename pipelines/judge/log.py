"""The lines of one judge's log, `runs/judge/<judge>/judgments.jsonl`.

    step     one reply on the way to a judgment (a rationale, a sample), asked and paid for once
    judged   a judgment, or a failure with its reason; of several, the last one counts

Each line names the question (`spec`, a hash) and the pair (its row, id and text hash), so a line
stays true whatever happens to the files around it.
"""

import time
from dataclasses import dataclass
from typing import Any

from pipelines.models.engine import Reply
from pipelines.records import Judgment, Order
from pipelines.stages.log import line_of, used

LOG_NAME = "judgments.jsonl"
KINDS = ("step", "judged")


@dataclass(frozen=True, slots=True)
class Mark:
    """Which question a line is about."""

    spec: str  # hash of what is asked
    row: int  # of the pair in the store
    pair: str  # its id
    text: str  # hash of its prompt and responses, 16 hex digits
    order: Order | None

    def as_dict(self, kind: str) -> dict[str, Any]:
        """The head of a line."""
        return {
            "spec": self.spec,
            "row": self.row,
            "order": self.order,
            "text": self.text,
            "pair": self.pair,
            "kind": kind,
            "at": round(time.time(), 3),
        }


def judged_line(mark: Mark, judgment: Judgment, last: Reply | None, detail: str | None) -> bytes:
    """A judgment.

    Args:
        mark: What was judged.
        judgment: The outcome.
        last: The reply that led to it, when no step line holds that.
        detail: Why it failed, in a sentence.
    """
    line = mark.as_dict("judged")
    line["used"] = [0, 0, 0, 0, 0.0] if last is None else used(last)
    if judgment.failure is not None:
        line["failure"] = judgment.failure
        if detail is not None:
            line["detail"] = detail
    else:
        line["label"] = judgment.label
        line["p_a"] = judgment.p_a
        line["confidence"] = judgment.confidence
    if judgment.rationale is not None:
        line["rationale"] = judgment.rationale
    if judgment.raw is not None:
        line["raw"] = judgment.raw
    return line_of(line)


def judgment_of(line: dict[str, Any], judge: str) -> Judgment:
    """The judgment that a judged line holds; a failure without other words says its reason."""
    return Judgment(
        judge=judge,
        order=line["order"],
        label=line.get("label"),
        p_a=line.get("p_a"),
        confidence=line.get("confidence"),
        rationale=line.get("rationale"),
        failure=line.get("failure"),
        raw=line.get("raw", line.get("detail")),
    )
