"""`workbench judge matrix`, `ensemble` and `cascade`: several judges, and one made of them."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from workbench.cli.judge_checks import (
    Judges,
    RoundName,
    Seed,
    open_judged,
    print_json,
)
from workbench.cli.options import AsJson, ProjectDir

if TYPE_CHECKING:
    from pipelines.agreement.annotations import Annotations
    from pipelines.judge.cascade import Price
    from workbench.project import Project


def register(app: typer.Typer) -> None:
    """Add these commands to a group."""
    app.command("matrix")(matrix_command)
    app.command("ensemble")(ensemble_command)
    app.command("cascade")(cascade_command)


def matrix_command(
    judges: Judges = None,
    project: ProjectDir = Path("."),
    collapse_below: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Warn when the panel is worth less of itself."),
    ] = 0.5,
    round_name: RoundName = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Agreement of every two judges, and how many independent ones they are worth."""
    import numpy as np

    from pipelines.agreement.judge_matrix import effective_judges, judge_matrix
    from pipelines.errors import BadInput, Undefined
    from pipelines.judge.ensemble import member_judges, member_labels
    from pipelines.judge.scoring import judge_points
    from workbench.audit.human_side import human_side
    from workbench.cli.judge_checks_text import print_matrix

    opened, annotations = open_judged(project)
    members = member_judges(annotations, judges or ())
    matrix = judge_matrix(member_labels(annotations, members), members)
    effective, why = None, ""
    try:
        human = human_side(opened, annotations, None, 0, round_name)
        points = np.stack([judge_points(annotations, one, human.reference) for one in members])
        effective = effective_judges(
            points,
            annotations.prompt,
            members,
            np.random.default_rng(seed),
            collapse_below=collapse_below,
        )
    except (BadInput, Undefined) as error:
        why = str(error)
    if as_json:
        worth = None if effective is None else effective.as_dict()
        print_json({**matrix.as_dict(), "effective": worth, "why_not": why or None})
    else:
        print_matrix(matrix, effective, why)


def ensemble_command(
    method: Annotated[
        Literal["majority", "weighted", "dawid-skene", "mean"],
        typer.Argument(help="How the judges become one."),
    ],
    judges: Annotated[
        list[str] | None, typer.Option("--judge", help="A member; all judges by default.")
    ] = None,
    project: ProjectDir = Path("."),
    threshold: Annotated[
        float, typer.Option(min=0.5, max=1.0, help="Drop labels less sure than this.")
    ] = 0.5,
    name: Annotated[
        str | None, typer.Option(help="What it is stored as, after ensemble:; by default METHOD.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Store nothing.")] = False,
    round_name: RoundName = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Several judges as one, stored as a judge of its own under ensemble:METHOD."""
    import numpy as np

    from pipelines.agreement.annotations import NONE
    from pipelines.errors import BadInput, Undefined
    from pipelines.judge.derived import make_record, write_record
    from pipelines.judge.ensemble import judgments, make_ensemble
    from pipelines.judge.ensemble_check import check_ensemble
    from workbench.audit.human_side import human_side
    from workbench.cli.judge_checks_text import print_ensemble

    opened, annotations = open_judged(project)
    human, why, check = None, "", None
    try:
        human = human_side(opened, annotations, None, 0, round_name)
    except BadInput as error:
        why = str(error)
        if method == "weighted" or round_name is not None:
            raise
    reference = None if human is None else human.reference
    made = make_ensemble(
        annotations, method, judges or (), reference=reference, threshold=threshold
    )
    if reference is not None:
        try:
            check = check_ensemble(annotations, made, reference, np.random.default_rng(seed))
        except Undefined as error:
            why = str(error)
    stored = f"ensemble:{name or method}"
    if not dry_run:
        learned = None
        if made.weights is not None and reference is not None:
            learned = reference != NONE
        settings: dict[str, Any] = {"threshold": threshold}
        if made.weights is not None:
            settings["weights"] = made.weights.weight.tolist()
            settings["scale"] = made.weights.scale
        record = make_record(opened.store, stored, method, made.judges, learned, settings)
        write_record(opened.dir, record)
        opened.store.put_judgments_by_row(stored, judgments(made, stored))
    if as_json:
        weights = made.weights
        print_json(
            {
                "stored_as": None if dry_run else stored,
                "method": method,
                "judges": list(made.judges),
                "n_pairs": annotations.n_pairs,
                "n_labels": made.n_labels,
                "n_undecided": made.n_undecided,
                "n_unsure": made.n_unsure,
                "n_silent": made.n_silent,
                "n_partial": made.n_partial,
                "threshold": threshold,
                "weights": weights
                and {
                    "accuracy": weights.accuracy.tolist(),
                    "n": weights.n.tolist(),
                    "weight": weights.weight.tolist(),
                    "scale": weights.scale,
                },
                "check": check and check.as_dict(),
                "why_not": why or None,
            }
        )
    else:
        print_ensemble(made, check, why, None if dry_run else stored)


def cascade_command(
    cheap: Annotated[str, typer.Argument(help="The judge that answers first.")],
    dear: Annotated[str, typer.Argument(help="The judge that gets what the first is unsure of.")],
    project: ProjectDir = Path("."),
    max_loss: Annotated[
        float, typer.Option(help="Accuracy that may be lost against the dear judge alone.")
    ] = 0.02,
    min_accuracy: Annotated[
        float, typer.Option(help="Of what the cheap judge keeps, while the dear one is unknown.")
    ] = 0.80,
    threshold: Annotated[
        float | None, typer.Option(min=0.5, max=1.0, help="Your own line; none is chosen then.")
    ] = None,
    only: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the ids of pairs for the dear judge here."),
    ] = None,
    store: Annotated[
        bool, typer.Option("--store", help="Store the labels as the judge cascade:CHEAP>DEAR.")
    ] = False,
    round_name: RoundName = None,
    as_json: AsJson = False,
) -> None:
    """A cheap judge first, the dear one where it is unsure: the line, and what it saves."""
    from pipelines.agreement.annotations import NONE
    from pipelines.errors import BadInput
    from pipelines.judge.cascade import (
        CascadeOptions,
        cascade,
        cascade_judgments,
        choose_line,
        savings,
        to_send,
    )
    from pipelines.judge.derived import make_record, write_record
    from pipelines.judge.scoring import judge_points
    from pipelines.preferences.combine import combine_judge
    from workbench.audit.human_side import human_side
    from workbench.cli.judge_checks_text import print_cascade

    opened, annotations = open_judged(project)
    first = combine_judge(annotations, cheap)
    known = dear in annotations.judges
    if not known and dear not in {spec.name for spec in opened.config.judges}:
        raise BadInput(f'no judge is called "{dear}", in project.toml or among the verdicts')
    line = learned = None
    if threshold is None:
        human = human_side(opened, annotations, None, 0, round_name)
        points = judge_points(annotations, dear, human.reference) if known else None
        options = CascadeOptions(max_loss=max_loss, min_accuracy=min_accuracy)
        line = choose_line(first, points, human.reference, annotations.prompt, options)
        learned = human.reference != NONE
    at = line.threshold if line is not None else float(threshold or 0.5)
    saved = savings(
        first, at, _price(opened, annotations, cheap), _price(opened, annotations, dear)
    )
    sent = to_send(first, at)
    if only is not None:
        ids = opened.store.pair_ids()
        only.write_text("".join(f"{ids[row]}\n" for row in sent.nonzero()[0].tolist()), "utf-8")
    made = cascade(first, combine_judge(annotations, dear), at) if known else None
    name = f"cascade:{cheap}>{dear}"
    if store:
        if made is None:
            raise BadInput(f'judge "{dear}" has no verdicts yet; `workbench judge {dear}` first')
        if not math.isfinite(at):
            raise BadInput(
                f'no line keeps what it must, so the cascade would be "{dear}" itself; nothing was '
                "stored: label more pairs, or allow a larger --max-loss"
            )
        settings = {"threshold": at}
        record = make_record(opened.store, name, "cascade", (cheap, dear), learned, settings)
        write_record(opened.dir, record)
        opened.store.put_judgments_by_row(name, cascade_judgments(made, name))
    if as_json:
        print_json(
            {
                "cheap": cheap,
                "dear": dear,
                "threshold": at if math.isfinite(at) else None,
                "line": line and line.as_dict(),
                "savings": saved.as_dict(),
                "n_cheap": made and made.n_cheap,
                "n_dear": made and made.n_dear,
                "n_waiting": made and made.n_waiting,
                "stored_as": name if store else None,
            }
        )
    else:
        print_cascade((cheap, dear), at, line, saved, made, name if store else None)
        if only is not None:
            print(f"wrote {only}: {int(sent.sum()):,} ids; `workbench judge {dear} --only {only}`")


def _price(opened: "Project", annotations: "Annotations", judge: str) -> "Price":
    """What a judge takes for a pair: measured by its runs, else as its verdicts and section say."""
    import numpy as np

    from pipelines.judge.cascade import Price
    from pipelines.judge.manifest import read_manifest
    from pipelines.judge.runner import JudgeFolder

    manifest = read_manifest(JudgeFolder(opened.dir, judge).manifest, judge)
    n_pairs = 0
    if judge in annotations.judges:
        mine = annotations.verdict_judge == annotations.judges.index(judge)
        n_pairs = len(np.unique(annotations.verdict_pair[mine]))
    if manifest.spent.requests and n_pairs:
        priced = manifest.spent.n_unpriced == 0
        return Price(
            manifest.spent.requests / n_pairs, manifest.spent.usd / n_pairs if priced else None
        )
    if n_pairs:
        return Price(float(mine.sum()) / n_pairs)
    spec = next(one for one in opened.config.judges if one.name == judge)
    if spec.engine == "labeler":
        return Price(0.0, 0.0)

    from workbench.data_files import data_dir
    from workbench.judging import estimates

    (guess,) = estimates(opened, [spec], (opened.dir, data_dir()), False)
    size = max(1, len(opened.store))
    return Price(guess.n_requests / size, None if guess.usd is None else guess.usd / size)
