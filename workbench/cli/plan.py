"""`workbench audit plan`: what a round will cost and how it may end, before anybody labels."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from workbench.cli.options import AsJson

if TYPE_CHECKING:
    from pipelines.agreement.plan import Planner, PlanRow
    from pipelines.config import AuditSection

_PATIENCE_S = 2.0


def plan_command(
    project: Annotated[Path, typer.Option(help="The project folder; not needed with --pairs.")] = (
        Path(".")
    ),
    pairs: Annotated[
        int | None,
        typer.Option(min=1, help="How many pairs there are; those of the project if absent."),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Whose labels would be audited: a judge, or a rule.")
    ] = None,
    share: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Share of the pairs to draw.")
    ] = None,
    n: Annotated[
        int | None, typer.Option("--n", min=1, help="Number of pairs to draw, instead of a share.")
    ] = None,
    mode: Annotated[
        Literal["uniform", "active"] | None,
        typer.Option(help="active: more of the pairs on which the judge is unsure; needs p_a."),
    ] = None,
    auroc: Annotated[
        float,
        typer.Option(help="active: how well the judge's confidence tells right from wrong."),
    ] = 0.80,
    trust_above: Annotated[float | None, typer.Option(help="TRUST above this agreement.")] = None,
    warn_below: Annotated[float | None, typer.Option(help="WARN below this agreement.")] = None,
    line: Annotated[
        float | None, typer.Option(help="A single line: both of the above at once.")
    ] = None,
    alpha: Annotated[float | None, typer.Option(help="Level of each test.")] = None,
    ties: Annotated[
        Literal["decisive", "strict"] | None,
        typer.Option(
            help="decisive: a person's tie decides nothing. strict: labels must be equal."
        ),
    ] = None,
    tie_share: Annotated[
        float, typer.Option(min=0.0, help="decisive: share of pairs people will call a tie.")
    ] = 0.10,
    seconds_per_pair: Annotated[
        float | None, typer.Option(help="Time that a person needs for one pair.")
    ] = None,
    theta: Annotated[
        list[float] | None,
        typer.Option("--agreement", help="An agreement to plan for; may be given several times."),
    ] = None,
    chart: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write a chart into this file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """How many labels and hours a round needs, and how it will end, for plausible agreements.

    What is not said here comes from project.toml, or is the default where there is no project.
    """
    from pipelines.agreement.decision import Gate
    from pipelines.agreement.plan import THETAS, Planner
    from pipelines.errors import BadInput
    from workbench.audit.options import StratumOptions
    from workbench.cli.plan_text import plan_lines

    if line is not None and (trust_above is not None or warn_below is not None):
        raise BadInput("--line sets both lines; leave out --trust-above and --warn-below")
    if share is not None and n is not None:
        raise BadInput("--share and --n both say how many pairs to draw; give one of them")
    audit, n_population = _project(project, pairs, label)
    size = StratumOptions(
        share=audit.share if share is None else share,
        n_pairs=audit.n_pairs if n is None and share is None else n,
    ).size(n_population)
    upper, lower = (trust_above, warn_below) if line is None else (line, line)
    gate = Gate(
        trust_above=audit.trust_above if upper is None else upper,
        warn_below=audit.warn_below if lower is None else lower,
        alpha=audit.alpha if alpha is None else alpha,
        ties=ties or audit.ties,
    )
    planner = Planner(
        gate,
        n_population,
        size,
        mode or audit.mode,
        auroc=auroc,
        tie_share=tie_share if gate.ties == "decisive" else 0.0,
        seconds_per_pair=audit.seconds_per_pair if seconds_per_pair is None else seconds_per_pair,
    )
    plan = planner.assemble(list(_watched(planner, sorted(theta or THETAS))))
    if chart is not None:
        from workbench.app.plan_chart import write_chart

        write_chart(plan, chart)
    if as_json:
        print(json.dumps(plan.as_dict(), indent=1))
        return
    print("\n".join(plan_lines(plan)))
    if chart is not None:
        print(f"\nThe chart is in {chart}; open it in a browser.")


def _project(folder: Path, pairs: int | None, label: str | None) -> tuple["AuditSection", int]:
    """The audit section to plan with, and how many pairs the round would draw from."""
    from pipelines.config import AuditSection
    from pipelines.errors import BadInput
    from workbench.project import Project

    if pairs is not None:
        try:
            return Project.open(folder).config.audit, pairs
        except BadInput:
            # A plan needs no project; one with a broken run file is a mistake worth hearing of.
            if any((place / "project.toml").is_file() for place in _upward(folder)):
                raise
            return AuditSection(), pairs

    from workbench.audit.design import MAIN
    from workbench.audit.options import draw_options
    from workbench.audit.population import choose_label, read_population

    opened = Project.open(folder)
    options = draw_options(opened)
    name = choose_label(opened.annotations(), label or options.label)
    population = read_population(opened, name, options.safety_rule)
    n_pairs = len(population.rows(MAIN))
    if n_pairs == 0:
        raise BadInput(f"no pair has a label of {name!r} to audit; see `workbench doctor`")
    return opened.config.audit, n_pairs


def _upward(folder: Path) -> tuple[Path, ...]:
    start = folder.resolve()
    return (start, *start.parents)


def _watched(planner: "Planner", thetas: Sequence[float]) -> Iterator["PlanRow"]:
    """The rows, with a bar on stderr where they take more than a moment."""
    from rich.console import Console
    from rich.progress import track

    start = time.monotonic()
    for done, theta in enumerate(thetas):
        if time.monotonic() - start > _PATIENCE_S:
            rest = track(
                thetas[done:],
                description="planning",
                console=Console(file=sys.stderr),
                transient=True,
            )
            yield from (planner.row(late) for late in rest)
            return
        yield planner.row(theta)
