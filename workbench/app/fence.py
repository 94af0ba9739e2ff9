"""What every request passes first: whose page it comes from, and what a browser may do with it."""

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workbench.app.access import COOKIE_DAYS, LINK_COOKIE

# Streamlit compiles its chart specifications (eval), styles its elements inline and loads a
# component's script from a blob. Everything else is closed: no other site is asked for anything.
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "media-src 'self' data: blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-src 'self' blob: data:",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Fence:
    """ASGI middleware around everything that this server serves.

    Args:
        app: What is inside.
        knows_link: Whether the token of a personal link is good.
        any_host: Accept any Host header. On loopback this is off: otherwise a foreign site whose
            name is made to point at 127.0.0.1 could speak to this server as its own.
        public_host: A name to accept beside loopback's.
        hidden_path: A path of this machine that Streamlit tells every browser, and need not.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        knows_link: Callable[[str], Awaitable[bool]],
        any_host: bool,
        public_host: str | None,
        hidden_path: str,
    ) -> None:
        self._app, self._knows_link, self._any_host = app, knows_link, any_host
        self._hosts = {*LOOPBACK, *([public_host] if public_host else [])}
        self._hidden = hidden_path.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or one websocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(headers)
        if refusal is not None and scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] == "websocket":
            await self._app(scope, receive, self._without_path(send))
            return
        sealed = _with_headers(send)
        response = refusal or await self._entering(scope)
        await (response or self._app)(scope, receive, sealed)

    def _refusal(self, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        name = (urlsplit(f"//{host}").hostname or "") if host.isascii() else ""
        if not self._any_host and name not in self._hosts and not name.endswith(".localhost"):
            return PlainTextResponse(
                "This workbench does not answer under that name; open it as 127.0.0.1, or start "
                "it with --public-url for the name that a proxy gives it.\n",
                403,
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return JSONResponse(
                {"error": "This message comes from another site's page and was not read."}, 403
            )
        return None

    async def _entering(self, scope: Scope) -> Response | None:
        """Somebody opens their personal link: remember it, and take it out of the address."""
        if scope["path"] != "/" or scope["method"] != "GET":
            return None
        token = parse_qs(scope["query_string"].decode("latin-1")).get("invite", [""])[0]
        if not token:
            return None
        if not await self._knows_link(token):
            return PlainTextResponse(
                "This link does not work any more; ask whoever sent it for a new one.\n", 403
            )
        response = RedirectResponse("./", 303, headers={"cache-control": "no-store"})
        response.set_cookie(
            LINK_COOKIE,
            token,
            max_age=COOKIE_DAYS * 86_400,
            httponly=True,
            samesite="lax",
            secure=scope["scheme"] == "https",
        )
        return response

    def _without_path(self, send: Send) -> Send:
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        async def filtered(message: Message) -> None:
            data = message.get("bytes")
            if data is not None and self._hidden in data:
                told = ForwardMsg.FromString(data)
                if told.HasField("new_session"):
                    told.new_session.main_script_path = "app.py"
                    message = {**message, "bytes": told.SerializeToString()}
            await send(message)

        return filtered


def _with_headers(send: Send) -> Send:
    async def sealed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return sealed
