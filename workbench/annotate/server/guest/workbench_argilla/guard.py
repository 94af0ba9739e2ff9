"""Nothing about other people's answers, the AI's or hidden metadata reaches an annotator.

Argilla itself shows an annotator's token all of it. The guard stands before the unmodified
application: who is no owner or admin may call only the routes listed here, which are those of the
labelling page, and some of their answers are emptied of what would unblind. What is not listed is
refused, so that a route of a later version is closed until somebody looked at it.
"""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from argilla_server.constants import API_KEY_HEADER_NAME
from argilla_server.contexts import accounts
from argilla_server.database import AsyncSessionLocal
from argilla_server.errors import UnauthorizedError
from argilla_server.security.authentication.provider import AuthenticationProvider
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import blinding
from .json_sql import SQLITE

API = "/api/v1"
# Pages load nothing from elsewhere, be it their fonts or a picture in somebody's Markdown. They
# themselves need inline scripts and styles.
_PAGES = (
    b"content-security-policy",
    b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'; "
    b"form-action 'self'; base-uri 'self'; object-src 'none'",
)

# The largest body of a search or an answer: Argilla's own limits keep honest ones far below.
_MAX_BODY = 4 * 1024 * 1024

# What tells who asks, and for how long it is believed without a look into the database.
_CREDENTIALS = (b"authorization", API_KEY_HEADER_NAME.lower().encode())
_REMEMBER_S = 10.0
_MOST_KNOWN = 1000

Empty = Callable[[Any, Any], Awaitable[Any]]


@dataclass(frozen=True)
class _Route:
    """A route that an annotator may call, and what its answer loses on the way."""

    method: str
    path: re.Pattern[str]
    empty: Empty | None = None
    is_search: bool = False


def _route(method: str, path: str, empty: Empty | None = None, is_search: bool = False) -> _Route:
    return _Route(method, re.compile(path.replace("ID", "[^/]+")), empty, is_search)


_OPEN = (
    *(_route("GET", path) for path in ("/status", "/version", "/settings", "/oauth2/providers")),
    _route("GET", "/workspaces/ID"),  # a dataset's page asks for its name; Argilla checks whose
    *(_route("GET", path) for path in ("/me", "/me/workspaces", "/me/datasets", "/datasets/ID")),
    *(
        _route("GET", f"/datasets/ID/{part}")
        for part in ("fields", "questions", "vectors-settings", "progress")
    ),
    _route("GET", "/me/datasets/ID/metadata-properties"),
    _route("GET", "/me/datasets/ID/metrics"),
    _route("GET", "/metadata-properties/ID/metrics"),
    _route("POST", "/token"),
    _route("POST", "/records/ID/responses"),
    _route("PUT", "/responses/ID"),
    _route("DELETE", "/responses/ID"),
    _route("POST", "/me/responses/bulk"),
    _route("GET", "/datasets/ID/users/progress", blinding.only_me),
    _route("GET", "/datasets/ID/records/search/suggestions/options", blinding.no_agents),
    _route("GET", "/records/ID/suggestions", blinding.no_suggestions),
    _route("GET", "/records/ID", blinding.own_view_of_record),
    _route("POST", "/me/datasets/ID/records/search", blinding.own_view_of_page, is_search=True),
)


class Guard:
    """The application behind it, blind for annotators.

    Args:
        app: Argilla's application.
        assist: Annotators see suggestions, because somebody chose so.
    """

    def __init__(self, app: ASGIApp, assist: bool) -> None:
        self._app = app
        self._assist = assist
        self._known: dict[tuple[tuple[bytes, bytes], ...], tuple[float, blinding.Caller]] = {}
        # SQLite has one writer: answers that wait here for their turn wait shorter than those
        # that find it locked, back off and try again.
        self._turn = asyncio.Lock() if SQLITE else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if not scope["path"].startswith(API):
            await self._app(scope, receive, _as_page(send))
            return
        if scope["method"] == "OPTIONS":  # a browser's question about origins; no data
            await self._app(scope, receive, send)
            return
        if self._turn is not None and _is_answer(scope):
            try:
                body = await _whole_body(scope, receive)  # nobody waits for a slow sender
            except blinding.Refused as refused:
                await _refuse(scope, receive, send, refused)
                return
            except ClientDisconnect:
                return
            async with self._turn:
                await self._blind(scope, _again(body, receive), send)
        else:
            await self._blind(scope, receive, send)

    async def _blind(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = await self._caller(scope)
        if caller.sees_all:
            await self._app(scope, receive, send)
            return
        route = _find(scope)
        if route is None:
            closed = blinding.Refused("This is closed to annotators.")
            await _refuse(scope, receive, send, closed)
            return
        if route.is_search:
            try:
                receive = await _checked_search(caller, scope, receive)
            except blinding.Refused as refused:
                await _refuse(scope, receive, send, refused)
                return
            except ClientDisconnect:
                return
        if route.empty is None:
            await self._app(scope, receive, send)
        else:
            await self._emptied(route.empty, caller, scope, receive, send)

    async def _caller(self, scope: Scope) -> blinding.Caller:
        """Who asks, remembered for a moment. Whether they may ask at all, the application says."""
        credentials = tuple(pair for pair in scope["headers"] if pair[0] in _CREDENTIALS)
        now = time.monotonic()
        since, caller = self._known.get(credentials, (0.0, None))
        if caller is None or now - since >= _REMEMBER_S:
            caller = await _find_caller(scope, self._assist)
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[credentials] = (now, caller)
        return caller

    async def _emptied(
        self, empty: Empty, caller: blinding.Caller, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Pass the request on, and the answer back without what unblinds."""
        # The body must be readable here, so the application must not compress it.
        headers = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]
        start: Message = {}
        chunks: list[bytes] = []

        async def keep(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            chunks.append(message.get("body", b""))
            if message.get("more_body", False):
                return
            body = b"".join(chunks)
            if start["status"] == 200:
                body = json.dumps(await empty(caller, json.loads(body))).encode()
            kept = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
            start["headers"] = [*kept, (b"content-length", str(len(body)).encode())]
            await send(start)
            await send({"type": "http.response.body", "body": body})

        await self._app({**scope, "headers": headers}, receive, keep)


def _as_page(send: Send) -> Send:
    async def with_policy(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), _PAGES]
        await send(message)

    return with_policy


_ANSWERS = re.compile(API + "/(records/[^/]+/responses|responses/[^/]+|me/responses/bulk)")


def _is_answer(scope: Scope) -> bool:
    return scope["method"] != "GET" and _ANSWERS.fullmatch(scope["path"]) is not None


def _find(scope: Scope) -> _Route | None:
    path = scope["path"].removeprefix(API)
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    for route in _OPEN:
        if route.method == method and route.path.fullmatch(path):
            return route
    return None


async def _find_caller(scope: Scope, assist: bool) -> blinding.Caller:
    """Who asks, found as Argilla itself finds it; an unknown caller is treated as an annotator."""
    request = Request({**scope, "state": {}})
    async with AsyncSessionLocal() as session:
        request.state.db = session
        try:
            for backend in AuthenticationProvider.backends:
                known = await backend.authenticate(request)
                if known:
                    user = await accounts.get_user_by_username(session, known[1].username)
                    if user is not None:
                        return blinding.Caller(
                            user.id, user.username, user.is_owner or user.is_admin, assist
                        )
                    break
        except UnauthorizedError:
            pass  # the application answers 401 itself
    return blinding.Caller(None, "", False, assist)


async def _checked_search(caller: blinding.Caller, scope: Scope, receive: Receive) -> Receive:
    """The request's body as it was understood, after a look at its filters and sorts.

    Raises:
        Refused: It asks by what annotators may not see.
        ClientDisconnect: The client went away.
    """
    body = await _whole_body(scope, receive)
    dataset_id = scope["path"].split("/")[-3]
    return _again(await blinding.checked_search(caller, dataset_id, body), receive)


async def _whole_body(scope: Scope, receive: Receive) -> bytes:
    """The body of a request.

    Raises:
        Refused: It is too long.
        ClientDisconnect: The client went away.
    """
    chunks, n_bytes = [], 0
    async for chunk in Request(scope, receive).stream():
        n_bytes += len(chunk)
        if n_bytes > _MAX_BODY:
            raise blinding.Refused("This request is too long.", 413)
        chunks.append(chunk)
    return b"".join(chunks)


def _again(body: bytes, receive: Receive) -> Receive:
    """A body that was read, to be read once more."""
    sent = False

    async def from_memory() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return from_memory


async def _refuse(scope: Scope, receive: Receive, send: Send, refused: blinding.Refused) -> None:
    detail = {"code": "workbench::blind", "params": {"detail": str(refused)}}
    await JSONResponse({"detail": detail}, refused.status)(scope, receive, send)
