"""One judge over the pairs of a project: what is pending is asked, logged, and put in the store.

Pending is what is wanted (each pair in each order) less what the log holds under the same question,
so a run that was cut off goes on where it stopped, and a judge that is asked something else begins
anew while the others keep what they have.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.errors import ServiceFailed
from pipelines.judge.batches_out import read_out
from pipelines.judge.desk import Desk, Steps, Ticket
from pipelines.judge.index import LogIndex, iter_judgments, read_index
from pipelines.judge.log import LOG_NAME, Mark
from pipelines.judge.manifest import Published, RunEntry, read_manifest
from pipelines.judge.spec import JudgeSpec
from pipelines.models.completions import Price
from pipelines.models.engine import Engine
from pipelines.provenance import git_revision, program_version
from pipelines.records import Order, PreferencePair
from pipelines.stages.budget import Budget
from pipelines.stages.log import Spend, StageLog
from pipelines.stages.manifest import Ended, Spent, with_run, write_manifest
from pipelines.stages.standing import Standing, now_and_then
from pipelines.stages.stop import StopSignal
from pipelines.stages.work import answer
from pipelines.store import PairStore

Ask = Callable[[PreferencePair, Order | None], Steps]


@dataclass(frozen=True)
class Question:
    """What one judge asks about every pair."""

    spec: JudgeSpec
    template_hash: str
    orders: tuple[Order | None, ...]
    ask: Ask  # the mode: a judgment in the making for a pair and an order
    price: Price | None = None
    wanted: npt.NDArray[np.bool_] | None = None  # (n_pairs,) asked about; all when None

    @property
    def hash(self) -> str:
        """Names the question."""
        return self.spec.hash(self.template_hash)


@dataclass(frozen=True)
class JudgeRun:
    """What a run did. `n_judged`, `failed` and `n_pending` are of the judge now, all in all."""

    judge: str
    ended: Ended
    n_wanted: int
    n_judged: int
    failed: dict[str, int]  # by reason
    n_pending: int
    n_out: int  # of them, in a batch that is not back
    n_new: int  # judgments and failures of this run
    n_outages: int  # requests that failed for the service's sake, in this run
    error: str | None
    spent: Spend  # in this run
    seconds: float
    torn_bytes: int
    n_damaged: int


class JudgeFolder:
    """The files of one judge in a project."""

    def __init__(self, project_dir: Path, judge: str):
        self.path = project_dir / "runs" / "judge" / judge
        self.log = self.path / LOG_NAME
        self.manifest = self.path / "manifest.json"


async def run_judge(
    project_dir: Path,
    store: PairStore,
    question: Question,
    engine: Callable[[], Engine],
    budget: Budget,
    *,
    retry_failed: bool = False,
    only: npt.NDArray[np.bool_] | None = None,
    despite_batches: bool = False,
    stop: StopSignal | None = None,
    on_standing: Callable[[Standing], None] | None = None,
) -> JudgeRun:
    """Ask what is pending, and put all judgments of the judge into the store at the end.

    The caller holds `project_lock`. However the run ends, but for a killed process, what was judged
    is in the store; after a kill it is in the log, and the next run puts it there.

    Args:
        project_dir: The project's folder.
        store: Its pairs.
        question: What the judge asks.
        engine: Opens who answers; called only when there is something to ask.
        budget: What may be spent, over all judges of this run.
        retry_failed: Ask again what failed before.
        only: Pairs to ask about now, shape (n_pairs,), as a cascade's dear judge is; all when None.
        despite_batches: Ask also what is out in a batch.
        stop: Calling it ends the run cleanly.
        on_standing: Called a few times a second.

    Raises:
        BadInput: The engine cannot be used as it is set; a file cannot be written; imported
            verdicts have the judge's name.
    """
    spec = question.spec
    folder = JudgeFolder(project_dir, spec.name)
    store.check_judge_name(spec.name)
    log = StageLog(folder.log)
    try:
        index = index_of(folder, question, store, despite_batches)
        before = read_manifest(folder.manifest, spec.name)
        entry = run_entry(question, asdict(budget.limits), index)
        write_manifest(folder.manifest, with_run(before, entry, index.spent))
        started = time.perf_counter()
        pending = index.pending(retry_failed)
        n_before = index.n_wanted - int(pending.sum())

        def standing() -> Standing:
            return Standing(
                spec.name,
                index.n_wanted,
                n_before + desk.n_judged + desk.n_failed,
                n_before,
                desk.n_failed,
                desk.spent.usd,
                time.perf_counter() - started,
            )

        if only is not None:
            pending &= only[:, None]
        fresh = tickets(store, question, index, pending)
        on_change = now_and_then(on_standing, standing)
        desk = Desk(fresh, log, index, budget, question.price, on_change)
        ended, error = await answer(desk, engine, bool(pending.any()), stop or StopSignal())
        if on_standing is not None:
            on_standing(standing())
        seconds = time.perf_counter() - started
        entry = entry.model_copy(
            update={
                "seconds": round(seconds, 3),
                "ended": ended,
                "error": None if error is None else str(error),
                "n_judged": desk.n_judged,
                "n_failed": desk.n_failed,
                "spent": Spent.model_validate(asdict(desk.spent)),
            }
        )
    finally:
        log.close()
    write_manifest(folder.manifest, with_run(before, entry, index.spent, desk.spent))
    publish(folder, store, question, index)
    if error is not None and not isinstance(error, ServiceFailed):
        raise error
    return JudgeRun(
        judge=spec.name,
        ended=ended,
        n_wanted=index.n_wanted,
        n_judged=index.n_judged,
        failed=index.failed(),
        n_pending=index.n_todo,
        n_out=index.n_out,
        n_new=desk.n_judged + desk.n_failed,
        n_outages=desk.n_outages,
        error=str(error) if error is not None else desk.last_outage,
        spent=desk.spent,
        seconds=seconds,
        torn_bytes=log.torn_bytes,
        n_damaged=index.n_damaged,
    )


def index_of(
    folder: JudgeFolder, question: Question, store: PairStore, despite_batches: bool = False
) -> LogIndex:
    """What a judge's log says about a question, and what of it is out in a batch."""
    index = read_index(folder.log, question.hash, store, question.orders)
    index.wanted = question.wanted
    if not despite_batches:
        index.out = read_out(folder.path, question.hash, index)
    return index


def publish(folder: JudgeFolder, store: PairStore, question: Question, index: LogIndex) -> None:
    """Put what the log says into the store, unless the store has it already.

    Before anything is judged under a new question, the store keeps the answers to the old one.
    """
    judge = question.spec.name
    if not (index.offset >= 0).any():
        return
    manifest = read_manifest(folder.manifest, judge)
    state = Published(
        spec_hash=question.hash,
        orders=list(question.orders),
        log_bytes=folder.log.stat().st_size,
        n_pairs=len(index.texts),
        sha256=_sha256_in(store, judge),
    )
    if manifest.published == state:
        return
    store.put_judgments_by_row(judge, iter_judgments(folder.log, index, judge))
    state = state.model_copy(update={"sha256": _sha256_in(store, judge)})
    write_manifest(folder.manifest, manifest.model_copy(update={"published": state}))


def tickets(
    store: PairStore,
    question: Question,
    index: LogIndex,
    pending: npt.NDArray[np.bool_],
) -> Iterator[Ticket]:
    """Every pending judgment, by pair; one row group of pairs in memory at a time.

    Args:
        store: The project's pairs.
        question: What is asked.
        index: What the log holds.
        pending: Shape (n_pairs, n_orders).
    """
    spec_hash = question.hash
    rows: npt.NDArray[np.bool_] = np.logical_or.reduce(pending, axis=1)
    for row, pair in store.iter_texts(rows):
        if pair.id is None:
            raise ValueError("a pair of the store has no id")
        for column, order in enumerate(question.orders):
            if pending[row, column]:
                mark = Mark(spec_hash, row, pair.id, index.text(row), order)
                yield Ticket(mark, column, question.ask(pair, order))


def run_entry(question: Question, limits: dict[str, Any], index: LogIndex) -> RunEntry:
    """A run that has begun."""
    return RunEntry(
        started_at=time.time(),
        spec_hash=question.hash,
        template_hash=question.template_hash,
        spec=question.spec.model_dump(mode="json"),
        limits=limits,
        n_wanted=index.n_wanted,
        version=program_version(),
        git_revision=git_revision(),
    )


def _sha256_in(store: PairStore, judge: str) -> str:
    return next((file.sha256 for file in store.manifest().judged if file.judge == judge), "")
