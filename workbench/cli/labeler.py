"""`workbench labeler`: a judge trained on people's labels, which then labels the rest for free."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from workbench.cli.options import AsJson, ProjectDir

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.judge.labeler.card import LabelerCard

app = typer.Typer(help="Train a judge on people's labels, and label all pairs with it.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="What the labeler is called.")]


@app.command("fit")
def fit(
    name: Name,
    project: ProjectDir = Path("."),
    kind: Annotated[
        Literal["features", "classifier"],
        typer.Option(help="Text features (seconds), or a fine-tuned model (needs torch)."),
    ] = "features",
    encoder: Annotated[
        Path | None, typer.Option(help="features: folder of a local text encoder.")
    ] = None,
    base: Annotated[
        Path | None, typer.Option(help="classifier: folder of the model to start from.")
    ] = None,
    round: Annotated[
        str | None, typer.Option(help="Only this round's votes; all rounds when absent.")
    ] = None,
    epochs: Annotated[int, typer.Option(help="classifier: passes over the labels.")] = 2,
    batch: Annotated[int, typer.Option(help="classifier: pairs in a step.")] = 8,
    learning_rate: Annotated[float, typer.Option(help="classifier.")] = 2e-5,
    max_tokens: Annotated[int, typer.Option(help="classifier: of prompt and response.")] = 512,
    device: Annotated[str, typer.Option(help="classifier: cpu, cuda, cuda:1.")] = "cpu",
    seed: Annotated[int, typer.Option(help="Of the folds and of training.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Fit on all human labels of the project; cross-validated by prompt, calibrated, saved."""
    from pipelines.errors import BadInput
    from pipelines.judge.labeler.fit import fit_labeler
    from workbench.pairs.labelers import human_labels, labeler_folder
    from workbench.project import Project

    opened = Project.open(project)
    folder = labeler_folder(opened.dir, _checked(name))
    if (kind == "classifier") != (base is not None) or (kind == "classifier" and encoder):
        raise BadInput(
            "a classifier needs --base FOLDER and no --encoder; features take --encoder and no "
            "--base"
        )
    training = None
    if base is not None:
        training = _training(
            base=str(base.resolve()),
            epochs=epochs,
            batch=batch,
            learning_rate=learning_rate,
            max_tokens=max_tokens,
            seed=seed,
            device=device,
        )
    card = fit_labeler(
        name,
        human_labels(opened, round),
        folder,
        encoder=None if encoder is None else encoder.resolve(),
        training=training,
        seed=seed,
    )
    if as_json:
        facts = card.model_dump(mode="json", exclude={"pair_ids", "out_of_fold"})
        print(json.dumps({**facts, "folder": str(folder)}, indent=1, ensure_ascii=False))
    else:
        print("\n".join(_lines(card)))
        print(f"wrote {folder}; `workbench labeler apply {name}` labels all pairs")


@app.command("apply")
def apply(name: Name, project: ProjectDir = Path("."), as_json: AsJson = False) -> None:
    """Label all pairs of the project; the labels are a judge's, under the labeler's name."""
    from workbench.cli.progress import count_progress
    from workbench.pairs.labelers import apply_labeler
    from workbench.project import Project

    opened: Project = Project.open(project)
    with count_progress(f"labeler {name}") as on_pair:
        done = apply_labeler(opened, _checked(name), on_pair)
    if as_json:
        print(json.dumps(done.as_dict(), indent=1, ensure_ascii=False))
        return
    print(
        f'{done.n_pairs:,} pairs labelled as judge "{name}"; on the {done.n_out_of_fold:,} pairs '
        "that it was fitted on by models that never saw their prompts"
    )
    if done.n_empty:
        print(f"{done.n_empty:,} pairs without texts were left out")


def _training(**given: Any) -> Any:
    from pipelines.errors import BadInput

    try:
        from pipelines.judge.labeler.classifier import Training
    except ImportError as error:
        raise BadInput(
            "a classifier needs torch and transformers; install rlaif-workbench[train]"
        ) from error
    return Training(**given)


def _checked(name: str) -> str:
    from pipelines.errors import BadInput
    from pipelines.preferences.combine import RULES, is_derived

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", name) or name in RULES:
        raise BadInput(
            f'"{name}" cannot be a labeler\'s name; use up to 60 letters, digits, dots, dashes'
        )
    if is_derived(name):
        raise BadInput(f'"{name}" is the name of labels made of a judge; choose another')
    return name


def _lines(card: "LabelerCard") -> "Iterator[str]":
    yield f"{card.kind} labeler on {card.n_pairs:,} labelled pairs of {card.n_prompts:,} prompts"
    for what, one in (("accuracy", card.accuracy), ("longer wins", card.longer_wins)):
        yield f"  {what:14} {one.estimate:.3f}  ({one.low:.3f} to {one.high:.3f}, n = {one.n})"
    gain = card.over_longer_wins
    yield f"  {'difference':14} {gain.estimate:+.3f}  ({gain.low:+.3f} to {gain.high:+.3f})"
    yield f"  {'log-loss':14} {card.log_loss:.3f}  (a coin has 0.693)"
    if card.ece is not None:
        yield f"  {'calibration':14} error {card.ece.estimate:.3f}  (to {card.ece.high:.3f})"
    if gain.low <= 0.0:
        yield "  note: on prompts left out it does not surely beat choosing the longer response"
    for warning in card.warnings:
        yield f"  note: {warning}"
