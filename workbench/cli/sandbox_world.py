"""`workbench sandbox prompts | demonstrations | train-model | annotate`: the world's own things."""

import json
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from workbench.cli.options import AsJson, ProjectDir

Count = Annotated[int, typer.Argument(metavar="N", min=1, help="How many.")]
Seed = Annotated[int, typer.Option(help="Of everything that is drawn.")]
Out = Annotated[Path | None, typer.Option("--out", help="A file instead of the screen.")]
Skill = Annotated[
    float, typer.Option(min=0.0, max=1.0, help="The probability that a principle is kept.")
]


def register(app: typer.Typer) -> None:
    """Adds the commands to the group."""
    app.command("prompts")(prompts)
    app.command("demonstrations")(demonstrations)
    app.command("train-model")(train_model)
    app.command("annotate")(annotate)


def prompts(
    n: Count,
    split: Annotated[
        Literal["train", "held-out"],
        typer.Option(help="Which half: no message is in both, whatever the seed."),
    ] = "train",
    kind: Annotated[
        list[str] | None,
        typer.Option(help="Only these: order, harm (hostile), odd (hostile by its looks)."),
    ] = None,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Customers' messages as JSON lines (id, prompt, subset), all different."""
    from pipelines.sandbox.world_prompts import draw_prompts, parse_kinds, prompt_row

    _write(map(prompt_row, draw_prompts(n, seed, split, parse_kinds(kind or ()))), out)


def demonstrations(n: Count, skill: Skill = 0.65, seed: Seed = 0, out: Out = None) -> None:
    """Messages to train on with replies, as JSON lines (messages), for supervised fine-tuning."""
    from pipelines.sandbox.world_prompts import demonstration_row, draw_demonstrations

    _write(map(demonstration_row, draw_demonstrations(n, seed, skill)), out)


def train_model(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The model's folder, a new one.")],
    steps: Annotated[int, typer.Option(min=1, help="Updates of the weights.")] = 500,
    batch: Annotated[int, typer.Option(min=1, help="Demonstrations in a step.")] = 64,
    skill: Skill = 0.65,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Train the tiny language model from scratch: some 80 seconds of one core (needs torch)."""
    _require_torch()
    import torch

    from pipelines.sandbox.tiny_model_folder import RECORD, make_folder
    from pipelines.sandbox.tiny_model_training import Recipe
    from workbench.cli.progress import count_progress

    torch.set_num_threads(1)  # a model this small is many times slower with two
    recipe = Recipe(steps=steps, batch=batch, skill=skill, seed=seed)
    with count_progress("training the tiny model") as on_step:
        made = make_folder(out, recipe, on_step)
    if as_json:
        print((out / RECORD).read_text(encoding="utf-8"), end="")
        return
    print(f"model     {out}, {made.n_parameters:,} parameters, loss {made.loss:.3f}")
    for principle, rate in made.checked.faults.items():
        print(
            f"{principle:9} broken by {rate.estimate:.1%} of {rate.n:,} held-out replies "
            f"({rate.low:.1%} to {rate.high:.1%}); planted {made.checked.planted[principle]:.1%}"
        )


def annotate(
    project: ProjectDir = Path("."),
    round: Annotated[
        str | None, typer.Option(help="The round; the newest open one when absent.")
    ] = None,
    person: Annotated[
        list[str] | None,
        typer.Option(
            help="careful, average, hasty, or traits such as accuracy=0.9,position_bias=0.1; "
            "one of each quality when absent."
        ),
    ] = None,
    share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Of the round's pairs, in queue order.")
    ] = 1.0,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Let simulated people label a round of the sandbox's pairs, at the queue that people use."""
    from pipelines.sandbox.annotators import QUALITIES, parse_annotators
    from workbench.cli.progress import count_progress
    from workbench.project import Project
    from workbench.sandbox_round import label_sandbox_round

    people = parse_annotators(person or list(QUALITIES), seed)
    opened = Project.open(project)
    with nullcontext(_unseen) if as_json else count_progress("simulated labels") as on_progress:
        done = label_sandbox_round(opened, people, round, share, on_progress=on_progress)
    if as_json:
        said = {
            "origin": "simulated",
            "annotators": [one.name for one in people],
            "n_votes": done.n_votes,
            "n_skips": done.n_skips,
            "answered": done.answered,
            "asked": done.asked,
        }
        print(json.dumps(said))
        return
    print(f"people    {', '.join(one.name for one in people)}; none of them is real")
    print(f"labels    {done.n_votes:,} given, {done.n_skips:,} pairs skipped; all are simulated")
    print(f"round     {done.answered:,} of {done.asked:,} labels are there")


def _unseen(_n_done: int, _n_all: int) -> None:
    """Nobody watches a program's output."""


def _write(rows: Iterable[Any], out: Path | None) -> None:
    from pipelines.errors import BadInput

    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if out is None:
        for line in lines:
            print(line, end="")
        return
    try:
        with out.open("x", encoding="utf-8") as file:
            file.writelines(lines)
    except FileExistsError:
        raise BadInput(f"{out}: is there already and is never overwritten; name another") from None
    except OSError as error:
        raise BadInput(f"{out}: cannot be written ({error.strerror}); name another file") from error


def _require_torch() -> None:
    from importlib.util import find_spec

    from pipelines.errors import BadInput

    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise BadInput(
                f"the tiny model needs the package {package}; install rlaif-workbench[train]"
            )
