"""A proxy before a real server that can lose its manners: statuses, silence, hang-ups."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_OURS = ("host", "connection", "accept-encoding")  # what comes back is passed on as it is
Manner = int | str  # a status, "drop" (hang up without a word), "hang", "html"


class RudeProxy(ThreadingHTTPServer):
    """Passes requests on, except those for which `manner` says otherwise."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(target)
        self.manner: Callable[[str, str], Manner | None] = lambda method, path: None
        self.n_asked = 0
        self.hang_s = 1.0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def rude(self, manner: Manner, *, times: int, path: str = "") -> None:
        """Answer the next requests of a path so, then behave."""
        left = [times]

        def decide(_: str, asked: str) -> Manner | None:
            if path not in asked or left[0] == 0:
                return None
            left[0] -= 1
            return manner

        self.manner = decide


class _Handler(BaseHTTPRequestHandler):
    server: RudeProxy

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.n_asked += 1
        manner = self.server.manner(self.command, self.path)
        if manner == "drop":
            self.close_connection = True
            return
        if manner == "hang":
            time.sleep(self.server.hang_s)
            self.close_connection = True
            return
        if manner == "html":
            self._reply(200, b"<html>A proxy's log-in page</html>", "text/html")
            return
        if isinstance(manner, int):
            self._reply(manner, b'{"detail": "no manners"}', "application/json")
            return
        there = http.client.HTTPConnection(
            str(self.server.target.hostname), self.server.target.port, timeout=60
        )
        kept = {k: v for k, v in self.headers.items() if k.lower() not in _OURS}
        there.request(self.command, self.path, body, kept)
        answer = there.getresponse()
        content = answer.read()
        there.close()
        self._reply(answer.status, content, answer.headers.get("Content-Type", "text/plain"))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815 - names of http.server

    def _reply(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if status == 429:
            self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def rude_proxy(target: str) -> Iterator[RudeProxy]:
    """A proxy on a free port, in a thread."""
    with RudeProxy(target) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
