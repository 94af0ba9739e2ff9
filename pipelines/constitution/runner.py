"""Critique and revision of many responses: what is pending is asked and logged, nothing twice.

Pending is what is wanted less what the log holds under the same plan, so a run that was cut off
goes on where it stopped, and repeats only what was in flight.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.constitution.desk import Counter, Desk, Ticket
from pipelines.constitution.log import LOG_NAME, Done, LogState, Mark, read_state, read_trajectory
from pipelines.constitution.loop import RevisePlan, Role, revise
from pipelines.constitution.manifest import ReviseEntry, read_manifest
from pipelines.constitution.trajectory import Response, Trajectory
from pipelines.errors import ServiceFailed, WorkbenchError
from pipelines.models.completions import Price
from pipelines.models.engine import Engine
from pipelines.provenance import git_revision, program_version
from pipelines.stages.budget import Budget
from pipelines.stages.log import Spend, StageLog
from pipelines.stages.manifest import Ended, Spent, with_run, write_manifest
from pipelines.stages.standing import Standing, now_and_then
from pipelines.stages.stop import GRACE_S, StopSignal
from pipelines.stages.work import until_stopped


@dataclass(frozen=True)
class Cast:
    """Who answers: engines by name, their prices, and the name that plays each role."""

    engines: Mapping[str, Engine]
    prices: Mapping[str, Price | None]
    roles: Mapping[Role, str]


@dataclass(frozen=True)
class ReviseRun:
    """What a run did."""

    ended: Ended
    n_wanted: int
    n_done: int  # all in all
    n_with_failures: int  # of them
    n_new: int  # of this run
    n_outages: int
    error: str | None
    spent: Spend  # in this run
    seconds: float
    torn_bytes: int
    n_damaged: int

    @property
    def n_pending(self) -> int:
        """Responses that are not done."""
        return self.n_wanted - self.n_done


class ReviseFolder:
    """The files of the stage in a project."""

    def __init__(self, project_dir: Path):
        self.path = project_dir / "runs" / "revise"
        self.log = self.path / LOG_NAME
        self.manifest = self.path / "manifest.json"
        self.trajectories = self.path / "trajectories.jsonl"
        self.statistics = self.path / "statistics.json"
        self.pairs = self.path / "pairs.jsonl"
        self.sft = self.path / "sft.jsonl"
        self.sft_critiques = self.path / "sft-critiques.jsonl"
        self.exports = self.path / "exports"


async def run_revise(
    project_dir: Path,
    responses: Callable[[], Iterable[Response]],
    plan: RevisePlan,
    cast: Cast,
    budget: Budget,
    *,
    settings: Mapping[str, Any],
    retry_failed: bool = False,
    stop: StopSignal | None = None,
    on_standing: Callable[[Standing], None] | None = None,
) -> ReviseRun:
    """Criticise and revise what is pending. The caller holds the project's lock of this stage.

    Args:
        project_dir: The project's folder.
        responses: Gives all wanted responses, the same ones each time; ids are unique.
        plan: What is asked.
        cast: Who answers.
        budget: What may be spent.
        settings: Kept in the manifest.
        retry_failed: Begin responses anew in whose trajectory something failed.
        stop: Calling it ends the run cleanly.
        on_standing: Called a few times a second.

    Raises:
        BadInput: An engine cannot be used as it is set, or a file cannot be written.
    """
    folder, plan_hash = ReviseFolder(project_dir), plan.hash()
    wanted = {(one.id, one.text_hash()) for one in responses()}
    log = StageLog(folder.log)
    try:
        state = read_state(folder.log, plan_hash)
        before = read_manifest(folder.manifest)
        entry = ReviseEntry(
            started_at=time.time(),
            plan_hash=plan_hash,
            constitution_hash=plan.constitution_hash,
            prompts_hash=plan.prompts.hash(),
            settings=dict(settings),
            limits=asdict(budget.limits),
            n_wanted=len(wanted),
            version=program_version(),
            git_revision=git_revision(),
        )
        write_manifest(folder.manifest, with_run(before, entry, state.spent))
        started = time.perf_counter()
        n_before = sum(state.attempt(key, retry_failed) is None for key in wanted)
        n_new = n_failed = 0

        def standing() -> Standing:
            seconds = time.perf_counter() - started
            done = n_before + n_new
            usd = desk.spent.usd
            return Standing("revise", len(wanted), done, n_before, n_failed, usd, seconds)

        def on_done(ticket: Ticket, trajectory: Trajectory, offset: int) -> None:
            nonlocal n_new, n_failed
            failed = bool(trajectory.failures())
            state.done[ticket.mark.key] = Done(offset, ticket.mark.attempt, failed)
            n_new += 1
            n_failed += failed

        fresh = _tickets(responses(), plan, plan_hash, state, retry_failed)
        on_change = now_and_then(on_standing, standing)
        desk = Desk(fresh, log, state, budget, on_done, on_change)
        ended, error = await _answer(desk, cast, stop or StopSignal())
        if on_standing is not None:
            on_standing(standing())
        seconds = time.perf_counter() - started
    finally:
        log.close()
    entry = entry.model_copy(
        update={
            "seconds": round(seconds, 3),
            "ended": ended,
            "error": None if error is None else str(error),
            "n_done": n_new,
            "spent": Spent.model_validate(asdict(desk.spent)),
        }
    )
    write_manifest(folder.manifest, with_run(before, entry, state.spent, desk.spent))
    if error is not None and not isinstance(error, ServiceFailed):
        raise error
    done = [state.done[key] for key in wanted if key in state.done]
    return ReviseRun(
        ended=ended,
        n_wanted=len(wanted),
        n_done=len(done),
        n_with_failures=sum(one.failed for one in done),
        n_new=n_new,
        n_outages=desk.n_outages,
        error=str(error) if error is not None else desk.last_outage,
        spent=desk.spent,
        seconds=seconds,
        torn_bytes=log.torn_bytes,
        n_damaged=state.n_damaged,
    )


def finished(
    project_dir: Path, responses: Iterable[Response], plan_hash: str
) -> Iterator[Trajectory]:
    """The trajectories of these responses under a plan, in the responses' order."""
    path = ReviseFolder(project_dir).log
    state = read_state(path, plan_hash)
    for response in responses:
        done = state.done.get((response.id, response.text_hash()))
        if done is not None:
            yield read_trajectory(path, done.offset)


def _tickets(
    responses: Iterable[Response],
    plan: RevisePlan,
    plan_hash: str,
    state: LogState,
    retry_failed: bool,
) -> Iterator[Ticket]:
    for response in responses:
        attempt = state.attempt((response.id, response.text_hash()), retry_failed)
        if attempt is not None:
            yield Ticket(Mark.of(plan_hash, response, attempt), revise(plan, response))


async def _answer(desk: Desk, cast: Cast, stop: StopSignal) -> tuple[Ended, WorkbenchError | None]:
    """Let the engines answer until nothing is left, or something stops them."""
    counters = desk.counters(cast.prices, cast.roles)

    async def exchange(counter: Counter, engine: Engine) -> None:
        async with aclosing(engine.ask(counter)) as replies:
            async for asked, reply in replies:
                desk.take(counter, asked, reply)

    async def all_of_them() -> None:
        tasks = [
            asyncio.create_task(exchange(counter, cast.engines[name]))
            for name, counter in zip(cast.prices, counters, strict=True)
        ]
        try:
            done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            if others:  # one engine failed: what is in flight at the other may still come
                desk.stop("interrupted")
                await asyncio.wait(others, timeout=GRACE_S)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    return await until_stopped(desk, all_of_them(), stop)
