"""A small real server that speaks the OpenAI chat completions protocol, for tests and benchmarks.

It runs in a process of its own, answers from the question alone (the same question always gets
the same answer), counts what it was asked, and can delay, throttle, break, truncate and lie:

    with running_server(delay_s=0.2) as server:
        ... server.url ...
        server.set(faults=[{"kind": "truncate", "share": 0.1, "times": 1}])
        assert server.stats()["repeated"] == 0

Bytes are written by hand, without a web framework, so that any answer can be broken anywhere.
By hand: `python protocol_server.py --port 8000 --set '{"delay_s": 0.2}'`.
"""

import argparse
import asyncio
import hashlib
import json
import math
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass
class Behaviour:
    """How the server acts; all of it can be changed while it runs."""

    delay_s: float = 0.0  # before every answer
    at_once: int = 0  # more requests than this in flight are turned away; 0: no limit
    per_second: float = 0.0  # more requests than this a second are turned away; 0: no limit
    throttle_status: int = 429
    retry_after: str = ""  # header of a 429 or 503; "": none
    key: str = ""  # the only key that is let in; "": anybody
    model: str = ""  # the only model there is; "": any
    instant: bool = False  # one prepared answer for everything, nothing counted: for benchmarks
    answers: list[str] = field(default_factory=lambda: ["A", "B"])
    text: str = ""  # of a text answer, with {winner}, {confidence}, {digest}; "": a verdict
    seeded: bool = False  # the same question under another seed is another question
    logprobs: bool = True  # False: ignored without a word
    max_top_logprobs: int = 20
    max_tokens_key: str = ""  # the only one it takes; "": either
    usage: bool = True
    # What goes wrong: {"kind", "share" of the questions (1.0), "times" per question (always),
    # "match": only questions with this text}. Kinds: see _FAULTS and Exchange.bad.
    faults: list[dict[str, Any]] = field(default_factory=list)


VERDICT = "The first one says more.\n\nWinner: {winner}\nConfidence: {confidence}"

_FAULTS: dict[str, tuple[int, str, bytes]] = {
    "500": (500, "application/json", b'{"error": {"message": "it broke", "type": "server_error"}}'),
    "502-html": (502, "text/html", b"<html><h1>Bad gateway</h1></html>"),
    "503": (503, "application/json", b'{"error": {"message": "busy"}}'),
    "400": (400, "application/json", b'{"error": {"message": "the prompt is too long"}}'),
    "403": (403, "application/json", b'{"error": {"message": "not for you"}}'),
    "400-filter": (
        400,
        "application/json",
        b'{"error": {"message": "filtered", "code": "content_filter"}}',
    ),
    "quota": (429, "application/json", b'{"error": {"code": "insufficient_quota"}}'),
    "redirect": (307, "text/plain", b""),
    "html": (200, "text/html", b"<html>please log in</html>"),
    "not-json": (200, "application/json", b'{"choices": [{"message": {"content": "A"'),
    "garbage": (200, "application/json", b"\xff\xfe\x00\x9f{]\xc3\x28"),
    "array": (200, "application/json", b"[]"),
    "error-200": (200, "application/json", b'{"error": {"message": "out of memory"}}'),
    "no-choices": (200, "application/json", b'{"choices": []}'),
    "null-choices": (200, "application/json", b'{"choices": null}'),
    "null-text": (200, "application/json", b'{"choices": [{"message": {"content": null}}]}'),
    "refuse": (
        200,
        "application/json",
        b'{"choices": [{"message": {"content": null}, "finish_reason": "content_filter"}]}',
    ),
    "refusal-text": (
        200,
        "application/json",
        b'{"choices": [{"message": {"content": null, "refusal": "I will not."}}]}',
    ),
    "cut": (
        200,
        "application/json",
        b'{"choices": [{"message": {"content": "Well, "}, "finish_reason": "length"}]}',
    ),
    "surrogates": (
        200,
        "application/json",
        b'{"choices": [{"message": {"content": "\\ud83d Winner \\u0000 \\udfff"}}]}',
    ),
}


@dataclass
class Counters:
    """What happened since the last reset."""

    requests: int = 0  # complete requests received
    answered: int = 0  # sent an answer, of whatever kind
    throttled: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    connections: int = 0
    asked: dict[bytes, int] = field(default_factory=dict)  # times by digest of the question

    def as_dict(self) -> dict[str, int]:
        counted = {name: value for name, value in vars(self).items() if name != "asked"}
        repeated = sum(self.asked.values()) - len(self.asked)
        return {**counted, "distinct": len(self.asked), "repeated": repeated}


class World:
    """What all connections share."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.counters = Counters()
        self.instant = b""
        self.tokens, self.refilled = 0.0, 0.0
        self.change({})

    def change(self, changes: dict[str, Any]) -> None:
        known = {field.name for field in fields(Behaviour)}
        if not changes.keys() <= known:
            raise ValueError(f"unknown: {sorted(changes.keys() - known)}")
        for name, value in changes.items():
            setattr(self.behaviour, name, value)
        logprobs = answer_of(self.behaviour, {"logprobs": True}, b"\x40" * 32)
        self.instant = http(200, "application/json", json.dumps(logprobs).encode())
        self.tokens, self.refilled = self.behaviour.per_second, time.monotonic()

    def too_fast(self) -> bool:
        """Whether this request is one too many for the second."""
        rate = self.behaviour.per_second
        if not rate:
            return False
        now = time.monotonic()
        self.tokens = min(rate, self.tokens + (now - self.refilled) * rate)
        self.refilled = now
        if self.tokens < 1.0:
            return True
        self.tokens -= 1.0
        return False


def answer_of(behaviour: Behaviour, question: dict[str, Any], digest: bytes) -> dict[str, Any]:
    """A good answer; a function of the question alone."""
    share = digest[0] / 255 * 0.98 + 0.01
    first, second = behaviour.answers
    winner = first if share > 0.5 else second
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
    if question.get("logprobs"):
        text = winner
        if behaviour.logprobs:
            listed = [
                {"token": f" {first}", "logprob": math.log(share * 0.9)},
                {"token": second, "logprob": math.log((1 - share) * 0.9)},
                {"token": "The", "logprob": math.log(0.05)},
            ]
            choice["logprobs"] = {
                "content": [{"token": winner, "logprob": -0.1, "top_logprobs": listed}]
            }
    else:
        text = (behaviour.text or VERDICT).format(
            winner=winner,
            confidence=round(max(share, 1 - share), 2),
            digest=digest.hex()[:12],
        )
    choice["message"] = {"role": "assistant", "content": text}
    answer = {"id": "x", "object": "chat.completion", "model": "echo", "choices": [choice]}
    if behaviour.usage:
        n_in = sum(len(turn["content"]) for turn in question.get("messages", ())) // 4
        n_out = 1 if question.get("logprobs") else len(text) // 4
        answer["usage"] = {"prompt_tokens": n_in, "completion_tokens": n_out}
    return answer


def http(status: int, kind: str, body: bytes, headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status} x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return (head + headers + "\r\n").encode() + body


class Exchange(asyncio.Protocol):
    """One connection: requests in, answers out, one at a time."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.buffer = bytearray()
        self.transport: asyncio.Transport | None = None
        self.pending = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.world.counters.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.world.counters.in_flight -= self.pending
        self.pending = 0
        self.transport = None

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self.buffer[:end])
            lower = head.lower()
            at = lower.find(b"content-length:")
            length = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            body = bytes(self.buffer[end + 4 : end + 4 + length])
            del self.buffer[: end + 4 + length]
            self.request(head, body)

    def request(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1]
        world = self.world
        if path == b"/stats":
            self.send(http(200, "application/json", json.dumps(world.counters.as_dict()).encode()))
        elif path == b"/reset":
            connections = world.counters.connections
            world.counters = Counters(connections=connections)
            self.send(http(200, "application/json", b"{}"))
        elif path == b"/set":
            world.change(json.loads(body))
            self.send(http(200, "application/json", b"{}"))
        elif path.endswith(b"/chat/completions"):
            self.completion(head, body)
        else:
            self.send(http(404, "application/json", b'{"error": {"message": "no such path"}}'))

    def completion(self, head: bytes, body: bytes) -> None:
        counters, behaviour = self.world.counters, self.world.behaviour
        counters.requests += 1
        if behaviour.instant:
            if behaviour.delay_s:
                self.later(behaviour.delay_s, self.world.instant)
            else:
                self.send(self.world.instant)
            return
        counters.in_flight += 1
        self.pending += 1
        counters.max_in_flight = max(counters.max_in_flight, counters.in_flight)
        if (behaviour.at_once and counters.in_flight > behaviour.at_once) or self.world.too_fast():
            counters.throttled += 1
            wait = f"Retry-After: {behaviour.retry_after}\r\n" if behaviour.retry_after else ""
            busy = b'{"error": {"message": "too many requests"}}'
            self.answer(http(behaviour.throttle_status, "application/json", busy, wait))
            return
        question = json.loads(body)
        told = [question["messages"], bool(question.get("logprobs"))]
        if behaviour.seeded:
            told.append(question.get("seed"))
        digest = hashlib.sha256(json.dumps(told).encode()).digest()
        n_before = counters.asked.get(digest, 0)
        counters.asked[digest] = n_before + 1
        if behaviour.delay_s:
            self.later(behaviour.delay_s, self.good_or_bad(head, question, digest, n_before))
        else:
            self.answer(self.good_or_bad(head, question, digest, n_before))

    def good_or_bad(
        self, head: bytes, question: dict[str, Any], digest: bytes, n_before: int
    ) -> bytes:
        """The answer's bytes; what they end with says how the connection goes on."""
        behaviour = self.world.behaviour

        def error(status: int, message: str) -> bytes:
            body = json.dumps({"error": {"message": message}}).encode()
            return http(status, "application/json", body)

        if behaviour.key and f"Bearer {behaviour.key}".encode() not in head:
            sent = head.decode().partition("Authorization: ")[2].split("\r\n")[0]
            return error(401, f"Incorrect API key provided: {sent}")
        if behaviour.model and question["model"] != behaviour.model:
            return error(404, f"The model `{question['model']}` does not exist")
        key = behaviour.max_tokens_key
        if key and key not in question:
            return error(400, f"Unsupported parameter: 'max_tokens'. Use '{key}' instead.")
        if (question.get("top_logprobs") or 0) > behaviour.max_top_logprobs:
            return error(400, f"top_logprobs must be at most {behaviour.max_top_logprobs}")
        good = http(
            200, "application/json", json.dumps(answer_of(behaviour, question, digest)).encode()
        )
        for number, fault in enumerate(behaviour.faults):
            chosen = digest[(number + 1) % 32] / 256 < fault.get("share", 1.0)
            asked = fault.get("match", "") in json.dumps(question["messages"], ensure_ascii=False)
            if chosen and asked and n_before < fault.get("times", math.inf):
                return self.bad(fault["kind"], good)
        return good

    def bad(self, kind: str, good: bytes) -> bytes:
        """An answer that is wrong, or a mark that there will be none."""
        if kind in _FAULTS:
            return http(*_FAULTS[kind])
        return {
            "truncate": b"CUT" + good[: len(good) - 40],  # then the connection is closed
            "close": b"CUT",
            "hang": b"HANG",
            "huge": http(200, "application/json", b" " * (17 << 20)),
        }[kind]

    def later(self, delay_s: float, answer: bytes) -> None:
        asyncio.get_running_loop().call_later(delay_s, self.answer, answer)

    def answer(self, answer: bytes) -> None:
        """Send it, or act on its mark."""
        if answer == b"HANG" or self.transport is None:
            return
        if self.pending:
            self.pending -= 1
            self.world.counters.in_flight -= 1
            self.world.counters.answered += 1
        if answer.startswith(b"CUT"):
            self.transport.write(answer[3:])
            self.transport.close()
        else:
            self.transport.write(answer)

    def send(self, answer: bytes) -> None:
        if self.transport is not None:
            self.transport.write(answer)


class ServerHandle:
    """A running server, from outside."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}/v1"

    def set(self, **changes: Any) -> None:
        """Change some of its `Behaviour`."""
        self._call("set", json.dumps(changes).encode())

    def calm(self) -> None:
        """As it was at the start: default behaviour, nothing counted."""
        self.set(**asdict(Behaviour()))
        self.reset()

    def reset(self) -> None:
        """Counters to zero."""
        self._call("reset", b"{}")

    def stats(self) -> dict[str, int]:
        """The `Counters`, with `distinct` and `repeated` questions."""
        counted: dict[str, int] = json.loads(self._call("stats", b""))
        return counted

    def stop(self) -> None:
        """End it; it may have ended before."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _call(self, path: str, body: bytes) -> bytes:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/{path}", data=body, method="POST"
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as response:
            answer: bytes = response.read()
            return answer


@contextmanager
def running_server(**behaviour: Any) -> Iterator[ServerHandle]:
    """A server in a process of its own, on a free port; gone at the end."""
    command = [sys.executable, __file__, "--set", json.dumps(behaviour)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    handle = ServerHandle(process, int(process.stdout.readline()))
    try:
        yield handle
    finally:
        handle.stop()


async def serve(port: int, behaviour: Behaviour) -> None:
    """Serve until killed; prints the port first."""
    world = World(behaviour)
    server = await asyncio.get_running_loop().create_server(
        lambda: Exchange(world), "127.0.0.1", port, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--set", default="{}", help=f"JSON of {asdict(Behaviour())}")
    options = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(options.port, Behaviour(**json.loads(options.set))))
