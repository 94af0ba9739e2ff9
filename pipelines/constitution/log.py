"""The append-only log of `workbench revise`: `runs/revise/log.jsonl`.

Every reply is a line, written before the request that takes its place goes out, so a killed process
has lost at most what was in flight. Two kinds of lines:

    step         one reply on the way of a response, asked and paid for once
    trajectory   the whole way of a response; of several, the last one counts

Each line names the plan (a hash of all that changes a question or an answer) and the response (its
id and the hash of its texts), so it stays true whatever happens to the files around it. The file
itself is a `StageLog`: durable, one writer, a torn last line cut off.
"""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.constitution.trajectory import Response, Trajectory
from pipelines.errors import BadInput
from pipelines.models.engine import Reply
from pipelines.stages.log import Spend, iter_lines, reply_of

LOG_NAME = "log.jsonl"
KINDS = ("step", "trajectory")

Key = tuple[str, str]  # a response's id and text hash
Saved = dict[tuple[int, int], Reply]  # by the number of the call and the request's place in it


@dataclass(frozen=True, slots=True)
class Mark:
    """What a line is about."""

    plan: str
    id: str
    text: str
    attempt: int  # 0, and one more whenever failures are asked again

    @classmethod
    def of(cls, plan: str, response: Response, attempt: int) -> "Mark":
        """About this response."""
        return cls(plan, response.id, response.text_hash(), attempt)

    @property
    def key(self) -> Key:
        """Which response."""
        return self.id, self.text

    def as_dict(self, kind: str) -> dict[str, Any]:
        """The head of a line."""
        return {
            "plan": self.plan,
            "id": self.id,
            "text": self.text,
            "attempt": self.attempt,
            "kind": kind,
            "at": round(time.time(), 3),
        }


def trajectory_line(mark: Mark, trajectory: Trajectory) -> bytes:
    """A response's whole way."""
    line = mark.as_dict("trajectory")
    line["trajectory"] = trajectory.model_dump(mode="json", exclude_none=True)
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


@dataclass(slots=True)
class Done:
    """A finished trajectory: where its line begins, and whether anything failed in it."""

    offset: int
    attempt: int
    failed: bool


@dataclass
class LogState:
    """What the log holds under one plan."""

    done: dict[Key, Done] = field(default_factory=dict)
    steps: dict[Key, dict[int, Saved]] = field(default_factory=dict)  # by attempt, unfinished only
    spent: Spend = field(default_factory=Spend)  # over all plans
    plan_spent: Spend = field(default_factory=Spend)  # under this one
    n_damaged: int = 0

    def attempt(self, key: Key, retry_failed: bool) -> int | None:
        """Which attempt a response is due for; None when it is done."""
        done = self.done.get(key)
        if done is None:
            return 0
        return done.attempt + 1 if retry_failed and done.failed else None


def read_state(path: Path, plan: str) -> LogState:
    """What was asked before under this plan; lines of other plans count as spent alone."""
    state = LogState()
    for offset, line in iter_lines(path, KINDS):
        try:
            if line is None:
                raise KeyError
            if line["kind"] == "step":
                state.spent.add_line(line)
            if line["plan"] != plan:
                continue
            key, attempt = (line["id"], line["text"]), line["attempt"]
            if line["kind"] == "step":
                state.plan_spent.add_line(line)
                number, place = line["step"]
                saved = state.steps.setdefault(key, {}).setdefault(attempt, {})
                saved[number, place] = reply_of(line)
            else:
                failed = any(_failed(one) for one in line["trajectory"]["rounds"])
                state.done[key] = Done(offset, attempt, failed)
                state.steps.pop(key, None)
        except (KeyError, TypeError, ValueError):
            state.n_damaged += 1
    return state


def read_trajectory(path: Path, offset: int) -> Trajectory:
    """The trajectory of the line at `offset`.

    Raises:
        BadInput: The file is not the one that was indexed.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            line = json.loads(file.readline())
        return Trajectory.model_validate(line["trajectory"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{path}: no trajectory at byte {offset:,}; the file was changed by another program"
        ) from error


def _failed(one: dict[str, Any]) -> bool:
    return any("failure" in each for each in (*one["critiques"], *one.get("revisions", ())))
