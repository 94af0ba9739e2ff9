"""Many calls at once over a stream of requests, never more than a window of them."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

from pipelines.models.engine import Key, Reply, Request


async def answer_all(
    requests: AsyncIterator[tuple[Key, Request]],
    reply_to: Callable[[Request], Awaitable[Reply]],
    window: int,
) -> AsyncGenerator[tuple[Key, Reply], None]:
    """The replies to all requests, as they come.

    A request counts against the window until whoever takes the replies comes back for the next
    one, so that what was taken is safe (written to a log) before another call goes out.

    Raises:
        WorkbenchError: The first error that a call raised; the replies before it are given first.
    """
    ready: deque[tuple[Key, Reply]] = deque()
    errors: list[BaseException] = []
    running: set[asyncio.Task[None]] = set()
    slots = asyncio.Semaphore(window)
    changed = asyncio.Event()

    async def call(key: Key, request: Request) -> None:
        ready.append((key, await reply_to(request)))

    def over(task: asyncio.Task[None]) -> None:
        running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            errors.append(error)
        changed.set()

    async def pull() -> None:
        while True:
            await slots.acquire()
            try:
                key, request = await anext(requests)
            except StopAsyncIteration:
                return
            task = asyncio.create_task(call(key, request))
            running.add(task)
            task.add_done_callback(over)

    puller = asyncio.create_task(pull())
    running.add(puller)
    puller.add_done_callback(over)
    try:
        while True:
            while ready:
                yield ready.popleft()
                slots.release()
            if errors:
                raise errors[0]
            if not running:
                return
            changed.clear()
            await changed.wait()
    finally:
        left = list(running)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
