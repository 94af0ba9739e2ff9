"""The append-only log of one model's candidates: `runs/generate/<model>/log.jsonl`.

The file is a `StageLog`: durable, one writer, a torn last line cut off. Two kinds of lines:

    step    one reply on the way to a prompt's candidates, asked and paid for once
    drawn   all candidates of a prompt, failures included; of several, the last one counts

Each line names the settings (a hash) and the prompt (its id and the hash of its text), so a line
stays true whatever happens to the files around it.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.errors import BadInput
from pipelines.generate.draw import Sampling
from pipelines.generate.records import Candidate, Prompt
from pipelines.models.engine import Reply
from pipelines.stages.log import Spend, iter_lines, reply_of, used

LOG_NAME = "log.jsonl"
KINDS = ("step", "drawn")

Key = tuple[str, str]  # a prompt's id and text hash
Saved = dict[tuple[int, int], Reply]  # by round and place

# Of the prompt: the same for all candidates of a line, so written once.
_SHARED = ("prompt_id", "prompt", "model", "settings", "subset", "source", "meta")


@dataclass(frozen=True, slots=True)
class Mark:
    """What a line is about."""

    settings: str
    rounds: str  # what decides which candidate is asked for at which place of which round
    id: str
    text: str

    @classmethod
    def of(cls, sampling: Sampling, prompt: Prompt) -> "Mark":
        """About this prompt."""
        return cls(sampling.hash, _rounds(sampling), prompt.id, prompt.text_hash())

    @property
    def key(self) -> Key:
        """Which prompt."""
        return self.id, self.text

    def as_dict(self, kind: str) -> dict[str, Any]:
        """The head of a line."""
        return {
            "settings": self.settings,
            "rounds": self.rounds,
            "id": self.id,
            "text": self.text,
            "kind": kind,
            "at": round(time.time(), 3),
        }


@dataclass(frozen=True, slots=True)
class Drawn:
    """Where a prompt's candidates are, and how many of what kind they are."""

    offset: int
    n: int
    n_aside: int  # samples that were set aside, near-identical or failed
    failed: dict[str, int]  # by reason

    @classmethod
    def of(cls, offset: int, candidates: Sequence[Any]) -> "Drawn":
        """Of candidates, or of their JSON objects."""
        failed: dict[str, int] = {}
        n_aside = 0
        for one in candidates:
            values = vars(one) if isinstance(one, Candidate) else one
            n_aside += values["resampled"]
            failure = values.get("failure")
            if failure is not None:
                failed[failure] = failed.get(failure, 0) + 1
        return cls(offset, len(candidates), n_aside, failed)


@dataclass
class LogState:
    """What the log holds."""

    drawn: dict[Key, Drawn] = field(default_factory=dict)  # under the present settings
    steps: dict[Key, Saved] = field(default_factory=dict)  # of prompts that were cut off
    latest: dict[Key, int] = field(default_factory=dict)  # offsets, under whatever settings
    spent: Spend = field(default_factory=Spend)  # over all settings
    n_asked: int = 0  # requests under the present settings
    tokens: tuple[int, int] = (0, 0)  # in and out, of those
    n_damaged: int = 0

    def note(self, key: Key, drawn: Drawn) -> None:
        """A prompt's candidates were written."""
        self.drawn[key] = drawn
        self.latest[key] = drawn.offset
        self.steps.pop(key, None)


def drawn_line(mark: Mark, candidates: Sequence[Candidate], last: Reply | None) -> bytes:
    """All candidates of a prompt.

    Args:
        mark: The prompt.
        candidates: At least one.
        last: The reply that came last, when no step line holds that.
    """
    line = mark.as_dict("drawn")
    line["used"] = [0, 0, 0, 0, 0.0] if last is None else used(last)
    objects = [one.model_dump(mode="json", exclude_none=True) for one in candidates]
    line["shared"] = {name: objects[0][name] for name in _SHARED if name in objects[0]}
    line["candidates"] = [
        {name: value for name, value in one.items() if name not in _SHARED} for one in objects
    ]
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def read_state(path: Path, sampling: Sampling) -> LogState:
    """What the log holds for these settings, and what it holds at all."""
    state, settings, rounds = LogState(), sampling.hash, _rounds(sampling)
    for offset, line in iter_lines(path, KINDS):
        try:
            if line is None:
                raise KeyError
            state.spent.add_line(line)
            key = (line["id"], line["text"])
            if line["kind"] == "drawn":
                state.latest[key] = offset
            if line["settings"] != settings:
                continue
            state.n_asked += line["used"][0]
            state.tokens = (
                state.tokens[0] + line["used"][2],
                state.tokens[1] + line["used"][3],
            )
            if line["kind"] == "drawn":
                state.note(key, Drawn.of(offset, line["candidates"]))
            elif line["rounds"] == rounds:
                number, place = line["step"]
                state.steps.setdefault(key, {})[number, place] = reply_of(line)
        except (KeyError, TypeError, ValueError):
            state.n_damaged += 1
    return state


def read_drawn(path: Path, offsets: Sequence[int]) -> Iterator[tuple[Candidate, ...]]:
    """The candidates of the lines at these offsets.

    Raises:
        BadInput: The file is not the one that was indexed.
    """
    with path.open("rb") as file:
        for offset in offsets:
            file.seek(offset)
            try:
                line = json.loads(file.readline())
                yield tuple(
                    Candidate.model_validate({**line["shared"], **one})
                    for one in line["candidates"]
                )
            except (ValueError, KeyError, TypeError) as error:
                raise BadInput(
                    f"{path}: no candidates at byte {offset:,}; another program changed the file"
                ) from error


def _rounds(sampling: Sampling) -> str:
    return f"{sampling.n_candidates} {sampling.near:g} {sampling.resamples}"
