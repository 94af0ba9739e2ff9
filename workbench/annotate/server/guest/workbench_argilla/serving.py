"""The server: Argilla's application behind the guard, under uvicorn, on a socket it was given."""

import gc
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from argilla_server import app
from argilla_server.security.authentication.jwt import JWT
from sqlalchemy.exc import SQLAlchemyError

from . import database, engine  # noqa: F401 - importing the engine registers it
from .guard import Guard

# How long open requests may finish when the server is asked to stop.
GOODBYE_S = 3


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so as soon as requests are answered."""
        await super().startup(sockets)
        if self.started:
            self._on_ready()


def run(told: dict[str, Any], report: Callable[..., None]) -> None:
    """Prepare the database and serve.

    Args:
        told: `socket`: descriptor of a listening socket; `workspace`; `new_password`;
            `assist`: annotators see suggestions.
        report: Called once, with what the one who started us must know.
    """
    try:
        prepared = database.prepare(told["workspace"], told["new_password"])
    except (SQLAlchemyError, OSError) as error:
        report(failed=str(getattr(error, "orig", None) or error).splitlines()[0])
        return
    JWT.secret = prepared.session_key
    config = uvicorn.Config(
        Guard(app, assist=told["assist"]),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,  # annotators think longer than uvicorn's five seconds
        timeout_graceful_shutdown=GOODBYE_S,
    )
    server = _Server(config, lambda: report(username=prepared.username, password=prepared.password))
    # What was imported stays: the collector need not look through it again and again.
    gc.collect()
    gc.freeze()
    server.run(sockets=[socket.socket(fileno=told["socket"])])
