"""A Redis stand-in inside this process, for a server that nobody gave a Redis URL."""

import threading

from fakeredis import TcpFakeServer


class _Quiet(TcpFakeServer):  # type: ignore[misc]  # fakeredis is not installed where mypy runs
    # Its threads wait for clients that leave only when this process ends.
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no error."""


def start() -> str:
    """Serve on a free loopback port until the process ends; its URL."""
    server = _Quiet(("127.0.0.1", 0), server_type="redis")
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"redis://127.0.0.1:{server.server_address[1]}/0"
