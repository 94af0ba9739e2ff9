"""The one HTML page that Streamlit serves, told where it is and what it is called.

Streamlit's script guesses the server's address: on `/agreement` it asks under `/agreement/` first,
gets two 404s, and only then asks at the root. The page's own files are found relative to it, so the
address is known: it is written into the page.
"""

import gzip

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_TITLE, _OUR_TITLE = b"<title>Streamlit</title>", b"<title>Workbench</title>"
# A prefix of a proxy in front stays in it: every page is one step below the root.
_WHERE = (
    b'<script>window.__streamlit = { BACKEND_BASE_URL: new URL(".", location.href).href }</script>'
)


class FrontPage:
    """ASGI middleware: rewrites the HTML that passes, and nothing else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["method"] == "GET":
            send = _Rewriting(send)
        await self._app(scope, receive, send)


class _Rewriting:
    """Holds an HTML answer back until it is whole."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_page(message):
            self._start = message
        elif message["type"] == "http.response.body" and self._start is not None:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._send_rewritten(self._start)
        else:
            await self._send(message)

    async def _send_rewritten(self, start: Message) -> None:
        headers = MutableHeaders(raw=start["headers"])
        body = bytes(self._body)
        if headers.get("content-encoding") == "gzip":  # Streamlit's own middleware lies further in
            body = gzip.decompress(body)
            del headers["content-encoding"]
        body = body.replace(_TITLE, _OUR_TITLE).replace(b"<head>", b"<head>" + _WHERE)
        headers["content-length"] = str(len(body))
        # They speak of the file on disk: a browser would keep a page of an older version by them.
        for name in ("etag", "last-modified"):
            if name in headers:
                del headers[name]
        self._start = None
        await self._send({**start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": body})


def _is_page(start: Message) -> bool:
    kind = Headers(raw=start["headers"]).get("content-type", "")
    return start["status"] == 200 and kind.startswith("text/html")
