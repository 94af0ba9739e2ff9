"""`workbench judge`: ask the project's AI judges, going on where the last run stopped."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from pipelines.errors import BadInput, ServiceFailed
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
    from pipelines.judge.spec import JudgeSpec
    from pipelines.stages.budget import Limits
    from workbench.project import Project


class _RunByDefault(TyperGroup):
    """`workbench judge NAME` is `workbench judge run NAME`."""

    # Whose Context this is, click's or Typer's own, depends on the version of Typer.
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RunByDefault,
    help="Ask the AI judges of project.toml about every pair; without a command: judge run.",
)

Names = Annotated[
    list[str] | None, typer.Argument(help="Judges of project.toml; all of them when absent.")
]
DespiteBatches = Annotated[
    bool, typer.Option("--despite-batches", help="Ask also what is out in a batch.")
]


@app.command("run")
def run(
    names: Names = None,
    project: ProjectDir = Path("."),
    dry_run: EstimateOnly = False,
    budget_usd: BudgetUsd = None,
    max_requests: MaxRequests = None,
    retry_failed: RetryFailed = False,
    only: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Ask about these pairs alone: an id a line."),
    ] = None,
    despite_batches: DespiteBatches = False,
    as_json: AsJson = False,
) -> None:
    """Ask what is pending. Stop it any time; the next run goes on and repeats nothing finished."""
    from workbench.project import Project

    opened = Project.open(project)
    specs = chosen_judges(opened, names)
    limits = limits_of(opened.config.judging, budget_usd, max_requests)
    ids = _ids(only)
    from workbench.judging import fitness_warnings

    for warning in fitness_warnings(opened, specs):
        print(f"workbench: {warning}", file=sys.stderr)
    if dry_run:
        _dry_run(opened, specs, limits, retry_failed, as_json, ids, despite_batches)
    else:
        _run(opened, specs, limits, retry_failed, as_json, ids, despite_batches)


@app.command("export-batch")
def export_batch(
    name: Annotated[str, typer.Argument(help="The judge.")],
    out: Annotated[Path, typer.Argument(help="The folder for the batch files.")],
    project: ProjectDir = Path("."),
    budget_usd: BudgetUsd = None,
    max_requests: MaxRequests = None,
    retry_failed: RetryFailed = False,
    despite_batches: DespiteBatches = False,
    as_json: AsJson = False,
) -> None:
    """Write what is pending as OpenAI batch files, to be answered at half price."""
    from pipelines.judge.batch_api import export_batches
    from pipelines.models.opening import check_bounded
    from workbench.judging import question_for
    from workbench.project import Project

    opened = Project.open(project)
    (spec,) = chosen_judges(opened, [name])
    limits = limits_of(opened.config.judging, budget_usd, max_requests)
    check_bounded(spec, limits.max_requests)
    question, _ = question_for(opened, spec, _folders(opened))
    done = export_batches(
        opened.dir,
        opened.store,
        question,
        out,
        retry_failed=retry_failed,
        despite_batches=despite_batches,
        limits=limits,
    )
    if as_json:
        _print_json({**vars(done), "files": [str(path) for path in done.files]})
        return
    cost = "" if done.most_usd is None else f", at most {done.most_usd:,.2f} USD"
    print(
        f"{done.n_requests:,} requests of {done.n_judgments:,} judgments, "
        f"about {done.prompt_tokens:,} tokens{cost}"
    )
    if done.n_out_before:
        print(f"{done.n_out_before:,} judgments are out in an earlier batch, and not in this one")
    for path in done.files:
        print(f"wrote {path}")


@app.command("import-batch")
def import_batch(
    name: Annotated[str, typer.Argument(help="The judge.")],
    files: Annotated[list[Path], typer.Argument(help="The service's output and error files.")],
    project: ProjectDir = Path("."),
    as_json: AsJson = False,
) -> None:
    """Take the answers to a batch; importing a file again changes nothing."""
    from dataclasses import asdict

    from pipelines.judge.batch_api import import_batches
    from pipelines.stages.lock import project_lock
    from workbench.judging import question_for
    from workbench.project import Project

    opened = Project.open(project)
    (spec,) = chosen_judges(opened, [name])
    question, _ = question_for(opened, spec, _folders(opened))
    with project_lock(opened.dir, "judge"):
        done = import_batches(opened.dir, opened.store, question, files)
    if as_json:
        _print_json(asdict(done))
        return
    print(f"{done.n_lines:,} lines: {done.n_judged:,} judged, {done.n_failed:,} failed")
    for count, what in (
        (done.n_waiting, "have a next question: export again"),
        (done.n_unanswered, "were not answered by the service; still pending"),
        (done.n_known, "were known"),
        (done.n_foreign, "belong to another judge, question or project"),
        (done.n_pending, "judgments are pending"),
    ):
        if count:
            print(f"  {count:>9,} {what}")
    print(f"{done.spent.usd:,.4f} USD at half price")


def chosen_judges(opened: "Project", names: list[str] | None) -> list["JudgeSpec"]:
    """The judges that are meant.

    Raises:
        BadInput: There are none, or no judge has such a name.
    """
    known = {spec.name: spec for spec in opened.config.judges}
    if not known:
        raise BadInput(
            f"{opened.dir / 'project.toml'}: has no [[judges]]; write a section for each judge"
        )
    for name in names or ():
        if name not in known:
            raise BadInput(f'no judge "{name}" in project.toml; there are: {", ".join(known)}')
    return [known[name] for name in dict.fromkeys(names or known)]


def _folders(opened: "Project") -> tuple[Path, ...]:
    from workbench.data_files import data_dir

    return (opened.dir, data_dir())


def _dry_run(
    opened: "Project",
    specs: list["JudgeSpec"],
    limits: "Limits",
    retry_failed: bool,
    as_json: bool,
    only: list[str] | None,
    despite_batches: bool,
) -> None:
    from dataclasses import asdict

    from workbench.cli.judge_text import estimate_lines
    from workbench.judging import estimates

    found = estimates(opened, specs, _folders(opened), retry_failed, only, despite_batches)
    if as_json:
        _print_json({"limits": asdict(limits), "judges": [asdict(one) for one in found]})
    else:
        print("\n".join(estimate_lines(found, limits)))


def _ids(file: Path | None) -> list[str] | None:
    """The ids in a file, one a line."""
    if file is None:
        return None
    try:
        return [line for line in file.read_text(encoding="utf-8").splitlines() if line]
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file}: cannot be read as a list of ids ({error})") from error


def _run(
    opened: "Project",
    specs: list["JudgeSpec"],
    limits: "Limits",
    retry_failed: bool,
    as_json: bool,
    only: list[str] | None,
    despite_batches: bool,
) -> None:
    from dataclasses import asdict

    import pyarrow

    from workbench.cli.judge_text import run_lines, standing_bar, warnings
    from workbench.judging import judge_all

    # A run lasts for hours and reads a little now and then: Arrow's own pool would keep it all.
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())
    with standing_bar() as on_standing:
        runs = judge_all(
            opened,
            specs,
            _folders(opened),
            limits,
            retry_failed,
            on_standing,
            only,
            despite_batches,
        )
    for line in warnings(runs):
        print(f"workbench: {line}", file=sys.stderr)
    if as_json:
        _print_json({"judges": [asdict(one) for one in runs]})
    else:
        print("\n".join(run_lines(runs)))
    failed = [one for one in runs if one.ended == "service" or one.n_outages]
    if failed:
        first = failed[0]
        left = f"{first.n_pending:,} pending" if first.n_pending else "none pending"
        raise ServiceFailed(
            f'judge "{first.judge}": the service failed after retries ({first.error}); '
            f"everything answered is kept, {left}, {sum(first.failed.values()):,} failed: "
            "run again, with --retry-failed for those"
        )
    if any(one.ended == "interrupted" for one in runs):
        raise typer.Exit(INTERRUPTED)


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False))
