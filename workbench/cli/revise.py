"""`workbench revise`: criticise and revise responses by the constitution."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.errors import ServiceFailed
from workbench.cli.options import INTERRUPTED, AsJson, BudgetUsd, MaxRequests, ProjectDir, limits_of

if TYPE_CHECKING:
    from pipelines.agreement.estimate import Estimate
    from pipelines.config import ReviseSection
    from pipelines.constitution.estimate import ReviseEstimate
    from pipelines.constitution.measure import ReviseStatistics
    from pipelines.constitution.runner import ReviseRun
    from pipelines.stages.budget import Limits
    from workbench.revising import Outputs


def revise(
    source: Annotated[
        str | None,
        typer.Argument(help='"candidates", "pairs", or a JSONL file of prompt and response.'),
    ] = None,
    project: ProjectDir = Path("."),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say requests, tokens and price; ask nothing.")
    ] = False,
    constitution: Annotated[
        str | None, typer.Option(metavar="FILE", help="In place of the run file's.")
    ] = None,
    max_iterations: Annotated[
        int | None, typer.Option(min=1, max=20, help="Rounds of revision at most.")
    ] = None,
    principles_per_round: Annotated[
        int | None, typer.Option(min=0, help="A random few each round; 0: all.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The first so many responses.")] = None,
    budget_usd: BudgetUsd = None,
    max_requests: MaxRequests = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Begin those anew in which something failed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Criticise each response by every principle, revise it, and again, until all of them hold.

    Stop it any time; the next run goes on and repeats nothing finished.
    """
    from workbench.cli.judge_text import standing_bar
    from workbench.project import Project
    from workbench.revising import estimated, revise_all, set_up

    opened = Project.open(project)
    own = opened.config.revise
    given = {
        "source": None if source is None else _as_path(source),
        "constitution": None if constitution is None else _as_path(constitution),
        "max_iterations": max_iterations,
        "principles_per_round": principles_per_round,
    }
    section = own.model_copy(update={key: one for key, one in given.items() if one is not None})
    limits = limits_of(own, budget_usd, max_requests)
    setup = set_up(opened, section, limit)
    if dry_run:
        _print_estimate(estimated(opened, setup, retry_failed), limits, section, as_json)
        return
    with standing_bar() as on_standing:
        run, outputs = revise_all(opened, setup, limits, retry_failed, on_standing)
    _print_run(run, outputs, as_json)
    if run.ended == "service" or run.n_outages:
        left = f"{run.n_pending:,} responses are pending"
        if run.n_with_failures:
            left += f"; {run.n_with_failures:,} have failures, run again with --retry-failed"
        raise ServiceFailed(
            f"the service failed after retries ({run.error}); everything answered is kept, {left}"
        )
    if run.ended == "interrupted":
        raise typer.Exit(INTERRUPTED)


def _as_path(name: str) -> str:
    """A file as the shell means it; other words as they are."""
    path = Path(name)
    return str(path.resolve()) if path.is_file() else name


def _print_estimate(
    found: "ReviseEstimate", limits: "Limits", section: "ReviseSection", as_json: bool
) -> None:
    from dataclasses import asdict

    if as_json:
        print(json.dumps({"limits": asdict(limits), "revise": asdict(found)}, indent=1))
        return
    print(f"{found.n_pending:,} of {found.n_wanted:,} responses to do")
    rounds = section.max_iterations
    print(
        f"  requests {found.least_requests:>12,} if every principle holds at once, "
        f"{found.most_requests:,} if none does in {rounds} rounds"
    )
    if found.likely_requests is not None:
        print(f"           {found.likely_requests:>12,} as counted so far")
    print(
        f"  tokens   {found.least_prompt_tokens:>12,} in at least, {found.most_prompt_tokens:,} in "
        f"and {found.most_completion_tokens:,} out at most"
    )
    if found.least_usd is None or found.most_usd is None:
        print("  price         unknown: set usd_per_1m_input and _output")
    else:
        print(f"  price    {found.least_usd:>12,.2f} USD at least, {found.most_usd:,.2f} at most")
        if limits.budget_usd is not None and found.most_usd > limits.budget_usd:
            print(f"the run stops before {limits.budget_usd:,.2f} USD (budget_usd)")
    if limits.max_requests is not None and found.most_requests > limits.max_requests:
        print(f"the run stops after {limits.max_requests:,} requests (max_requests)")
    print("dry run: nothing asked")


def _print_run(run: "ReviseRun", outputs: "Outputs | None", as_json: bool) -> None:
    from dataclasses import asdict

    from workbench.cli.judge_text import spent_words

    if run.torn_bytes:
        print(
            f"workbench: the log's last line was torn ({run.torn_bytes:,} bytes), as after a kill; "
            "it was cut off and that request is made again",
            file=sys.stderr,
        )
    if run.n_damaged:
        print(
            f"workbench: {run.n_damaged:,} lines of the log are damaged; what they held is asked "
            "again",
            file=sys.stderr,
        )
    if as_json:
        body: dict[str, Any] = {"run": asdict(run), "statistics": None, "written": None}
        if outputs is not None:
            files = [str(path) for path in outputs.written.files]
            body["statistics"] = asdict(outputs.statistics)
            body["written"] = {**asdict(outputs.written), "files": files}
        print(json.dumps(body, indent=1, ensure_ascii=False))
        return
    print(
        f"{run.n_done:,} of {run.n_wanted:,} responses done ({run.n_new:,} new in "
        f"{run.seconds:,.1f} s, {spent_words(run.spent)})"
    )
    if run.ended != "done":
        print(f"ended: {run.ended}; run it again to go on, what is done is not asked again")
    if outputs is None:
        print("nothing is written yet; what an earlier run wrote stays")
        return
    written = outputs.written
    print("\n".join(_statistics_lines(outputs.statistics)))
    print(
        f"{written.n_sft:,} demonstrations, {written.n_sft_critiques:,} with critiques, "
        f"{written.n_pairs:,} pairs{_listed(written.no_pair, ', no pair: ')}"
    )
    print(f"files: {written.files[0].parent}")


def _statistics_lines(found: "ReviseStatistics") -> list[str]:
    lines = [f"ended{_listed(found.endings, ': ')}"]
    if found.rounds_needed:
        needed = ", ".join(f"{n}: {count:,}" for n, count in found.rounds_needed.items())
        lines.append(f"rounds of revision until all hold: {needed}")
    lines.append("violations as the critic sees them (95% interval)")
    rows = [(one.principle, one.before, one.after) for one in found.principles]
    width = max(len(name) for name, _, _ in (*rows, ("any principle", None, None)))
    for name, before, after in (*rows, ("any principle", found.any_before, found.any_after)):
        lines.append(f"  {name:{width}}  {_words(before)} -> {_words(after)}")
    lines.append(f"length, last over first, of changed responses: {_ratio(found.length_ratio)}")
    lines.append(f"refusals: {found.n_refusals_gained:,} gained, {found.n_refusals_lost:,} lost")
    for kind, reasons in found.failures.items():
        if reasons:
            lines.append(f"{kind}s that failed{_listed(reasons, ': ')}")
    if found.n_asked_again:
        lines.append(f"{found.n_asked_again:,} critiques could not be read and were asked again")
    return lines


def _words(value: "Estimate | None") -> str:
    if value is None:
        return "no verdicts"
    return f"{value.estimate:6.1%} ({value.low:.1%} to {value.high:.1%}, n={value.n:,})"


def _ratio(value: "Estimate | None") -> str:
    if value is None:
        return "undefined"
    return f"{value.estimate:.2f} ({value.low:.2f} to {value.high:.2f}, n={value.n:,})"


def _listed(counts: dict[str, int], before: str) -> str:
    if not counts:
        return ""
    return before + ", ".join(f"{count:,} {name}" for name, count in counts.items())
