"""`workbench evaluate`: win rates and suites of two policies or more."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.errors import ServiceFailed
from workbench.cli.options import (
    INTERRUPTED,
    AsJson,
    BudgetUsd,
    EstimateOnly,
    MaxRequests,
    ProjectDir,
    RetryFailed,
    limits_of,
)

if TYPE_CHECKING:
    from pipelines.generate.runner import GenerateRun
    from pipelines.judge.runner import JudgeRun
    from workbench.evaluating.run import Evaluated, Plan


def evaluate(
    policies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[POLICY]...",
            help="Names of models or training runs, the first is before; else evaluate.policies.",
        ),
    ] = None,
    project: ProjectDir = Path("."),
    name: Annotated[str, typer.Option(help="The evaluation's; its folder's.")] = "evaluation",
    judge: Annotated[
        list[str] | None, typer.Option(help="A judge; may repeat. All that compare if absent.")
    ] = None,
    suite: Annotated[
        list[str] | None, typer.Option(help="A suite or its file; may repeat.")
    ] = None,
    prompts: Annotated[
        str | None, typer.Option(metavar="WHAT", help="Instead of evaluate.prompts.")
    ] = None,
    dry_run: EstimateOnly = False,
    budget_usd: BudgetUsd = None,
    max_requests: MaxRequests = None,
    retry_failed: RetryFailed = False,
    suites: Annotated[
        bool, typer.Option("--list-suites", help="List the suites there are, and end.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare policies on held-out prompts; run it again after people labelled, or if cut off.

    Example: workbench evaluate sft dpo --suite red-team --suite over-refusal
    """
    from workbench.cli.evaluate_text import found_lines, suite_lines, undone_lines
    from workbench.cli.judge_text import standing_bar
    from workbench.evaluating.run import evaluate as run_evaluation
    from workbench.evaluating.run import plan
    from workbench.project import Project

    opened = Project.open(project)
    if suites:
        print("\n".join(suite_lines(opened)))
        return
    own = opened.config.evaluate
    limits = limits_of(own, budget_usd, max_requests)
    planned = plan(opened, name, policies or (), judge or (), suite or (), prompts, limits)
    if dry_run:
        _dry_run(planned, as_json)
        return
    with standing_bar() as on_standing:
        done = run_evaluation(planned, on_standing, retry_failed)
    if as_json:
        found = None if done.found is None else done.found.model_dump(mode="json")
        print(json.dumps({"folder": str(done.folder), "result": found}, indent=1))
    elif done.found is None:
        print("\n".join(undone_lines(done)))
    else:
        print("\n".join(found_lines(done.found, done)))
    _end(done)


def _dry_run(planned: "Plan", as_json: bool) -> None:
    from dataclasses import asdict

    from workbench.cli.evaluate_text import estimate_lines
    from workbench.evaluating.estimate import estimates

    found = estimates(planned)
    if as_json:
        print(json.dumps(asdict(found), indent=1))
    else:
        print("\n".join(estimate_lines(planned, found)))


def _end(done: "Evaluated") -> None:
    """The exit code of a run that did not end by itself."""
    runs: list[GenerateRun | JudgeRun] = [*done.generate_runs, *done.judged]
    for run in runs:
        if run.ended == "service" or (run.n_outages and run.n_pending):
            raise ServiceFailed(
                f"a service failed after retries ({run.error}); everything answered is kept: run "
                "again, with --retry-failed for what failed"
            )
    if any(run.ended == "interrupted" for run in runs):
        raise typer.Exit(INTERRUPTED)
    for run in runs:
        if run.n_outages:
            print(
                f"workbench: {run.n_outages:,} requests failed for the service's sake",
                file=sys.stderr,
            )
