"""Any OpenAI-compatible endpoint: hosted models, vLLM, SGLang, `transformers serve`.

Requests stream in and replies stream out over a bounded number of connections; a busy server is
given rest, a broken answer is asked for again, and what still fails is a reply that says why.
"""

import asyncio
import json
import os
import random
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from pipelines.errors import BadInput, ServiceFailed
from pipelines.models.completions import (
    Price,
    Trouble,
    read_completion,
    read_refusal,
    request_body,
    shown,
)
from pipelines.models.engine import Key, Reply, Request
from pipelines.models.limits import AdaptiveLimit
from pipelines.models.retry import LONGEST_WAIT_S, Backoff, retry_after_s
from pipelines.models.stream import answer_all

_LARGEST_ANSWER = 16 << 20  # bytes
_BROKEN_RETRIES = 2  # of an answer that came, but is no good: each may be billed
_THROTTLE_FACTOR = 6  # a turned-away call costs nothing, so it may come back more often
_OUTAGES_IN_A_ROW = 20  # with so many requests given up in a row, the service is down
_TURNED_AWAY = 20  # so many questions turned away, and none taken: the settings are wrong
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Endpoint:
    """Where and how to ask. The key itself is only in the environment, under `api_key_env`."""

    base_url: str
    model: str
    api_key_env: str = ""
    concurrency: int = 64
    timeout_s: float = 120.0
    retries: int = 5
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    price: Price | None = None
    backoff: Backoff = field(default_factory=Backoff)

    @property
    def url(self) -> str:
        """Where chat completions are asked for."""
        return f"{self.base_url.rstrip('/')}/chat/completions"


class EndpointEngine:
    """An `Engine` over HTTP."""

    def __init__(self, endpoint: Endpoint, rng: random.Random | None = None):
        """Reads the key from the environment.

        Raises:
            BadInput: The variable is not set.
        """
        self._endpoint = endpoint
        self._rng = rng or random.Random()
        self._key = _key(endpoint)
        self._proxy = _proxy(endpoint.url)
        self._top_logprobs = 20
        self._max_tokens_key = "max_tokens"
        self._n_answered = 0
        self._n_turned_away = 0
        self._gave_logprobs = False
        self._n_outages = 0  # in a row
        self.limit = AdaptiveLimit(endpoint.concurrency, self._rng)

    @property
    def name(self) -> str:
        """The model's name at the endpoint."""
        return self._endpoint.model

    @property
    def window(self) -> int:
        """The concurrency."""
        return self._endpoint.concurrency

    async def ask(
        self, requests: AsyncIterator[tuple[Key, Request]]
    ) -> AsyncGenerator[tuple[Key, Reply], None]:
        """See `Engine.ask`."""
        endpoint = self._endpoint
        self.limit = AdaptiveLimit(endpoint.concurrency, self._rng)
        self._n_outages = 0
        async with (
            aiohttp.ClientSession(
                headers=self._headers(),
                connector=aiohttp.TCPConnector(limit=endpoint.concurrency, keepalive_timeout=30.0),
                timeout=aiohttp.ClientTimeout(total=endpoint.timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
            ) as session,
            aclosing(
                answer_all(requests, partial(self._reply_to, session), endpoint.concurrency)
            ) as replies,
        ):
            async for item in replies:
                yield item

    def body(self, request: Request) -> bytes:
        """What is sent for a request."""
        endpoint = self._endpoint
        content = request_body(
            request,
            endpoint.model,
            endpoint.extra_body,
            self._top_logprobs,
            self._max_tokens_key,
        )
        return json.dumps(content).encode()

    async def _reply_to(self, session: aiohttp.ClientSession, request: Request) -> Reply:
        """One reply, after as many calls as it takes and the settings allow."""
        body, tries, n_throttled, n_broken = self.body(request), 0, 0, 0
        while True:
            started = await self.limit.enter()
            try:
                outcome, asked_s = await self._call(session, request, body)
            finally:
                self.limit.leave()
            tries += 1
            if isinstance(outcome, Reply):
                self._answered(request)
                return outcome if tries == 1 else replace(outcome, tries=tries)
            if asked_s is not None and asked_s > LONGEST_WAIT_S:
                raise ServiceFailed(
                    f"{self._endpoint.base_url}: asks to wait {asked_s:,.0f} s ({outcome.detail}); "
                    "run again later"
                )
            if outcome.kind == "throttled":
                self.limit.throttled(started, asked_s)
                n_throttled += 1
                if n_throttled > self._endpoint.retries * _THROTTLE_FACTOR:
                    return self._given_up(outcome, tries)
            elif outcome.kind in ("broken", "down"):
                n_broken += 1
                most = self._endpoint.retries
                if n_broken > (min(most, _BROKEN_RETRIES) if outcome.kind == "broken" else most):
                    return self._given_up(outcome, tries)
                wait_s = self._endpoint.backoff.wait_s(n_broken, self._rng)
                await asyncio.sleep(max(wait_s, asked_s or 0.0))
            elif self._adapted(outcome, body):
                body = self.body(request)
            else:
                return self._final(outcome, tries)

    async def _call(
        self, session: aiohttp.ClientSession, request: Request, body: bytes
    ) -> tuple[Reply | Trouble, float | None]:
        """One HTTP call: what came of it, and the wait that the server asked for, in seconds."""
        url = self._endpoint.url
        try:
            async with session.post(
                url, data=body, allow_redirects=False, proxy=self._proxy
            ) as response:
                payload = await _payload(response)
                status, headers = response.status, response.headers
                kind = response.content_type
        except TimeoutError:
            return Trouble("down", f"no answer within {self._endpoint.timeout_s:g} s"), None
        except aiohttp.ClientPayloadError:
            return Trouble("broken", "its answer ended half-way"), None
        except (aiohttp.InvalidURL, aiohttp.ClientConnectorCertificateError) as error:
            raise BadInput(f"{url}: cannot be asked ({error}); correct base_url") from error
        except (aiohttp.ClientError, OSError) as error:
            return Trouble("down", f"no connection ({shown(str(error) or repr(error))})"), None
        if status != 200:
            trouble = read_refusal(status, payload)
            return self._without_key(trouble), retry_after_s(headers)
        if payload is None:
            return Trouble("broken", "its answer is longer than 16 MB"), None
        if kind != "application/json" and not kind.endswith("+json"):
            return Trouble("broken", f"it sent {kind}, not JSON: {shown(payload)}"), None
        found = read_completion(request, payload, self._endpoint.price)
        return (self._without_key(found) if isinstance(found, Trouble) else found), None

    def _answered(self, request: Request) -> None:
        self.limit.answered()
        self._n_outages = 0
        self._n_answered += 1
        if request.answers is not None:
            self._gave_logprobs = True

    def _given_up(self, trouble: Trouble, tries: int) -> Reply:
        """A request that failed for the service's sake, after all retries.

        Raises:
            ServiceFailed: Nothing was ever answered, or too many such failures came in a row.
        """
        self._n_outages += 1
        never = self._n_answered == 0 and trouble.kind != "broken"
        enough = max(3, min(_OUTAGES_IN_A_ROW, self._endpoint.concurrency))
        if never or self._n_outages >= enough:
            raise ServiceFailed(
                f"{self._endpoint.base_url}: {trouble.detail}, {tries} tries; everything so far is "
                "kept: see to the server, then run again"
            )
        return Reply(failure="error", detail=trouble.detail, outage=True, tries=tries)

    def _adapted(self, trouble: Trouble, body: bytes) -> bool:
        """Whether the server told how it wants to be asked, and will be asked so from now on."""
        if trouble.kind != "question":
            return False
        said = trouble.detail
        if "max_completion_tokens" in said and self._max_tokens_key == "max_tokens":
            self._max_tokens_key = "max_completion_tokens"
        elif "top_logprobs" in said and self._top_logprobs > 5:
            self._top_logprobs = 5
        # Others in flight may have been told the same: their body is out of date too.
        elif not (
            ("max_completion_tokens" in said and b'"max_tokens"' in body)
            or ("top_logprobs" in said and b'"top_logprobs": 20' in body)
        ):
            return False
        return True

    def _final(self, trouble: Trouble, tries: int) -> Reply:
        """What trying again will not change: a failure of this request, or of all of them.

        Raises:
            BadInput: No request can work with these settings.
            ServiceFailed: They worked, and work no longer.
        """
        where, said = self._endpoint.base_url, trouble.detail
        if trouble.kind == "no_logprobs" and not self._gave_logprobs:
            raise BadInput(
                f"{where}: the server ignores logprobs, which this mode needs; "
                'set mode = "verdict" for this judge, or serve the model with vLLM or SGLang'
            )
        if trouble.kind == "setting" and self._n_answered == 0:
            advice = "correct base_url, model or api_key_env"
            if said.startswith("HTTP 401"):
                name = self._endpoint.api_key_env
                advice = (
                    f"put the right key into the environment variable {name}"
                    if name
                    else "name the environment variable that holds the key in api_key_env"
                )
            raise BadInput(f"{self._endpoint.url}: {said}; {advice}")
        if said.startswith(("HTTP 401", "HTTP 402")) or trouble.code == "insufficient_quota":
            raise ServiceFailed(f"{where}: {said}; everything so far is kept: run again later")
        if trouble.kind == "refused":
            return Reply(failure="refused", detail=said, finish="refused", tries=tries)
        self._n_turned_away += 1
        if self._n_answered == 0 and self._n_turned_away >= _TURNED_AWAY:
            raise BadInput(
                f"{where}: turned away each of the first {_TURNED_AWAY} questions ({said}); "
                "correct the judge's settings"
            )
        return Reply(failure="error", detail=said, tries=tries)

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        return headers

    def _without_key(self, trouble: Trouble) -> Trouble:
        """Servers quote keys in their errors; no log or message of ours holds one."""
        if self._key and self._key in trouble.detail:
            return replace(trouble, detail=trouble.detail.replace(self._key, "***"))
        return trouble


async def _payload(response: aiohttp.ClientResponse) -> bytes | None:
    """The body; None when it is too long to be an answer."""
    length = response.content_length
    if (
        length is not None
        and length <= _LARGEST_ANSWER
        and "Content-Encoding" not in (response.headers)
    ):
        return await response.read()
    chunks, total = [], 0
    async for chunk in response.content.iter_any():
        total += len(chunk)
        if total > _LARGEST_ANSWER:
            response.close()
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _key(endpoint: Endpoint) -> str:
    if not endpoint.api_key_env:
        return ""
    key = os.environ.get(endpoint.api_key_env, "").strip()
    if not key:
        raise BadInput(
            f"{endpoint.base_url}: the environment variable {endpoint.api_key_env} is not set; "
            "put the key there (never into a file)"
        )
    if not key.isascii() or not key.isprintable():
        raise BadInput(
            f"the environment variable {endpoint.api_key_env} holds characters that no key has; "
            "set it again"
        )
    return key


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for this address; none for this machine itself."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in LOOPBACK or urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get(parts.scheme)
