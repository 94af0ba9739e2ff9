"""Judging at half price: requests as OpenAI batch files, and the files of answers back.

A judgment of several rounds (a rationale, then the question about it) takes as many batches: what
was answered is in the log, so the next export holds what follows from it.

Source: the "Batch" guide of the OpenAI API (JSONL of custom_id, method, url, body; at most 50,000
requests and 200 MB a file; half price).
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.errors import BadInput
from pipelines.judge.budget import Budget, Limits
from pipelines.judge.desk import Ticket
from pipelines.judge.index import JUDGED, LogIndex, read_index
from pipelines.judge.log import JudgmentLog, Mark, Spend, judged_line, step_line
from pipelines.judge.manifest import Spent, read_manifest, write_manifest
from pipelines.judge.runner import JudgeFolder, Question, publish, run_entry, tickets, with_run
from pipelines.models.completions import (
    Price,
    Trouble,
    read_completion,
    read_refusal,
    request_body,
    request_tokens,
)
from pipelines.models.engine import Reply
from pipelines.records import Judgment
from pipelines.store import PairStore

BATCH_PRICE = 0.5  # of the usual price
MOST_REQUESTS, MOST_BYTES = 50_000, 190_000_000  # a file
_URL = "/v1/chat/completions"


@dataclass(frozen=True)
class BatchExport:
    """What was written. `prompt_tokens` and `usd` are guesses, at half price."""

    judge: str
    files: tuple[Path, ...]
    n_requests: int
    n_judgments: int
    prompt_tokens: int
    most_usd: float | None


@dataclass(frozen=True)
class BatchImport:
    """What became of the lines of the files of answers."""

    judge: str
    n_lines: int
    n_judged: int
    n_failed: int
    n_waiting: int  # judgments whose next question is to be exported now
    n_unanswered: int  # lines that say that the service did not answer: still pending
    n_known: int  # answers that the log held before
    n_foreign: int  # lines of another judge, another question or another project
    n_pending: int  # judgments that are still to do
    spent: Spend


def export_batches(
    project_dir: Path,
    store: PairStore,
    question: Question,
    folder: Path,
    *,
    retry_failed: bool = False,
    limits: Limits | None = None,
) -> BatchExport:
    """Write what is pending as batch files, `<judge>-001.jsonl` and on.

    Args:
        project_dir: The project's folder.
        store: Its pairs.
        question: What the judge asks.
        folder: Where the files go; none of them may exist.
        retry_failed: Ask again what failed before.
        limits: What the batch may cost, and how many requests it may hold.

    Raises:
        BadInput: A file is in the way, or cannot be written.
    """
    spec = question.spec
    price = half_price(question.price)
    budget = Budget(limits or Limits())
    index = read_index(
        JudgeFolder(project_dir, spec.name).log, question.hash, store, question.orders
    )
    writer = _Files(folder, spec.name)
    n_judgments = n_tokens = 0
    most_usd = 0.0
    try:
        for ticket in tickets(store, question, index, retry_failed):
            before = writer.n_requests
            judgment = _go_on(ticket, index, lambda number, place: None)
            if judgment is not None:
                continue  # the next run or import writes it down; there is nothing to ask
            for place, reply in enumerate(ticket.replies):
                if reply is None:
                    request = ticket.wanted[place]
                    most = budget.most_usd(request, price)
                    if budget.blocked(most):
                        break
                    budget.ask(most)
                    most_usd += most
                    n_tokens += request_tokens(request)
                    body = request_body(request, spec.model, spec.extra_body)
                    writer.add(_custom_id(ticket, place), body)
            else:
                n_judgments += writer.n_requests > before
                continue
            break
        files = writer.finish()
    except BaseException:
        writer.abandon()
        raise
    return BatchExport(
        judge=spec.name,
        files=files,
        n_requests=writer.n_requests,
        n_judgments=n_judgments,
        prompt_tokens=n_tokens,
        most_usd=None if price is None else most_usd,
    )


def import_batches(
    project_dir: Path, store: PairStore, question: Question, files: Sequence[Path]
) -> BatchImport:
    """Take the files of answers into the judge's log, and its judgments into the store.

    Importing a file again changes nothing. The caller holds `project_lock`.

    Raises:
        BadInput: A file cannot be read or is not a file of batch answers.
    """
    spec = question.spec
    folder = JudgeFolder(project_dir, spec.name)
    store.check_judge_name(spec.name)
    log = JudgmentLog(folder.log)
    try:
        index = read_index(folder.log, question.hash, store, question.orders)
        before = read_manifest(folder.manifest, spec.name)
        entry = run_entry(question, {"batch": [path.name for path in files]}, index)
        answers = _Answers(files, question, index)
        taking = _Taking(question, index, log, answers)
        taking.all(store)
    finally:
        log.close()
    entry = entry.model_copy(
        update={
            "seconds": 0.0,
            "ended": "done",
            "n_judged": taking.n_judged,
            "n_failed": taking.n_failed,
            "spent": Spent.model_validate(asdict(taking.spent)),
        }
    )
    write_manifest(folder.manifest, with_run(before, entry, index, taking.spent))
    publish(folder, store, question, index)
    return BatchImport(
        judge=spec.name,
        n_lines=answers.n_lines,
        n_judged=taking.n_judged,
        n_failed=taking.n_failed,
        n_waiting=taking.n_waiting,
        n_unanswered=taking.n_unanswered,
        n_known=answers.n_known + taking.n_known,
        n_foreign=answers.n_foreign,
        n_pending=index.n_todo,
        spent=taking.spent,
    )


def half_price(price: Price | None) -> Price | None:
    """What a batch costs."""
    if price is None:
        return None
    return Price(price.usd_per_1m_input * BATCH_PRICE, price.usd_per_1m_output * BATCH_PRICE)


class _Taking:
    """Goes through the pairs that answers have come for, and writes down what follows."""

    def __init__(self, question: Question, index: LogIndex, log: JudgmentLog, answers: "_Answers"):
        self.spent = Spend()
        self.n_judged = self.n_failed = self.n_waiting = self.n_unanswered = self.n_known = 0
        self._question = question
        self._index = index
        self._log = log
        self._answers = answers

    def all(self, store: PairStore) -> None:
        index, question = self._index, self._question
        rows: npt.NDArray[np.bool_] = np.zeros(len(index.texts), dtype=np.bool_)
        rows[[row for row, _ in self._answers.found]] = True
        for row, pair in store.iter_texts(rows):
            for column, order in enumerate(question.orders):
                if (row, column) in self._answers.found:
                    mark = Mark(question.hash, row, pair.id or "", index.text(row), order)
                    self._take(Ticket(mark, column, question.ask(pair, order)))

    def _take(self, ticket: Ticket) -> None:
        """One judgment, as far as its answers go."""
        n_before = self.spent.requests

        def reply(number: int, place: int) -> Reply | None:
            answer = self._answers.reply(ticket, place)
            if answer is None:
                return None
            if isinstance(answer, Trouble):
                if answer.kind in ("throttled", "down", "broken"):
                    self.n_unanswered += 1
                    return None
                refused = answer.kind == "refused"
                answer = Reply(failure="refused" if refused else "error", detail=answer.detail)
            self._log.append(step_line(ticket.mark, number, place, answer))
            self.spent.add(answer)
            return answer

        judgment = _go_on(ticket, self._index, reply)
        if judgment is None:
            self.n_waiting += self.spent.requests > n_before
            self.n_known += self.spent.requests == n_before
            return
        failed = judgment.failure is not None
        line = judged_line(ticket.mark, judgment, None, ticket.detail if failed else None)
        offset = self._log.append(line)
        self._index.note(ticket.mark.row, ticket.column, judgment.failure, offset)
        self.n_judged += not failed
        self.n_failed += failed


class _Answers:
    """Where in the files the answers to this judge's questions are."""

    def __init__(self, files: Sequence[Path], question: Question, index: LogIndex):
        self.n_lines = self.n_known = self.n_foreign = 0
        self.found: dict[tuple[int, int], dict[tuple[int, int], tuple[int, int]]] = {}
        self._files = files
        self._price = half_price(question.price)
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


class _Files:
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


def _go_on(
    ticket: Ticket, index: LogIndex, answer: Callable[[int, int], Reply | None]
) -> Judgment | None:
    """Take a judgment as far as the log's replies and new answers go."""
    saved = index.steps.get((ticket.mark.row, ticket.column), {})
    judgment = ticket.advance()
    while judgment is None:
        for place in range(len(ticket.wanted)):
            reply = saved.get((ticket.number, place)) or answer(ticket.number, place)
            if reply is not None:
                ticket.take(place, reply)
        if ticket.n_open:
            return None
        judgment = ticket.advance()
    return judgment


def _custom_id(ticket: Ticket, place: int) -> str:
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
                        known = "custom_id" in line and ("response" in line or "error" in line)
                    except (ValueError, TypeError):
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
