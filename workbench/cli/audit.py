"""`workbench audit`: draw a round, follow it, certify it, verify a certificate."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from workbench.cli.options import AsJson, ProjectDir, RoundArgument
from workbench.cli.plan import plan_command

app = typer.Typer(
    no_args_is_help=True,
    help="The human audit: draw pairs for people to label, and certify the AI labels, or refuse.",
)

app.command("plan")(plan_command)


@app.command("draw")
def draw(
    project: ProjectDir = Path("."),
    label: Annotated[
        str | None,
        typer.Option(
            help="Whose labels to audit: a judge, or a rule over judges (majority, mean)."
        ),
    ] = None,
    share: Annotated[float | None, typer.Option(help="Share of the pairs, such as 0.1.")] = None,
    n: Annotated[
        int | None, typer.Option("--n", help="Number of pairs, instead of a share.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The round's name.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the draw.")] = None,
    mode: Annotated[
        Literal["uniform", "active"] | None,
        typer.Option(help="active: more of the pairs on which the judge is unsure; needs p_a."),
    ] = None,
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
    overlap: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Share that two people label.")
    ] = None,
    slice_: Annotated[
        list[str] | None,
        typer.Option("--slice", help="Declare a slice: complexity, subset, source or meta.KEY."),
    ] = None,
    edge_cases: Annotated[
        int | None, typer.Option(min=0, help="Edge cases to queue beside the draw.")
    ] = None,
    exclude_round: Annotated[
        list[str] | None, typer.Option(help="Leave out the pairs that this round drew.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Draw pairs for people to label. What is not said here comes from project.toml.

    The design (label, gate, seed, slices, guidelines) is frozen with the round.
    """
    from pipelines.errors import BadInput
    from workbench.audit.draw import draw_planned, plan_round
    from workbench.audit.options import Overrides, draw_options
    from workbench.cli.audit_text import design_lines, drawn_line
    from workbench.project import Project

    if line is not None and (trust_above is not None or warn_below is not None):
        raise BadInput("--line sets both lines; leave out --trust-above and --warn-below")
    opened = Project.open(project)
    said = Overrides(
        label=label,
        name=name,
        share=share,
        n_pairs=n,
        seed=seed,
        overlap=overlap,
        mode=mode,
        slices=tuple(slice_) if slice_ else None,
        trust_above=trust_above if line is None else line,
        warn_below=warn_below if line is None else line,
        alpha=alpha,
        ties=ties,
        edge_cases=edge_cases,
        without_rounds=tuple(exclude_round or ()),
    )
    plan = plan_round(opened, draw_options(opened, said))
    if not as_json:
        print("\n".join(design_lines(plan.design)))
    if not yes:
        if not sys.stdin.isatty():
            raise BadInput("a draw freezes its design; add --yes to draw without being asked")
        typer.confirm("Draw this round?", default=True, abort=True)
    drawn = draw_planned(opened, plan)
    if as_json:
        print(
            json.dumps(
                {
                    "round": drawn.design.name,
                    "n_new": drawn.n_new,
                    "design": drawn.design.as_json(),
                },
                indent=1,
            )
        )
    else:
        print(drawn_line(drawn, project))


@app.command("extend")
def extend(
    round_name: RoundArgument = None,
    project: ProjectDir = Path("."),
    n: Annotated[int | None, typer.Option("--n", min=1, help="How many more pairs.")] = None,
    share: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Or what share of all pairs more.")
    ] = None,
    stratum: Annotated[
        Literal["main", "safety"], typer.Option(help="Which population to draw more of.")
    ] = "main",
    as_json: AsJson = False,
) -> None:
    """Draw more pairs along the round's own order; the gate stays valid."""
    from pipelines.errors import BadInput
    from workbench.audit.extend import extend_round
    from workbench.cli.audit_text import drawn_line
    from workbench.project import Project

    if (n is None) == (share is None):
        raise BadInput("say how far to extend: --n PAIRS or --share SHARE, one of them")
    drawn = extend_round(Project.open(project), round_name, n_more=n, share=share, stratum=stratum)
    if as_json:
        print(json.dumps({"round": drawn.design.name, "n_new": drawn.n_new}, indent=1))
    else:
        print(drawn_line(drawn, project))


@app.command("status")
def status(
    round_name: RoundArgument = None,
    project: ProjectDir = Path("."),
    as_json: AsJson = False,
) -> None:
    """What a round's gate says so far. For the owner: annotators see counts only."""
    from workbench.audit.reading import read_round
    from workbench.cli.audit_text import status_dict, status_lines
    from workbench.project import Project

    read = read_round(Project.open(project), round_name)
    if as_json:
        print(json.dumps(status_dict(read), indent=1))
    else:
        print("\n".join(status_lines(read)))


@app.command("certify")
def certify(
    round_name: RoundArgument = None,
    project: ProjectDir = Path("."),
    out: Annotated[
        Path | None, typer.Option(help="Write the certificate (JSON) into this file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Certify the AI labels, or refuse: exit code 0 for TRUST, 1 for everything else.

    A WARN of the safety-critical pairs refuses too.
    """
    from workbench.audit.certificate import make_certificate
    from workbench.cli.audit_text import certificate_lines, write_certificate
    from workbench.project import Project

    certificate = make_certificate(Project.open(project), round_name)
    if out is not None:
        write_certificate(certificate, out)
    if as_json:
        print(certificate.as_json(), end="")
    else:
        print("\n".join(certificate_lines(certificate, out)))
    if not certificate.trusted:
        raise typer.Exit(1)


@app.command("verify")
def verify(
    certificate: Annotated[Path, typer.Argument(help="A file that `audit certify` wrote.")],
    project: ProjectDir = Path("."),
    as_json: AsJson = False,
) -> None:
    """Replay the draw and compute the certificate again: exit code 0 if all matches, else 1."""
    from workbench.audit.certificate_file import read_certificate
    from workbench.audit.verify import verify as hold_against
    from workbench.cli.audit_text import verification_lines
    from workbench.project import Project

    found = hold_against(Project.open(project), read_certificate(certificate))
    if as_json:
        checks = [check.__dict__ for check in found.checks]
        print(json.dumps({"match": found.ok, "checks": checks, "notes": found.notes}, indent=1))
    else:
        print("\n".join(verification_lines(found)))
    if not found.ok:
        raise typer.Exit(1)


@app.command("close")
def close(round_name: RoundArgument = None, project: ProjectDir = Path(".")) -> None:
    """Close a round: nobody is asked for more labels. Its votes and decision stay."""
    from workbench.audit.rounds import close_round
    from workbench.project import Project

    print(f"round {close_round(Project.open(project), round_name).name} is closed")


@app.command("list")
def list_(project: ProjectDir = Path("."), as_json: AsJson = False) -> None:
    """Every round of the project."""
    from workbench.audit.rounds import list_rounds
    from workbench.cli.audit_text import list_lines
    from workbench.db.session import reading
    from workbench.project import Project

    with reading(Project.open(project).engine) as session:
        rounds = list_rounds(session)
    if as_json:
        print(json.dumps([found.__dict__ for found in rounds], indent=1))
    else:
        print("\n".join(list_lines(rounds)))
