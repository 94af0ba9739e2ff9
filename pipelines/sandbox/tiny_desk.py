"""Lets the tiny model answer a server's requests: those that wait together are one batch."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.records import Message
from pipelines.sandbox.tiny_writer import NAME, Ask, TinyWriter, Written

_MOST_AT_ONCE = 64


@dataclass
class TinyDesk:
    """A writer, and who waits for it. While a batch is written, the next one gathers."""

    writer: TinyWriter

    def __post_init__(self) -> None:
        self._waiting: list[tuple[Ask, asyncio.Future[Written]]] = []
        self._working: asyncio.Task[None] | None = None

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        n: int,
        seed: int,
        temperature: float,
        max_tokens: int,
    ) -> dict[str, Any]:
        """The body of a chat completion, with n replies.

        Raises:
            BadInput: The conversation leaves no room for a reply.
        """
        tokens = self.writer.encode(messages)
        asks = [Ask(tokens, (seed + k) % 2**63, temperature, max_tokens) for k in range(n)]
        written = await asyncio.gather(*(self.write(ask) for ask in asks))
        choices = [
            {
                "index": number,
                "finish_reason": one.finish,
                "logprobs": None,
                "message": {"role": "assistant", "content": one.text},
            }
            for number, one in enumerate(written)
        ]
        n_out = sum(one.n_tokens for one in written)
        return {
            "id": f"{NAME}-{seed}",
            "object": "chat.completion",
            "created": 0,
            "model": NAME,
            "system_fingerprint": NAME,
            "choices": choices,
            "usage": {
                "prompt_tokens": len(tokens),
                "completion_tokens": n_out,
                "total_tokens": len(tokens) + n_out,
            },
        }

    async def write(self, ask: Ask) -> Written:
        """The reply to one request.

        Raises:
            BadInput: The prompt leaves no room for a reply.
        """
        self.writer.check(ask)
        answer: asyncio.Future[Written] = asyncio.get_running_loop().create_future()
        self._waiting.append((ask, answer))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        await asyncio.sleep(0)  # those that have come already join the first batch
        while self._waiting:
            batch, self._waiting = self._waiting[:_MOST_AT_ONCE], self._waiting[_MOST_AT_ONCE:]
            batch = [(ask, answer) for ask, answer in batch if not answer.done()]
            if not batch:
                continue
            written = await asyncio.to_thread(self.writer.write, [ask for ask, _ in batch])
            for (_, answer), reply in zip(batch, written, strict=True):
                if not answer.done():  # its client may have gone
                    answer.set_result(reply)
