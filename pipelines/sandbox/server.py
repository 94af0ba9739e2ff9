"""An OpenAI-compatible server of simulated models: real HTTP, no model, and the truth is known.

Every answer follows from the seed, the model's traits and the request, never from the order in
which requests come. Whatever can be mistaken for a real model's output says that it is simulated:
the models' names, a header, the fingerprint of every answer. The tiny real model may stand beside
them; it only writes.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.constitution.records import Constitution
from pipelines.errors import BadInput
from pipelines.records import Message
from pipelines.sandbox.answers import Answer, Asked, answer
from pipelines.sandbox.judges import Judge
from pipelines.sandbox.tasks import read_task
from pipelines.sandbox.tiny_desk import TinyDesk
from pipelines.sandbox.tiny_writer import NAME as TINY
from pipelines.sandbox.tiny_writer import TinyWriter
from pipelines.sandbox.traits import MARK, ModelTraits

HOST = "127.0.0.1"
HEADER = "X-Simulated"
_REAL = "of a real model"  # marks a request
_MOST_TOKENS = 4096
_MOST_REMEMBERED = 100_000  # requests whose calls are counted, for errors that go away
_LARGEST_REQUEST = 8 << 20  # bytes


class ChatRequest(BaseModel):
    """What is read of a request; the rest of the protocol is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    model: str
    messages: Annotated[tuple[Message, ...], Field(min_length=1)]
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    seed: int | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    stop: str | tuple[str, ...] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    stream: bool | None = None


@dataclass(frozen=True)
class Sandbox:
    """A running server."""

    port: int

    @property
    def url(self) -> str:
        """Base URL, as `base_url` of a model's section wants it."""
        return f"http://{HOST}:{self.port}/v1"


class SimulatedModels:
    """Answers requests; `app` is the web application."""

    def __init__(
        self,
        models: Mapping[str, ModelTraits],
        seed: int = 0,
        constitution: Constitution | None = None,
        tiny: TinyWriter | None = None,
    ) -> None:
        """The constitution's questions tell which principle a judge is asked about."""
        self._traits = dict(models)
        self._tiny = None if tiny is None else TinyDesk(tiny)
        self._judges = {name: Judge(traits, name, seed) for name, traits in models.items()}
        self._seed = seed
        self._questions = {
            question.strip(): principle.id
            for principle in (constitution.principles if constitution else ())
            for question in (principle.comparison_question, principle.critique_question)
        }
        self._calls: dict[str, int] = {}

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=_LARGEST_REQUEST)
        app.router.add_get("/v1/models", self._list)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.on_response_prepare.append(_say_simulated)
        return app

    async def _list(self, _: web.Request) -> web.Response:
        listed = [{"id": name, "object": "model", "owned_by": MARK} for name in self._traits]
        if self._tiny is not None:
            listed.append({"id": TINY, "object": "model", "owned_by": "workbench"})
        return web.json_response({"object": "list", "data": listed})

    async def _complete(self, http: web.Request) -> web.StreamResponse:
        try:
            request = ChatRequest.model_validate_json(await http.read())
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(step) for step in first["loc"])
            return _error(400, f"{where}: {first['msg']}")
        if self._tiny is not None and request.model == TINY:
            return await self._write(http, request, self._tiny)
        judge = self._judges.get(request.model)
        if judge is None:
            there = ", ".join([*self._judges, *([TINY] if self._tiny else [])])
            return _error(404, f"The model `{request.model}` does not exist; there are: {there}")
        traits = self._traits[request.model]
        text = json.dumps(
            [request.model, *([turn.role, turn.content] for turn in request.messages)]
        )
        if traits.latency_ms:
            await asyncio.sleep(traits.latency_ms / 1000.0)
        trouble = self._trouble(judge, traits, f"{text}{_sample(request, 0)}")
        if trouble == "busy":
            wait = {"Retry-After": f"{traits.retry_after_s:g}"}
            return _error(429, "too many requests for this simulated model", wait)
        if trouble == "error":
            return _error(500, "the simulated model broke, as it was told to")
        body = self._body(judge, request, text)
        if trouble == "cut":
            return await _cut_off(http, json.dumps(body).encode())
        if request.stream:
            return await _streamed(http, body)
        return web.json_response(body)

    async def _write(
        self, http: web.Request, request: ChatRequest, tiny: TinyDesk
    ) -> web.StreamResponse:
        """What the tiny real model says. It gives no log-probabilities."""
        http[_REAL] = True
        try:
            body = await tiny.complete(
                request.messages,
                n=request.n or 1,
                seed=request.seed or 0,
                temperature=1.0 if request.temperature is None else request.temperature,
                max_tokens=request.max_completion_tokens or request.max_tokens or _MOST_TOKENS,
            )
        except BadInput as error:
            return _error(400, str(error))
        for choice in body["choices"]:
            message = choice["message"]
            message["content"] = _until_stop(message["content"], request.stop)
        return await _streamed(http, body) if request.stream else web.json_response(body)

    def _trouble(self, judge: Judge, traits: ModelTraits, asked: str) -> str:
        """What goes wrong with this call: "" for nothing. Drawn anew when a request comes back."""
        if not traits.busy_rate + traits.error_rate + traits.cut_rate:
            return ""
        call = self._calls.pop(asked, 0)
        chance = judge.draw("trouble", asked, call)
        for rate, kind in (
            (traits.busy_rate, "busy"),
            (traits.error_rate, "error"),
            (traits.cut_rate, "cut"),
        ):
            if chance < rate:
                while len(self._calls) >= _MOST_REMEMBERED:
                    del self._calls[next(iter(self._calls))]
                self._calls[asked] = call + 1
                return kind
            chance -= rate
        return ""

    def _body(self, judge: Judge, request: ChatRequest, text: str) -> dict[str, Any]:
        task = read_task(request.messages, logprobs=bool(request.logprobs))
        choices = []
        for number in range(request.n or 1):
            asked = Asked(text, _sample(request, number), self._questions)
            choices.append(_choice(number, request, answer(judge, task, asked)))
        n_in = sum(_n_tokens(turn.content) for turn in request.messages)
        n_out = sum(_n_tokens(one["message"]["content"] or "") for one in choices)
        return {
            "id": f"{MARK}-{int(judge.draw('id', text) * 1e12):012d}",
            "object": "chat.completion",
            "created": 0,  # no clock: the same request always has the same answer
            "model": request.model,
            "system_fingerprint": MARK,
            "choices": choices,
            "usage": {
                "prompt_tokens": n_in,
                "completion_tokens": n_out,
                "total_tokens": n_in + n_out,
            },
        }


@asynccontextmanager
async def running(
    models: Mapping[str, ModelTraits],
    *,
    port: int = 0,
    seed: int = 0,
    constitution: Constitution | None = None,
    tiny: TinyWriter | None = None,
) -> AsyncIterator[Sandbox]:
    """A server on this machine's loopback, gone at the end.

    Args:
        models: The simulated models by name.
        port: 0 takes a free one.
        seed: Of everything that is drawn.
        constitution: Whose questions the judges are asked, principle by principle.
        tiny: The tiny real model, where it is to be offered too.

    Raises:
        BadInput: The port cannot be used.
    """
    server = SimulatedModels(models, seed, constitution, tiny)
    runner = web.AppRunner(server.app(), access_log=None, handle_signals=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port, backlog=1024)
        try:
            await site.start()
        except OSError as error:
            raise BadInput(
                f"port {port} cannot be used ({error.strerror}); stop what holds it, or choose "
                "another with --port, or --port 0 for a free one"
            ) from error
        yield Sandbox(int(runner.addresses[0][1]))
    finally:
        await runner.cleanup()


async def _say_simulated(request: web.Request, response: web.StreamResponse) -> None:
    response.headers[HEADER] = "false" if request.get(_REAL) else "true"
    response.headers["Server"] = f"workbench sandbox ({MARK} models)"


def _sample(request: ChatRequest, number: int) -> str:
    """What tells this sample from others: nothing at temperature 0, where all are the same."""
    temperature = 1.0 if request.temperature is None else request.temperature
    return "" if temperature == 0.0 else f"{temperature:g} {request.seed} {number}"


def _choice(number: int, request: ChatRequest, said: Answer) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": number, "finish_reason": "stop", "logprobs": None}
    if said.refused:
        choice["message"] = {"role": "assistant", "content": None, "refusal": said.text}
        return choice
    text = _until_stop(said.text, request.stop)
    most = request.max_completion_tokens or request.max_tokens or _MOST_TOKENS
    words = text.split(" ")
    if len(words) > most:
        text, choice["finish_reason"] = " ".join(words[:most]), "length"
    choice["message"] = {"role": "assistant", "content": text}
    if request.logprobs:
        listed = said.logprobs or tuple((word, 0.0) for word in words[:1])
        tokens = [{"token": token, "logprob": value, "bytes": None} for token, value in listed]
        top = tokens[: request.top_logprobs or 0]
        choice["logprobs"] = {"content": [{**tokens[0], "top_logprobs": top}]}
    return choice


def _until_stop(text: str, stop: str | tuple[str, ...] | None) -> str:
    """The text up to the first stop sequence in it."""
    marks = (stop,) if isinstance(stop, str) else stop or ()
    ends = [text.index(mark) for mark in marks if mark and mark in text]
    return text[: min(ends)] if ends else text


def _n_tokens(text: str) -> int:
    """Tokens as this server counts them: words."""
    return len(text.split())


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    body = {"error": {"message": message, "type": MARK, "code": None}}
    return web.json_response(body, status=status, headers=headers)


async def _cut_off(http: web.Request, body: bytes) -> web.StreamResponse:
    """Half of an answer, and the end of the connection."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    await response.prepare(http)
    await response.write(body[: len(body) // 2])
    if http.transport is not None:
        http.transport.close()
    return response


async def _streamed(http: web.Request, body: Mapping[str, Any]) -> web.StreamResponse:
    """The answer as server-sent events, a word at a time."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(http)
    common = {key: body[key] for key in ("id", "created", "model", "system_fingerprint")}

    async def send(index: int, delta: dict[str, Any], finish: str | None) -> None:
        choice = {"index": index, "delta": delta, "finish_reason": finish}
        event = {**common, "object": "chat.completion.chunk", "choices": [choice]}
        await response.write(f"data: {json.dumps(event)}\n\n".encode())

    for choice in body["choices"]:
        message = choice["message"]
        await send(choice["index"], {"role": "assistant"}, None)
        words = (message["content"] or "").split(" ")
        for place, word in enumerate(words):
            gap = " " if place else ""
            await send(choice["index"], {"content": f"{gap}{word}"}, None)
        await send(choice["index"], {}, choice["finish_reason"])
    await response.write(b"data: [DONE]\n\n")
    return response
