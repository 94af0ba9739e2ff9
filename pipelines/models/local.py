"""The local engine: a model of `transformers` on this machine's GPU or CPU.

This module imports no torch, so it may be imported anywhere; making a `LocalEngine` imports it.
What is done with the model stands beside it: `local_model` loads it, `local_chat` makes tokens of
messages, `local_scoring` reads the log-probabilities of two answers, `local_generation` writes
text, `local_memory` keeps batches within memory, and `local_worker` ties these together.

Equal requests in equal order give equal replies on one machine. In another order they fall into
other batches, whose sums differ in their last digits.
"""

import asyncio
import importlib.util
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Literal

from pipelines.errors import BadInput
from pipelines.models.completions import Price
from pipelines.models.engine import Key, Reply, Request

if TYPE_CHECKING:  # these import torch
    from pipelines.models.local_model import Loaded
    from pipelines.models.local_worker import Asked, Worker

_PATIENCE_S = 0.02  # how long one more request is waited for before those held are worked on
_LONGEST_WAIT_S = 0.2  # the same, however many more come in the meantime
_PREPARED_AT_ONCE = 256  # requests that become tokens in one go, while the model works
_FREE = Price(0.0, 0.0)
_BATCHES_HELD = 4  # full batches that are held, so that requests of like length meet


@dataclass(frozen=True)
class LocalModel:
    """Which model, and how it is run.

    Attributes:
        model: A folder (relative to `base`), or a name on the Hugging Face hub.
        base: What relative folders are relative to: the project's folder.
        device: "auto" (CUDA where there is one, else CPU), "cpu", "cuda", "cuda:1", "mps".
        dtype: "auto" is bfloat16 on a GPU (float16 on one without it), float32 on a CPU.
        four_bit: Weights in 4 bits; needs the package bitsandbytes and a CUDA GPU.
        adapter: A folder or hub name of a LoRA adapter; empty for none.
        memory_share: The share of the memory left after loading that batches may fill.
        max_batch: The most requests in one batch.
        max_batch_tokens: A batch of more tokens than this, padding included, is treated as one
            that does not fit into memory; None leaves that to memory itself.
        continuous: Continuous batching of greedy generation; None is yes on CUDA, else no.
        price: What its tokens cost; one's own machine is free.
    """

    model: str
    base: Path = Path()
    device: str = "auto"
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    four_bit: bool = False
    adapter: str = ""
    memory_share: float = 0.85
    max_batch: int = 256
    max_batch_tokens: int | None = None
    continuous: bool | None = None
    price: Price = _FREE


class LocalEngine:
    """An `Engine` on this machine. Making one loads the model."""

    def __init__(self, model: LocalModel, loaded: "Loaded | None" = None):
        """Loads tokenizer and model, unless they are given.

        Args:
            model: Which model, and how it is run.
            loaded: It is in memory already; then only `model`'s limits count.

        Raises:
            BadInput: A package, the folder, the tokenizer, its chat template, some weights, the
                adapter or the device is missing or unfit.
        """
        for package in ("torch", "transformers"):
            if importlib.util.find_spec(package) is None:
                raise BadInput(
                    f"{model.model}: a local model needs the package {package}; install "
                    "rlaif-workbench[train], or ask the model through an endpoint"
                )
        from pipelines.models.local_model import load
        from pipelines.models.local_worker import Worker

        self._model = model
        self._worker = Worker(loaded or load(model), model)
        self._turn = threading.Lock()

    @property
    def name(self) -> str:
        """The model's folder, or its name on the hub."""
        return self._model.model

    @property
    def device(self) -> str:
        """Where the model is, as torch names it: "cpu", "cuda:0"."""
        return self._worker.device

    @property
    def window(self) -> int:
        """A few full batches."""
        return _BATCHES_HELD * self._model.max_batch

    async def ask(
        self, requests: AsyncIterator[tuple[Key, Request]]
    ) -> AsyncGenerator[tuple[Key, Reply], None]:
        """See `Engine.ask`. Two calls at once take turns, batch by batch.

        Raises:
            BadInput: An answer to be scored is not a single token of this model.
        """
        stopped = threading.Event()
        threads = ThreadPoolExecutor(2, thread_name_prefix="local-model")
        intake = _Intake(requests, self.window, self._worker, threads)
        loop = asyncio.get_running_loop()
        try:
            while wave := await intake.wave():
                batches = self._worker.answer(wave, stopped)
                while done := await loop.run_in_executor(threads, self._next, batches):
                    for key, reply in done:
                        intake.let_in_another()
                        yield key, reply
        finally:
            stopped.set()
            await intake.close()
            # A batch cannot be cut in the middle; nobody else may use the model before it ends.
            await asyncio.to_thread(threads.shutdown, cancel_futures=True)

    def _next(self, batches: "Iterator[list[tuple[Key, Reply]]]") -> "list[tuple[Key, Reply]]":
        """The next batch's replies; none when all are answered."""
        with self._turn:
            return next(batches, [])


class _Intake(Generic[Key]):
    """Takes requests from the source and makes tokens of them, while the model works."""

    def __init__(
        self,
        requests: AsyncIterator[tuple[Key, Request]],
        window: int,
        worker: "Worker",
        threads: ThreadPoolExecutor,
    ):
        self._requests = requests
        self._window = window
        self._room = asyncio.Semaphore(window)
        self._worker = worker
        self._threads = threads
        self._raw: list[tuple[Key, Request]] = []
        self._ready: list[Asked[Key]] = []
        self._changed = asyncio.Event()
        self._source = asyncio.create_task(self._pull())

    def let_in_another(self) -> None:
        """One of those held was answered."""
        self._room.release()

    async def wave(self) -> "list[Asked[Key]]":
        """What is held, once that is a window full or no more comes for now; empty at the end.

        Raises:
            BadInput: An answer to be scored is not a single token of this model.
        """
        ended = False
        while not ended and not self._ready:
            await self._gather()
            ended = self._source.done()
            if ended:
                self._source.result()  # raises what the source raised
            await self._make_tokens()
        wave, self._ready = self._ready, []
        return wave

    async def close(self) -> None:
        """Lets go of the source and of what is held."""
        self._source.cancel()
        await asyncio.gather(self._source, return_exceptions=True)

    async def _gather(self) -> None:
        """Waits for requests: for the first one as long as it takes, then a little for more."""
        loop = asyncio.get_running_loop()
        latest: float | None = None
        while not self._source.done() and len(self._raw) + len(self._ready) < self._window:
            wait_s: float | None = None
            if self._raw or self._ready:
                latest = latest or loop.time() + _LONGEST_WAIT_S
                wait_s = min(_PATIENCE_S, latest - loop.time())
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), wait_s)
            except TimeoutError:
                return

    async def _pull(self) -> None:
        try:
            while True:
                await self._room.acquire()
                try:
                    item = await anext(self._requests)
                except StopAsyncIteration:
                    return
                self._raw.append(item)
                self._changed.set()
                if len(self._raw) >= _PREPARED_AT_ONCE:
                    await self._make_tokens()
        finally:
            self._changed.set()

    async def _make_tokens(self) -> None:
        raw, self._raw = self._raw, []
        if raw:
            loop = asyncio.get_running_loop()
            asked = await loop.run_in_executor(self._threads, self._worker.prepare, raw)
            self._ready += asked
            self._changed.set()
