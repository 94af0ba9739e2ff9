"""What an engine is: requests stream in, replies stream out. Endpoint and local torch are alike.

Nothing here says how a judge asks its question (`pipelines.judge.modes`) or where text comes from
(`pipelines.models.endpoint`, `pipelines.models.local`).
"""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from pipelines.records import Failure, Message

Finish = Literal["stop", "length", "refused"]

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Request:
    """One call of a model.

    With `answers`, the engine returns the log-probabilities of exactly these two texts as the next
    token and generates nothing else; each must be one token. Without, it generates text.

    `top_p` below 1 keeps only the likeliest tokens, as many as have this mass together (nucleus
    sampling, Holtzman et al. 2020, arXiv:1904.09751).

    `shared_chars` says how many characters at the start of the first message are the same for many
    requests (the preamble), so that an engine may keep that part's key-value cache.
    """

    messages: tuple[Message, ...]
    max_tokens: int = 1
    temperature: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    answers: tuple[str, str] | None = None
    shared_chars: int = 0
    top_p: float = 1.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: text, or the two answers' log-probabilities, or a failure; exactly one.

    `failure` with `detail` (one sentence) is never beside `text` or `answer_logprobs`. `outage` is
    true when the service failed, not the question: it may well work later. `tries` counts the calls
    that were made for it, retries included.
    """

    text: str | None = None
    answer_logprobs: tuple[float, float] | None = None
    finish: Finish = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = None
    failure: Failure | None = None
    detail: str | None = None
    outage: bool = False
    tries: int = 1

    def __post_init__(self) -> None:
        given = (self.text, self.answer_logprobs, self.failure)
        if sum(part is not None for part in given) != 1:
            raise ValueError("a reply has text, answer_logprobs or a failure, exactly one of them")


class Engine(Protocol):
    """Something that answers requests."""

    @property
    def name(self) -> str:
        """The model, as reports and errors name it."""
        ...

    @property
    def window(self) -> int:
        """How many requests it can make use of at once; more than that is never held."""
        ...

    def ask(
        self, requests: AsyncIterator[tuple[Key, Request]]
    ) -> AsyncGenerator[tuple[Key, Reply], None]:
        """One reply for each request, in any order, each under the key of its request.

        The source may wait for replies before it says what to ask next (a rationale comes before
        the question about it), so an engine answers what it holds even while it waits for more.
        When the source ends, the engine answers what it still holds and ends. A request counts
        against the window until the next reply is taken, so that what was taken is safe (in a log)
        before another goes out. Closing the generator drops what is in flight and frees what it
        held. (Written with `yield`, it is an `async def`.)

        Raises:
            BadInput: The engine cannot be used as it is set (no key, no such model).
            ServiceFailed: It failed so often that going on would be of no use.
        """
        ...
