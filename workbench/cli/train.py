"""`workbench train METHOD`: curated data into a trainer, a model out."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from workbench.cli.options import AsJson, ProjectDir

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from pipelines.train.online_setup import PreparedOnline
    from pipelines.train.run import Prepared
    from pipelines.train.settings import TrainSettings

_WHOSE = {"human": "held-out human labels", "all": "all held-out labels"}

Method = Literal["sft", "reward", "dpo", "kto", "orpo", "ppo", "a2c", "rloo", "grpo"]


def train(
    method: Annotated[Method, typer.Argument(help="What to train, and how.")],
    project: ProjectDir = Path("."),
    model: Annotated[
        str | None, typer.Option(help="Folder or hub name of the model to start from.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Rows: a file or folder; the project's export if absent.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The run's name; the method's if absent.")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="KEY=VALUE of the section train, such as dpo.beta=0.3; may repeat."
        ),
    ] = None,
    shaping: Annotated[
        str | None,
        typer.Option(
            "--lambda",
            help="Weights of the constitution, such as 0,0.5,1: a run for each, and a table.",
        ),
    ] = None,
    learning_curve: Annotated[
        str | None,
        typer.Option(
            help="Reward: train on these shares of the pairs too, such as 0.25,0.5, and say how "
            "accuracy grows."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check data, model and memory; train nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a model on curated data; cut off, the same command goes on.

    Example: workbench train dpo --model my-sft --data exports/trl.jsonl --set dpo.beta=0.3
    """
    from pipelines.train.needs import require_trainers
    from pipelines.train.row_files import row_files
    from workbench.cli.progress import count_progress
    from workbench.project import Project
    from workbench.training import (
        curated_data,
        numbers,
        one_speaks,
        prepared_run,
        resolved,
        shares_of,
        sweep,
    )

    require_trainers()
    opened = Project.open(project)
    settings = resolved(opened, model, setting or [])
    source = data.resolve() if data else curated_data(opened, settings, method)
    row_files(source)  # whether it is there, before torch takes its seconds
    shares = None if learning_curve is None else shares_of(learning_curve, method)

    from pipelines.train.run_folder import run_named

    called = name or method
    if shaping is None:
        wanted = [(called, settings)]
    else:
        weights = numbers(shaping)
        wanted = [
            (f"{called}-lambda-{weight:g}", each)
            for weight, each in zip(weights, sweep(settings, method, weights), strict=True)
        ]
    folders = {run: run_named(opened.dir, run) for run, _ in wanted}
    # All are checked before the first is trained.
    prepared = [
        (run, each, *prepared_run(method, each, opened, source, shares)) for run, each in wanted
    ]
    speaks = one_speaks()
    for _, each, checked, _ in prepared:
        if speaks and not as_json:
            print("\n".join(_said(checked, each)))
    if dry_run:
        if speaks and as_json:
            asked = [checked.asked for _, _, checked, _ in prepared]
            print(json.dumps(asked if shaping else asked[0], indent=1, ensure_ascii=False))
        return
    results = []
    for run, _, _, train_model in prepared:
        folder = folders[run]
        with count_progress(f"train {run}") as on_step:
            results.append({**train_model(folder, on_step), "folder": str(folder.path)})
        if speaks and not as_json:
            print("\n".join(_outcome(results[-1])))
            print(f"wrote {folder.model}")
    if not speaks:
        return
    if as_json:
        print(json.dumps(results if shaping else results[0], indent=1, ensure_ascii=False))
    elif shaping is not None:
        print("\n".join(_table([each for _, each in wanted], method, results)))


def _outcome(result: "Mapping[str, Any]") -> "Iterator[str]":
    for figure, value in result.items():
        if isinstance(value, float):
            yield f"  {figure}: {value:.4g}"
    for whose, found in result.get("held_out_pairs", {}).items():
        yield f"  pairwise accuracy, {_WHOSE[whose]}: {_estimate(found['accuracy'])}"
    for point in result.get("learning_curve", ()):
        yield f"  trained on {point['n_pairs']:,} pairs"
        for whose, words in _WHOSE.items():
            yield f"    pairwise accuracy, {words}: {_estimate(point[whose])}"
    for warning in result.get("warnings", ()):
        yield f"warning: {warning}"


def _estimate(found: "Mapping[str, Any] | None") -> str:
    if found is None:
        return "not known (no such held-out pair)"
    return f"{found['estimate']:.3f} [{found['low']:.3f}, {found['high']:.3f}], n = {found['n']}"


def _table(
    settings: "Sequence[TrainSettings]", method: str, results: "Sequence[Mapping[str, Any]]"
) -> "Iterator[str]":
    """A sweep: what each weight of the constitution came to, over its last batch of responses."""
    columns = (
        "reward_model", "judge", "constitution", "violation_rate", "kl", "length",
        "held_out_reward", "held_out_win_rate", "seen_reward", "seen_win_rate",
    )  # fmt: skip
    shown = [one for one in columns if any(one in result for result in results)]
    yield "  ".join(f"{one:>{max(9, len(one))}}" for one in ("lambda", *shown))
    for each, result in zip(settings, results, strict=True):
        cells = [f"{each.online(method).shaping:>9g}"]
        for one in shown:
            value = result.get(one)
            text = "-" if value is None else f"{value:.4g}"
            cells.append(f"{text:>{max(9, len(one))}}")
        yield "  ".join(cells)
    n = settings[0].online(method).batch_size
    yield f"(last batch of {n} responses; held_out and seen figures are of the last look)"


def _said(prepared: "Prepared | PreparedOnline", settings: "TrainSettings") -> "Iterator[str]":
    from pipelines.train.online_setup import PreparedOnline

    asked = prepared.asked
    rows = ", ".join(f"{n:,} {split}" for split, n in asked["n_rows"].items())
    yield f"{asked['method']} of {asked['model']} on {asked['data']}: {rows} rows"
    for reason, count in asked["left_out"].items():
        yield f"  left out: {count:,} {reason}"
    if isinstance(prepared, PreparedOnline) and prepared.watches_training_prompts:
        yield "  no prompt is held out: it is watched on training prompts (seen_...)"
    place = f"{prepared.start.device}, {'bfloat16' if prepared.start.bfloat16 else 'float32'}"
    gib = asked["memory_estimate_bytes"] / 2**30
    yield f"  {place}, about {gib:.1f} GiB, seed {settings.seed}"
