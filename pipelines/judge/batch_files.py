"""Batch files as such: requests written under names of ours, answers found by them.

Source: the "Batch" guide of the OpenAI API (JSONL of custom_id, method, url, body; at most 50,000
requests and 200 MB a file).
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipelines.errors import BadInput
from pipelines.judge.desk import Ticket
from pipelines.judge.index import JUDGED, LogIndex
from pipelines.judge.runner import Question
from pipelines.models.completions import Price, Trouble, read_completion, read_refusal
from pipelines.models.engine import Reply

MOST_REQUESTS, MOST_BYTES = 50_000, 190_000_000  # a file
_URL = "/v1/chat/completions"


class BatchAnswers:
    """Where in the files the answers to this judge's questions are."""

    def __init__(
        self, files: Sequence[Path], question: Question, price: Price | None, index: LogIndex
    ):
        self.n_lines = self.n_known = self.n_foreign = 0
        self.found: dict[tuple[int, int], dict[tuple[int, int], tuple[int, int]]] = {}
        self._files = files
        self._price = price
        columns: dict[str, int] = {
            order or "-": column for column, order in enumerate(question.orders)
        }
        for number, path in enumerate(files):
            for offset, line in _lines(path):
                self.n_lines += 1
                place = _place_of(line["custom_id"], question.hash, columns, index)
                if place is None:
                    self.n_foreign += 1
                    continue
                row, column, step, part = place
                if index.state[row, column] == JUDGED:
                    self.n_known += 1
                    continue
                self.found.setdefault((row, column), {})[step, part] = (number, offset)

    def reply(self, ticket: Ticket, place: int) -> Reply | Trouble | None:
        """What the files say to a request; None when they say nothing."""
        found = self.found.get((ticket.mark.row, ticket.column), {})
        at = found.get((ticket.number, place))
        if at is None:
            return None
        number, offset = at
        with self._files[number].open("rb") as file:
            file.seek(offset)
            line = json.loads(file.readline())
        response = line.get("response") or {}
        body = json.dumps(response.get("body")).encode()
        if line.get("error") is not None or not response:
            return Trouble("down", "the batch ended before its turn")
        if response.get("status_code") != 200:
            return read_refusal(int(response.get("status_code") or 0), body)
        return read_completion(ticket.wanted[place], body, self._price)


class BatchWriter:
    """Batch files in the making; they get their names when all are whole."""

    def __init__(self, folder: Path, judge: str):
        self.n_requests = 0
        self._folder = folder
        self._judge = judge
        self._paths: list[Path] = []
        self._n_here = self._n_bytes = 0
        self._file: Any = None

    def add(self, custom_id: str, body: dict[str, Any]) -> None:
        """One more request."""
        line = {"custom_id": custom_id, "method": "POST", "url": _URL, "body": body}
        text = json.dumps(line).encode() + b"\n"
        full = self._n_here >= MOST_REQUESTS or self._n_bytes + len(text) > MOST_BYTES
        if self._file is None or full:
            self._next()
        self._file.write(text)
        self._n_here += 1
        self._n_bytes += len(text)
        self.n_requests += 1

    def finish(self) -> tuple[Path, ...]:
        """Give the files their names."""
        if self._file is not None:
            self._file.close()
        for path in self._paths:
            _partial(path).replace(path)
        return tuple(self._paths)

    def abandon(self) -> None:
        """Leave nothing behind."""
        if self._file is not None:
            self._file.close()
        for path in self._paths:
            _partial(path).unlink(missing_ok=True)

    def _next(self) -> None:
        if self._file is not None:
            self._file.close()
        path = self._folder / f"{self._judge}-{len(self._paths) + 1:03d}.jsonl"
        if path.exists():
            raise BadInput(f"{path}: is already there and is never overwritten; name a new folder")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = _partial(path).open("wb")
        except OSError as error:
            raise BadInput(f"{path}: cannot be written ({error.strerror or error})") from error
        self._paths.append(path)
        self._n_here = self._n_bytes = 0


def custom_id_of(ticket: Ticket, place: int) -> str:
    """Names a request for good: question, pair, order, round, place, and the pair's text."""
    mark = ticket.mark
    order = mark.order or "-"
    return f"{mark.spec[:12]}_{mark.row}_{order}_{ticket.number}_{place}_{mark.text[:8]}"


def _place_of(
    custom_id: Any, spec_hash: str, columns: dict[str, int], index: LogIndex
) -> tuple[int, int, int, int] | None:
    """Row, column, round and place of a custom_id of ours under this question, else None."""
    parts = custom_id.split("_") if isinstance(custom_id, str) else []
    if len(parts) != 6 or parts[0] != spec_hash[:12] or parts[2] not in columns:
        return None
    if not all(parts[part].isascii() and parts[part].isdigit() for part in (1, 3, 4)):
        return None
    row = int(parts[1])
    if row >= len(index.texts) or index.text(row)[:8] != parts[5]:
        return None
    return row, columns[parts[2]], int(parts[3]), int(parts[4])


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The lines of a file of answers, with their offsets."""
    offset = 0
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                if raw.strip():
                    try:
                        line = json.loads(raw)
                        known = isinstance(line, dict) and "custom_id" in line
                        known = known and ("response" in line or "error" in line)
                    except ValueError:
                        known = False
                    if not known:
                        raise BadInput(
                            f"{path}:{number}: not a line of batch answers; give the file that the "
                            "service made of the batch (its output or error file)"
                        )
                    yield offset, line
                offset += len(raw)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror or error})") from error


def _partial(path: Path) -> Path:
    return path.with_suffix(".partial")
