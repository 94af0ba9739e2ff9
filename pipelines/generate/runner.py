"""One model's candidates for many prompts: what is pending is asked and logged, nothing twice.

Pending is what is wanted less what the log holds under the same settings, so a run that was cut off
goes on where it stopped, and repeats only what was in flight.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.errors import BadInput, ServiceFailed
from pipelines.generate.desk import Desk, Ticket
from pipelines.generate.draw import Sampling, draw
from pipelines.generate.log import LOG_NAME, LogState, Mark, read_drawn, read_state
from pipelines.generate.manifest import GenerateEntry, GenerateManifest, read_manifest
from pipelines.generate.prompts import PromptFile
from pipelines.generate.reading import CANDIDATES_NAME
from pipelines.generate.records import Prompt
from pipelines.models.engine import Engine
from pipelines.models.opening import price_of
from pipelines.models.spec import hash_of
from pipelines.provenance import git_revision, program_version
from pipelines.stages.budget import Budget
from pipelines.stages.log import Spend, StageLog
from pipelines.stages.manifest import Ended, Spent, with_run, write_manifest
from pipelines.stages.standing import Standing, now_and_then
from pipelines.stages.stop import StopSignal
from pipelines.stages.work import answer


@dataclass(frozen=True)
class GenerateRun:
    """What a run did. Prompts and candidates are those of the prompts that were given."""

    model: str
    ended: Ended
    n_prompts: int
    n_drawn: int  # prompts with candidates, all in all
    n_candidates: int  # all in all, failures included
    failed: dict[str, int]  # of them, by reason
    detail: str | None  # of one that failed
    n_new: int  # candidates of this run
    n_aside: int  # samples set aside in this run, near-identical or failed
    n_near_identical: int  # candidates of this run that stayed near-identical
    n_outages: int
    error: str | None
    spent: Spend  # in this run
    seconds: float
    torn_bytes: int
    n_damaged: int

    @property
    def n_pending(self) -> int:
        """Prompts without candidates."""
        return self.n_prompts - self.n_drawn


class GenerateFolder:
    """The files of one model's candidates in a project."""

    def __init__(self, project_dir: Path, model: str):
        self.path = project_dir / "runs" / "generate" / model
        self.log = self.path / LOG_NAME
        self.manifest = self.path / "manifest.json"
        self.candidates = self.path / CANDIDATES_NAME


async def run_generate(
    project_dir: Path,
    prompts: PromptFile,
    sampling: Sampling,
    engine: Callable[[], Engine],
    budget: Budget,
    *,
    retry_failed: bool = False,
    stop: StopSignal | None = None,
    on_standing: Callable[[Standing], None] | None = None,
) -> GenerateRun:
    """Ask for what is pending, and write candidates.jsonl at the end.

    The caller holds the project's lock of this stage. However the run ends, but for a killed
    process, candidates.jsonl has all that was drawn; after a kill the log has it, and the next run
    puts it there.

    Args:
        project_dir: The project's folder.
        prompts: What to respond to.
        sampling: Who responds, and how.
        engine: Opens the model; called only when there is something to ask.
        budget: What may be spent, over all models of this run.
        retry_failed: Sample again what failed before.
        stop: Calling it ends the run cleanly.
        on_standing: Called a few times a second.

    Raises:
        BadInput: The engine cannot be used as it is set, or a file cannot be written.
    """
    spec = sampling.spec
    sampling.check()
    folder = GenerateFolder(project_dir, spec.name)
    log = StageLog(folder.log)
    try:
        state = read_state(folder.log, sampling)
        before = read_manifest(folder.manifest, spec.name)
        entry = _entry(prompts, sampling, budget)
        write_manifest(folder.manifest, with_run(before, entry, state.spent))
        started = time.perf_counter()
        due = pending(prompts.prompts, sampling, state, retry_failed)
        n_before = len(prompts.prompts) - len(due)

        def standing() -> Standing:
            return Standing(
                spec.name,
                len(prompts.prompts),
                n_before + desk.n_drawn,
                n_before,
                sum(desk.failed.values()),
                desk.spent.usd,
                time.perf_counter() - started,
            )

        fresh = _tickets(due, sampling, state, folder.log)
        on_change = now_and_then(on_standing, standing)
        desk = Desk(fresh, log, state, budget, price_of(spec), on_change)
        ended, error = await answer(desk, engine, bool(due), stop or StopSignal())
        if on_standing is not None and ended != "failed":
            on_standing(standing())
        seconds = time.perf_counter() - started
    finally:
        log.close()
    entry = entry.model_copy(
        update={
            "seconds": round(seconds, 3),
            "ended": ended,
            "error": None if error is None else str(error),
            "n_drawn": desk.n_drawn,
            "n_new": desk.n_new,
            "failed": desk.failed,
            "n_aside": desk.n_aside,
            "n_near_identical": desk.n_near_identical,
            "spent": Spent.model_validate(asdict(desk.spent)),
        }
    )
    manifest = with_run(before, entry, state.spent, desk.spent)
    write_manifest(folder.manifest, manifest)
    _publish(folder, state, manifest)
    if error is not None and not isinstance(error, ServiceFailed):
        raise error
    drawn = [
        one
        for prompt in prompts.prompts
        if (one := state.drawn.get((prompt.id, prompt.text_hash()))) is not None
    ]
    failed: dict[str, int] = {}
    spoilt = [one.offset for one in drawn if one.failed][:1]
    details = (one.detail for found in read_drawn(folder.log, spoilt) for one in found)
    for one in drawn:
        for name, n in one.failed.items():
            failed[name] = failed.get(name, 0) + n
    return GenerateRun(
        model=spec.name,
        ended=ended,
        n_prompts=len(prompts.prompts),
        n_drawn=len(drawn),
        n_candidates=sum(one.n for one in drawn),
        failed=failed,
        detail=next((detail for detail in details if detail), None),
        n_new=desk.n_new,
        n_aside=desk.n_aside,
        n_near_identical=desk.n_near_identical,
        n_outages=desk.n_outages,
        error=str(error) if error is not None else desk.last_outage,
        spent=desk.spent,
        seconds=seconds,
        torn_bytes=log.torn_bytes,
        n_damaged=state.n_damaged,
    )


def pending(
    prompts: Sequence[Prompt], sampling: Sampling, state: LogState, retry_failed: bool
) -> list[Prompt]:
    """Prompts that lack candidates, or with `retry_failed` have some that failed."""
    due = []
    for prompt in prompts:
        drawn = state.drawn.get((prompt.id, prompt.text_hash()))
        if (
            drawn is None
            or drawn.n < sampling.n_candidates
            or (retry_failed and bool(drawn.failed))
        ):
            due.append(prompt)
    return due


def _tickets(
    due: Sequence[Prompt], sampling: Sampling, state: LogState, log: Path
) -> Iterator[Ticket]:
    for prompt in due:
        mark = Mark.of(sampling, prompt)
        drawn = state.drawn.get(mark.key)
        earlier = () if drawn is None else next(read_drawn(log, [drawn.offset]))
        yield Ticket(mark, draw(sampling, prompt, earlier))


def _publish(folder: GenerateFolder, state: LogState, manifest: GenerateManifest) -> None:
    """Write candidates.jsonl anew from the log, unless it is of this very log."""
    n_bytes = folder.log.stat().st_size
    if manifest.log_bytes == n_bytes and folder.candidates.is_file():
        return
    partial = folder.candidates.with_suffix(".partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            for candidates in read_drawn(folder.log, sorted(state.latest.values())):
                for one in candidates:
                    values = one.model_dump(mode="json", exclude_none=True)
                    file.write(json.dumps(values, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder.candidates)
    except OSError as error:
        raise BadInput(
            f"{folder.candidates}: cannot be written ({error.strerror or error}); the candidates "
            "are kept in the log beside it: make room, then run again"
        ) from error
    write_manifest(folder.manifest, manifest.model_copy(update={"log_bytes": n_bytes}))


def _entry(prompts: PromptFile, sampling: Sampling, budget: Budget) -> GenerateEntry:
    return GenerateEntry(
        started_at=time.time(),
        settings_hash=sampling.hash,
        spec=sampling.spec.model_dump(mode="json"),
        n_candidates=sampling.n_candidates,
        seed=sampling.seed,
        near=sampling.near,
        resamples=sampling.resamples,
        prompts=prompts.source,
        prompts_hash=hash_of([[one.id, one.text_hash()] for one in prompts.prompts]),
        limits=asdict(budget.limits),
        n_prompts=len(prompts.prompts),
        version=program_version(),
        git_revision=git_revision(),
    )
