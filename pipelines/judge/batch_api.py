"""Judging at half price: requests as OpenAI batch files, and the files of answers back.

A judgment of several rounds (a rationale, then the question about it) takes as many batches: what
was answered is in the log, so the next export holds what follows from it.

Source: the "Batch" guide of the OpenAI API (half price).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.judge.batch_files import BatchAnswers, BatchWriter, custom_id_of
from pipelines.judge.batches_out import name_of, take_back, write_out
from pipelines.judge.desk import Ticket
from pipelines.judge.index import LogIndex
from pipelines.judge.log import Mark, judged_line
from pipelines.judge.manifest import read_manifest
from pipelines.judge.runner import JudgeFolder, Question, index_of, publish, run_entry, tickets
from pipelines.models.completions import (
    Price,
    Trouble,
    request_body,
    request_tokens,
)
from pipelines.models.engine import Reply
from pipelines.records import Judgment
from pipelines.stages.budget import Budget, Limits
from pipelines.stages.log import Spend, StageLog, step_line
from pipelines.stages.manifest import Spent, with_run, write_manifest
from pipelines.store import PairStore

BATCH_PRICE = 0.5  # of the usual price


@dataclass(frozen=True)
class BatchExport:
    """What was written. `prompt_tokens` and `usd` are guesses, at half price."""

    judge: str
    files: tuple[Path, ...]
    n_requests: int
    n_judgments: int
    n_out_before: int  # judgments of earlier batches that are not back, so not in this one
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
    despite_batches: bool = False,
    limits: Limits | None = None,
) -> BatchExport:
    """Write what is pending as batch files, `<judge>-001.jsonl` and on.

    Args:
        project_dir: The project's folder.
        store: Its pairs.
        question: What the judge asks.
        folder: Where the files go; none of them may exist.
        retry_failed: Ask again what failed before.
        despite_batches: Write also what is out in an earlier batch.
        limits: What the batch may cost, and how many requests it may hold.

    Raises:
        BadInput: A file is in the way, or cannot be written.
    """
    spec = question.spec
    price = half_price(question.price)
    budget = Budget(limits or Limits())
    judge_folder = JudgeFolder(project_dir, spec.name)
    index = index_of(judge_folder, question, store, despite_batches)
    out: list[str] = []
    writer = BatchWriter(folder, spec.name)
    n_judgments = n_tokens = 0
    most_usd = 0.0
    try:
        for ticket in tickets(store, question, index, index.pending(retry_failed)):
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
                    writer.add(custom_id_of(ticket, place), body)
            else:
                n_judgments += writer.n_requests > before
                out.append(name_of(ticket))
                continue
            if writer.n_requests > before:
                out.append(name_of(ticket))  # the rest of its round is for a later export
            break
        write_out(judge_folder.path, out)
        files = writer.finish()
    except BaseException:
        writer.abandon()
        raise
    return BatchExport(
        judge=spec.name,
        files=files,
        n_requests=writer.n_requests,
        n_judgments=n_judgments,
        n_out_before=index.n_out,
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
    log = StageLog(folder.log)
    try:
        index = index_of(folder, question, store, despite_batches=True)
        before = read_manifest(folder.manifest, spec.name)
        entry = run_entry(question, {"batch": [path.name for path in files]}, index)
        answers = BatchAnswers(files, question, half_price(question.price), index)
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
    write_manifest(folder.manifest, with_run(before, entry, index.spent, taking.spent))
    publish(folder, store, question, index)
    take_back(folder.path, question.hash, index, answers.found)
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

    def __init__(self, question: Question, index: LogIndex, log: StageLog, answers: BatchAnswers):
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
