"""`workbench train METHOD`: curated data into a trainer, a model out."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from pipelines.train.online_setup import PreparedOnline
    from pipelines.train.run import Prepared
    from pipelines.train.settings import TrainSettings

    Train = Callable[..., dict[str, Any]]

Method = Literal["sft", "reward", "dpo", "kto", "orpo", "ppo", "a2c"]


def train(
    method: Annotated[Method, typer.Argument(help="What to train, and how.")],
    project: Annotated[Path, typer.Option(help="The project folder.")] = Path("."),
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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check data, model and memory; train nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Train a model on curated data; cut off, the same command goes on.

    Example: workbench train dpo --model my-sft --data exports/trl.jsonl --set dpo.beta=0.3
    """
    from pipelines.train.needs import require_trainers
    from workbench.cli.progress import count_progress
    from workbench.project import Project
    from workbench.training import curated_data, resolved

    require_trainers()
    opened = Project.open(project)
    settings = resolved(opened, model, setting or [])
    source = data or curated_data(opened, settings, method)

    from pipelines.train.run_folder import RunFolder

    folder = RunFolder(opened.dir / "runs" / "train" / (name or method))
    prepared, train_model = _prepared(method, settings, opened.dir, source)
    if not as_json:
        print("\n".join(_said(prepared, settings)))
    if dry_run:
        if as_json:
            print(json.dumps(prepared.asked, indent=1, ensure_ascii=False))
        return
    with count_progress(f"train {method}") as on_step:
        result = train_model(folder, on_step)
    if as_json:
        print(json.dumps({**result, "folder": str(folder.path)}, indent=1, ensure_ascii=False))
        return
    for figure, value in result.items():
        if isinstance(value, float):
            print(f"  {figure}: {value:.4g}")
    for warning in result.get("warnings", ()):
        print(f"warning: {warning}")
    print(f"wrote {folder.model}")


def _prepared(
    method: str, settings: "TrainSettings", base: Path, source: Path
) -> "tuple[Prepared | PreparedOnline, Train]":
    """What goes in, checked, and the function that trains with it."""
    from functools import partial

    if method in ("ppo", "a2c"):
        from pipelines.train.online import train_online
        from pipelines.train.online_setup import prepare_online

        online = prepare_online(method, settings, base, source)
        return online, partial(train_online, online)
    from pipelines.train.run import prepare
    from pipelines.train.run import train as train_model

    prepared = prepare(method, settings, base, source)
    return prepared, partial(train_model, prepared)


def _said(prepared: "Prepared | PreparedOnline", settings: "TrainSettings") -> "Iterator[str]":
    asked = prepared.asked
    rows = ", ".join(f"{n:,} {split}" for split, n in asked["n_rows"].items())
    yield f"{asked['method']} of {asked['model']} on {asked['data']}: {rows} rows"
    for reason, count in asked["left_out"].items():
        yield f"  left out: {count:,} {reason}"
    place = f"{prepared.start.device}, {'bfloat16' if prepared.start.bfloat16 else 'float32'}"
    gib = asked["memory_estimate_bytes"] / 2**30
    yield f"  {place}, about {gib:.1f} GiB, seed {settings.seed}"
