"""The append-only log of a stage that pays for what it asks: JSON lines, never rewritten.

A line is written, in one call of the system, before the request that takes its place goes out, so
a killed process has lost at most what was in flight. The disk is told to keep it at least every
second, so a power cut loses a second at most. Lines of kind "step" are the same for all stages: one
reply on the way to a result (a rationale, a sample), asked and paid for once. What results look
like is each stage's own matter (`log.py` of `generate`, `constitution`, `judge`).
"""

import json
import logging
import os
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipelines.errors import BadInput
from pipelines.models.engine import Reply

_log = logging.getLogger(__name__)


class Head(Protocol):
    """What a line of any stage's log is about."""

    def as_dict(self, kind: str) -> dict[str, Any]:
        """The head of a line."""
        ...


@dataclass(slots=True)
class Spend:
    """What was asked and paid for. `usd` lacks the requests that are counted in `n_unpriced`."""

    requests: int = 0
    calls: int = 0  # with those that were repeated because the service failed
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    n_unpriced: int = 0

    def add(self, reply: Reply) -> None:
        """One more reply."""
        self.requests += 1
        self.calls += reply.tries
        self.prompt_tokens += reply.prompt_tokens
        self.completion_tokens += reply.completion_tokens
        if reply.cost_usd is not None:
            self.usd += reply.cost_usd
        elif reply.failure is None:
            self.n_unpriced += 1

    def add_line(self, line: dict[str, Any]) -> None:
        """What a line of the log accounts for."""
        requests, calls, prompt_tokens, completion_tokens, usd = line["used"]
        self.requests += requests
        self.calls += calls
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens
        if usd is not None:
            self.usd += usd
        elif requests and line.get("failure") is None:
            self.n_unpriced += requests


def step_line(mark: Head, number: int, place: int, reply: Reply) -> bytes:
    """A reply that more questions follow, or that others are still awaited with.

    Args:
        mark: What it belongs to.
        number: Of the round of requests, from 0.
        place: Of the request in its round.
        reply: What came back.
    """
    line = mark.as_dict("step")
    line["step"] = [number, place]
    line["used"] = used(reply)
    line["finish"] = reply.finish
    for name in ("text", "answer_logprobs", "failure", "detail"):
        value = getattr(reply, name)
        if value is not None:
            line[name if name != "text" else "said"] = value
    return line_of(line)


def reply_of(line: dict[str, Any]) -> Reply:
    """The reply that a step line holds."""
    _, tries, prompt_tokens, completion_tokens, usd = line["used"]
    logprobs = line.get("answer_logprobs")
    return Reply(
        text=line.get("said"),
        answer_logprobs=None if logprobs is None else (logprobs[0], logprobs[1]),
        finish=line["finish"],
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cost_usd=usd,
        failure=line.get("failure"),
        detail=line.get("detail"),
        tries=tries,
    )


def iter_lines(path: Path, kinds: Collection[str]) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Every whole line with its offset in bytes; None for one that is damaged or another kind."""
    offset = 0
    try:
        with path.open("rb") as file:
            for raw in file:
                if not raw.endswith(b"\n"):
                    return  # torn, or being written just now
                try:
                    line = json.loads(raw)
                    known = isinstance(line, dict) and line["kind"] in kinds
                except (ValueError, KeyError):
                    known = False
                yield offset, line if known else None
                offset += len(raw)
    except FileNotFoundError:
        return


class StageLog:
    """A log, open for appending by this process alone."""

    def __init__(self, path: Path, sync_s: float = 0.5):
        """Opens or makes it; cuts off a torn last line, with a warning.

        Args:
            path: The file.
            sync_s: How often the disk is told to keep what was written.

        Raises:
            BadInput: The file cannot be written.
        """
        self.path = path
        self.torn_bytes = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise _unwritable(path, error) from error
        self._size = self._repair()
        self._synced = self._size
        self._failed: OSError | None = None
        self._closing = threading.Event()
        self._sync_s = sync_s
        self._keeper = threading.Thread(target=self._keep, name="stage-log", daemon=True)
        self._keeper.start()

    def append(self, line: bytes) -> int:
        """Write a line, which ends with a line break; returns its offset.

        Raises:
            BadInput: The disk is full or gone. What was written before is whole.
        """
        offset = self._size
        try:
            if self._failed is not None:
                raise self._failed
            written = os.write(self._file, line)
            if written < len(line):  # a disk that is just full takes a part
                os.truncate(self._file, offset)
                raise OSError(28, "No space left on device")
        except OSError as error:
            raise _unwritable(self.path, error) from error
        self._size += len(line)
        return offset

    def close(self) -> None:
        """Wait until the disk has all of it."""
        self._closing.set()
        self._keeper.join()
        try:
            os.fsync(self._file)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        finally:
            os.close(self._file)

    def _keep(self) -> None:
        """Runs beside the asking: a sync may take longer than a hundred replies."""
        while not self._closing.wait(self._sync_s):
            size = self._size
            if size != self._synced:
                try:
                    os.fdatasync(self._file)
                except OSError as error:
                    self._failed = error
                    return
                self._synced = size

    def _repair(self) -> int:
        """Cut off what a killed process left of a last line; the size that remains."""
        size = os.fstat(self._file).st_size
        end, block = size, b""
        while end and b"\n" not in block:
            start = max(0, end - (1 << 16))
            block = os.pread(self._file, end - start, start)
            end = start
        whole = end + block.rfind(b"\n") + 1
        if whole < size:
            os.truncate(self._file, whole)
            self.torn_bytes = size - whole
            _log.warning(
                "%s: the last line was torn (%d bytes); it is cut off and will be asked again",
                self.path,
                self.torn_bytes,
            )
        return whole


def used(reply: Reply) -> list[Any]:
    """What a reply took: requests, calls, tokens in and out, dollars."""
    cost = None if reply.cost_usd is None else round(reply.cost_usd, 9)
    return [1, reply.tries, reply.prompt_tokens, reply.completion_tokens, cost]


def line_of(line: dict[str, Any]) -> bytes:
    """As it stands in the log."""
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def _unwritable(path: Path, error: OSError) -> BadInput:
    return BadInput(
        f"{path}: cannot be written ({error.strerror or error}); "
        "everything before is kept: make room, then run again"
    )
