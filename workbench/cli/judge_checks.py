"""`workbench judge validate` and `compare`: what judges are worth, against human labels."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from workbench.cli.options import AsJson, ProjectDir

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pipelines.agreement.annotations import Annotations
    from pipelines.judge.validate import HumanSide
    from workbench.project import Project

NOT_TRUSTED = 1

RoundName = Annotated[
    str | None, typer.Option("--round", help="Only this round's votes, no imported labels.")
]
Seed = Annotated[int, typer.Option(min=0, help="Of random choices.")]
Judges = Annotated[
    list[str] | None, typer.Argument(help="Judges; all that have verdicts when absent.")
]


def register(app: typer.Typer) -> None:
    """Add these commands to a group."""
    app.command("validate")(validate_command)
    app.command("compare")(compare_command)


def validate_command(
    judges: Judges = None,
    project: ProjectDir = Path("."),
    n: Annotated[int, typer.Option("--n", min=1, help="Labelled pairs to use, at most.")] = 500,
    warn_below: Annotated[
        float | None, typer.Option(help="Warn below this accuracy; [audit] by default.")
    ] = None,
    trust_above: Annotated[
        float | None, typer.Option(help="Trust above this accuracy; [audit] by default.")
    ] = None,
    ties: Annotated[
        Literal["decisive", "strict"] | None,
        typer.Option(help="decisive: a human tie says nothing. strict: labels must be equal."),
    ] = None,
    round_name: RoundName = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Judges against human labels. Exits with 1 unless every judge is trusted."""
    from pipelines.agreement.annotations import NONE
    from pipelines.judge.scoring import asked_and_answered
    from pipelines.judge.validate import ValidateOptions, validate
    from pipelines.preferences.combine import combine
    from workbench.audit.human_side import human_side
    from workbench.audit.slices import slice_values
    from workbench.cli.judge_checks_text import print_validation

    opened, annotations = open_judged(project)
    audit = opened.config.audit
    options = ValidateOptions(
        warn_below=audit.warn_below if warn_below is None else warn_below,
        trust_above=audit.trust_above if trust_above is None else trust_above,
        alpha=audit.alpha,
        ties=ties or audit.ties,
    )
    human = human_side(opened, annotations, n, seed, round_name)
    n_pairs = annotations.n_pairs
    groups = {name: slice_values(opened, name, n_pairs) for name in ("subset", "complexity")}
    found = []
    for judge in judges or annotations.judges:
        combined = combine(annotations, judge)
        if judge in annotations.judges:
            asked, answered = asked_and_answered(annotations, judge)
        else:  # a rule over all judges
            asked, answered = _of_any(annotations, annotations.verdict_label != NONE)
        found.append(
            validate(
                judge,
                combined,
                asked,
                human,
                annotations.prompt,
                groups,
                options,
                failed=asked & ~answered,
                learned=learned_rows(opened, judge),
            )
        )
    trusted = all(one.trusted for one in found)
    if as_json:
        worst = next((v for v in ("WARN", "UNDECIDED") for one in found if one.verdict == v), None)
        print_json(
            {
                "decision": worst or "TRUST",
                "trust_above": options.trust_above,
                "warn_below": options.warn_below,
                "alpha": options.alpha,
                "ties": options.ties,
                "human": _human(human),
                "judges": [one.as_dict() for one in found],
            }
        )
    else:
        print_validation(found, human, options)
    if not trusted:
        raise typer.Exit(NOT_TRUSTED)


def compare_command(
    judges: Annotated[
        list[str] | None, typer.Argument(help="Two judges or more; all when absent.")
    ] = None,
    project: ProjectDir = Path("."),
    baseline: Annotated[
        str | None, typer.Option(help="Whom the others are held against; the first by default.")
    ] = None,
    round_name: RoundName = None,
    as_json: AsJson = False,
) -> None:
    """Judge settings side by side on the same labelled pairs, paired."""
    from pipelines.judge.compare import side_by_side
    from workbench.audit.human_side import human_side
    from workbench.cli.judge_checks_text import print_comparison

    opened, annotations = open_judged(project)
    human = human_side(opened, annotations, None, 0, round_name)
    table = side_by_side(
        annotations,
        human.reference,
        judges or annotations.judges,
        baseline=baseline,
        learned={judge: learned_rows(opened, judge) for judge in annotations.judges},
    )
    if as_json:
        print_json({"human": _human(human), **table.as_dict()})
    else:
        print_comparison(table, human)


def open_judged(folder: Path) -> tuple["Project", "Annotations"]:
    """The project and its verdicts.

    Raises:
        BadInput: There is none, or no judge has said anything yet.
    """
    from pipelines.errors import BadInput
    from workbench.project import Project

    opened = Project.open(folder)
    annotations = opened.annotations()
    if not annotations.judges:
        raise BadInput(
            f"{opened.dir}: no judge has said anything yet; run `workbench judge`, or import "
            "pairs with AI verdicts"
        )
    return opened, annotations


def learned_rows(opened: "Project", judge: str) -> "npt.NDArray[np.bool_]":
    """The pairs whose human labels a judge was made with; says so when it is out of date."""
    from pipelines.judge.derived import is_stale, read_record, seen_rows

    record = read_record(opened.dir, judge)
    if record is not None and is_stale(opened.store, record):
        print(
            f'workbench: "{judge}" is out of date: a judge that it is made of was judged again, or '
            "pairs were imported; make it again",
            file=sys.stderr,
        )
    return seen_rows(opened.store, record)


def _of_any(
    annotations: "Annotations", spoken: "npt.NDArray[np.bool_]"
) -> tuple["npt.NDArray[np.bool_]", "npt.NDArray[np.bool_]"]:
    """Whether any judge was asked about a pair, and whether any answered. Shape (n_pairs,)."""
    import numpy as np

    asked = np.zeros(annotations.n_pairs, dtype=bool)
    asked[annotations.verdict_pair] = True
    answered = np.zeros(annotations.n_pairs, dtype=bool)
    answered[annotations.verdict_pair[spoken]] = True
    return asked, answered


def _human(human: "HumanSide") -> dict[str, Any]:
    return {
        "n": human.n,
        "n_audited": human.n_audited,
        "n_imported": human.n_imported,
        "n_simulated": human.n_simulated,
        "n_available": human.n_available,
    }


def print_json(value: dict[str, Any]) -> None:
    """A result for a program to read."""
    print(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))
