"""The sandbox's server on a thread of its own, for a program that asks it and then ends."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager

from pipelines.constitution.records import Constitution
from pipelines.sandbox.server import running
from pipelines.sandbox.tiny_writer import TinyWriter
from pipelines.sandbox.traits import ModelTraits


@contextmanager
def in_background(
    models: Mapping[str, ModelTraits],
    *,
    seed: int = 0,
    constitution: Constitution | None = None,
    tiny: TinyWriter | None = None,
) -> Iterator[str]:
    """The base URL of a server on a free port of this machine, gone at the end.

    Args:
        models: The simulated models by name.
        seed: Of everything that is drawn.
        constitution: Whose questions the judges are asked, principle by principle.
        tiny: The tiny real model, where it is to be offered too.
    """
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()
    url: Future[str] = Future()

    async def serve() -> None:
        try:
            async with running(models, seed=seed, constitution=constitution, tiny=tiny) as server:
                url.set_result(server.url)
                await ended.wait()
        except Exception as error:
            if url.done():
                raise
            url.set_exception(error)  # whoever waits for the address must not wait for ever

    def work() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=work, name="sandbox-server", daemon=True)
    thread.start()
    try:
        yield url.result()
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(ended.set)
        thread.join()
