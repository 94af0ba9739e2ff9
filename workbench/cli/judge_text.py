"""What `workbench judge` says: a bar while it runs, tables before and after."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pipelines.judge.estimate import Estimate
from pipelines.judge.runner import JudgeRun
from pipelines.stages.budget import Limits
from pipelines.stages.log import Spend
from pipelines.stages.standing import Standing

_PATIENCE_S = 2.0

ENDED = {
    "done": "done",
    "budget_usd": "stopped at budget_usd",
    "max_requests": "stopped at max_requests",
    "interrupted": "interrupted",
    "service": "the service failed",
}


@contextmanager
def standing_bar() -> Iterator[Callable[[Standing], None]]:
    """A bar on stderr for each judge, with rate, time left, failures and cost."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TimeRemainingColumn

    bar = Progress(
        "{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        "{task.fields[rate]:,.0f}/s",
        TimeRemainingColumn(),
        "{task.fields[failed]:,} failed",
        "{task.fields[usd]:,.4f} USD",
        console=Console(file=sys.stderr),
    )
    tasks: dict[str, TaskID] = {}
    start = time.monotonic()

    def on_standing(now: Standing) -> None:
        if not bar.live.is_started and time.monotonic() - start > _PATIENCE_S:
            bar.start()
        if now.who not in tasks:
            tasks[now.who] = bar.add_task(
                now.who, completed=now.n_before, total=now.n_wanted, rate=0.0, failed=0, usd=0.0
            )
        rate = (now.n_done - now.n_before) / now.seconds if now.seconds else 0.0
        bar.update(
            tasks[now.who],
            completed=now.n_done,
            rate=rate,
            failed=now.n_failed,
            usd=now.usd,
        )

    try:
        yield on_standing
    finally:
        if bar.live.is_started:
            bar.stop()


def estimate_lines(found: Sequence[Estimate], limits: Limits) -> list[str]:
    """What a run would take, and whether the limits allow it."""
    lines = []
    for one in found:
        lines.append(f"{one.judge}: {one.n_pending:,} of {one.n_wanted:,} judgments to do")
        if not one.n_pending:
            continue
        how = {"log": "as counted so far", "guess": "a guess from the questions' length"}
        speed = {"log": "at the last run's speed", "guess": "a guess, at full concurrency"}
        lines.append(f"  {'requests':10} {one.n_requests:>14,}")
        lines.append(f"  {'tokens':10} {one.prompt_tokens:>14,} in, {how[one.measured]}")
        lines.append(
            f"  {'':10} {one.completion_tokens:>14,} out, at most {one.most_completion_tokens:,}"
        )
        lines.append(f"  {'price':10} {price_words(one.usd, one.most_usd)}")
        lines.append(f"  {'time':10} {duration(one.seconds):>14} {speed[one.speed]}")
    usd = sum(one.usd or 0.0 for one in found)
    n_requests = sum(one.n_requests for one in found)
    return [*lines, *limit_lines(usd, n_requests, limits), "dry run: nothing asked"]


def limit_lines(usd: float, n_requests: int, limits: Limits) -> list[str]:
    """Which limits stop a run before its end; usd of what has a price."""
    lines = []
    if limits.budget_usd is not None and usd > limits.budget_usd:
        lines.append(
            f"all of it costs about {usd:,.2f} USD; the run stops before {limits.budget_usd:,.2f} "
            "(budget_usd)"
        )
    if limits.max_requests is not None and n_requests > limits.max_requests:
        lines.append(f"the run stops after {limits.max_requests:,} requests (max_requests)")
    return lines


def run_lines(runs: Sequence[JudgeRun]) -> list[str]:
    """What was done, judge by judge."""
    lines = []
    for run in runs:
        failed = ", ".join(f"{n:,} {reason}" for reason, n in run.failed.items())
        lines.append(
            f"{run.judge}: {run.n_judged:,} of {run.n_wanted:,} judged"
            + (f", failed: {failed}" if failed else "")
            + (f", {run.n_pending:,} pending" if run.n_pending else "")
        )
        rate = f"{run.n_new / run.seconds:,.0f}/s" if run.seconds and run.n_new else "-"
        lines.append(
            f"  {ENDED.get(run.ended, run.ended)}: {run.n_new:,} new in "
            f"{duration(run.seconds)} ({rate}), {spent_words(run.spent)}"
        )
        if run.n_out:
            lines.append(
                f"  {run.n_out:,} of the pending are out in a batch: import-batch brings them, "
                "--despite-batches asks them now"
            )
    if any(run.n_pending > run.n_out for run in runs):
        lines.append("run it again to go on; what is done is not asked again")
    return lines


def warnings(runs: Sequence[JudgeRun]) -> list[str]:
    """What a person should know about the log."""
    lines = []
    for run in runs:
        if run.torn_bytes:
            lines.append(
                f'judge "{run.judge}": the log\'s last line was torn ({run.torn_bytes:,} bytes), '
                "as after a kill; it was cut off and that judgment is made again"
            )
        if run.n_damaged:
            lines.append(
                f'judge "{run.judge}": {run.n_damaged:,} lines of the log are damaged; those '
                "judgments are made again"
            )
    return lines


def price_words(usd: float | None, most_usd: float | None) -> str:
    """An estimated price in a column; None where the model has none."""
    if usd is None or most_usd is None:
        return f"{'unknown':>14} set usd_per_1m_input and _output"
    return f"{usd:>14,.2f} USD, at most {most_usd:,.2f}"


def spent_words(spent: Spend) -> str:
    """What a run asked, and what it cost as far as its requests have a price."""
    line = (
        f"{spent.requests:,} requests, {spent.prompt_tokens:,} tokens in, "
        f"{spent.completion_tokens:,} out, {spent.usd:,.4f} USD"
    )
    if spent.n_unpriced:
        line += f" and {spent.n_unpriced:,} requests without a price"
    return line


def duration(seconds: float) -> str:
    """A time as a person says it."""
    if seconds < 90:
        return f"{seconds:,.1f} s"
    minutes = seconds / 60
    return f"{minutes:,.1f} min" if minutes < 90 else f"{minutes / 60:,.1f} h"
