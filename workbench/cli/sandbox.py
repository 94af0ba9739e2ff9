"""`workbench sandbox`: the built-in world with known truth, and its simulated models."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli import sandbox_world

app = typer.Typer(
    help="The sandbox: a help desk whose models are simulated and whose truth is known.",
    no_args_is_help=True,
)


@app.callback()
def sandbox() -> None:
    """The group stays a group, however few commands it has."""


sandbox_world.register(app)


@app.command("serve")
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8010,
    traits: Annotated[
        Path | None,
        typer.Option(metavar="FILE.toml", help="The simulated models; without it, the built-in."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 0,
) -> None:
    """Serve simulated models behind an OpenAI-compatible API on this machine, until Ctrl+C.

    The tiny real model stands beside them as helpdesk-tiny; it needs no torch.
    """
    from pipelines.constitution.records import load_constitution
    from pipelines.sandbox.tiny_writer import NAME, TinyWriter
    from pipelines.sandbox.traits import load_traits
    from workbench.data_files import data_dir

    folder = data_dir() / "helpdesk"
    models = load_traits(traits or folder / "models.toml")
    constitution = load_constitution(folder / "constitution.toml")
    tiny = TinyWriter(folder / "model")

    async def serving() -> None:
        from pipelines.sandbox.server import running

        async with running(
            models, port=port, seed=seed, constitution=constitution, tiny=tiny
        ) as server:
            print(f"serving   simulated models at {server.url}")
            for name in models:
                print(f"model     {name}")
            print(f"model     {NAME}: a real model, of {tiny.n_parameters:,} parameters")
            print("stop      Ctrl+C", flush=True)
            await asyncio.Event().wait()

    try:
        asyncio.run(serving())
    except KeyboardInterrupt:
        print("stopped")
