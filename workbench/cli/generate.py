"""`workbench generate`: candidate responses to prompts; `workbench prompts`: the sets that ship."""

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
    from pipelines.generate.prompts import PromptFile
    from workbench.generating import Generated

_REJECTS_SHOWN = 5


def generate(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL]...", help="Of [[models]]; by default generate.models."),
    ] = None,
    project: ProjectDir = Path("."),
    prompts: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT", help="A file, a folder, hf:ORG/NAME, or a set of `workbench prompts`."
        ),
    ] = None,
    n: Annotated[
        int | None, typer.Option("-n", min=1, max=1000, help="Candidates for each prompt.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="One bad row refuses all.")] = False,
    no_pairs: Annotated[
        bool, typer.Option("--no-pairs", help="Make no pairs of the candidates.")
    ] = False,
    dry_run: EstimateOnly = False,
    budget_usd: BudgetUsd = None,
    max_requests: MaxRequests = None,
    retry_failed: RetryFailed = False,
    as_json: AsJson = False,
) -> None:
    """Ask models for several responses to each prompt, and make pairs of them to be judged.

    Stop it any time; the next run goes on and repeats nothing finished.
    """
    from dataclasses import asdict

    from pipelines.generate.prompts import read_prompts
    from workbench import generating
    from workbench.cli.generate_text import estimate_lines, generated_lines, warnings
    from workbench.cli.judge_text import standing_bar
    from workbench.project import Project
    from workbench.prompt_sets import prompts_path

    opened = Project.open(project)
    own = opened.config.generate
    wanted = generating.samplings(opened, generating.chosen_models(opened, models or ()), n)
    read = read_prompts(prompts_path(prompts or own.prompts, opened.dir), strict)
    limits = limits_of(own, budget_usd, max_requests)
    _say_rejects(read)
    about = {
        "source": read.source,
        "n_rows": read.n_rows,
        "n_prompts": len(read.prompts),
        "n_duplicates": read.n_duplicates,
        "rejects": [asdict(one) for one in read.rejects],
    }
    if dry_run:
        found = generating.estimates(opened, read, wanted, retry_failed)
        if as_json:
            models_found = [asdict(one) for one in found]
            _print_json({"prompts": about, "limits": asdict(limits), "models": models_found})
        else:
            print("\n".join(estimate_lines(read, found, limits)))
        return
    with standing_bar() as on_standing:
        done = generating.generate_all(
            opened,
            read,
            wanted,
            limits,
            retry_failed=retry_failed,
            make_pairs=not no_pairs,
            on_standing=on_standing,
        )
    for line in warnings(done.runs):
        print(f"workbench: {line}", file=sys.stderr)
    if as_json:
        _print_json({"prompts": about, **asdict(done)})
    else:
        print("\n".join(generated_lines(read, done)))
    _end(done)


def _end(done: "Generated") -> None:
    """The exit code of a run that did not end by itself."""
    failed = [one for one in done.runs if one.ended == "service" or one.n_outages]
    if failed:
        first = failed[0]
        left = f"{first.n_pending:,} prompts are pending"
        if n_failed := sum(first.failed.values()):
            left += f"; {n_failed:,} candidates failed, run again with --retry-failed for those"
        raise ServiceFailed(
            f'model "{first.model}": the service failed after retries ({first.error}); everything '
            f"answered is kept, {left}"
        )
    if any(one.ended == "interrupted" for one in done.runs):
        raise typer.Exit(INTERRUPTED)


def prompts(as_json: AsJson = False) -> None:
    """List the prompt sets that ship, for `workbench generate --prompts NAME`."""
    from workbench.prompt_sets import prompt_sets

    found = prompt_sets()
    if as_json:
        _print_json(
            [
                {
                    "name": one.name,
                    "language": one.language,
                    "n_prompts": one.n_prompts,
                    "subsets": one.subsets,
                    "path": str(one.path),
                }
                for one in found
            ]
        )
        return
    width = max(len(one.name) for one in found)
    for one in found:
        print(f"{one.name:{width}}  {one.n_prompts:>3} prompts: {', '.join(one.subsets)}")


def _say_rejects(read: "PromptFile") -> None:
    for reject in read.rejects[:_REJECTS_SHOWN]:
        print(f"workbench: {read.source}:{reject.line}: {reject.detail}; left out", file=sys.stderr)
    more = len(read.rejects) - _REJECTS_SHOWN
    if more > 0:
        print(f"workbench: {read.source}: {more:,} more rows left out", file=sys.stderr)


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False))
