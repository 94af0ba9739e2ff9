"""The server: Streamlit's pages and the route of the votes in one process.

An answer leaves only after what it acknowledges was committed (`desks`); every request passes the
fence first (`fence`).
"""

import json
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import streamlit as st
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from workbench.app.access import LINK_COOKIE, NAME_COOKIE, PROJECT_VARIABLE, TEAM_VARIABLE
from workbench.app.desks import Desks
from workbench.app.fence import Fence
from workbench.app.front import FrontPage
from workbench.app.handing import handing_route
from workbench.app.warming import warm_up
from workbench.audit.queue import SyncRequest, TokenRefused
from workbench.project import Project

_log = logging.getLogger(__name__)

SCRIPT = Path(__file__).with_name("app.py")
SYNC_PATH = "/api/review/sync"
MAX_BODY = 4 * 1024 * 1024


def _refuse(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"error": sentence}, status, headers={"cache-control": "no-store"})


async def _body(request: Request) -> bytes | None:
    """The request's body, or None when it is too large."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def sync_route(desks: Desks) -> Route:
    """The route that the review page speaks to."""

    async def answer(request: Request) -> Response:
        try:
            raw = await _body(request)
        except ClientDisconnect:
            return _refuse(400, "The message was cut off; it is sent again.")
        if raw is None:
            megabytes = MAX_BODY // 2**20
            return _refuse(413, f"The message is larger than {megabytes} MB; send fewer at once.")
        try:
            message = SyncRequest.model_validate(json.loads(raw))
        except ValidationError as error:
            place = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
            return _refuse(400, f"The message is not what this server expects (at {place or '/'}).")
        except (ValueError, RecursionError):
            return _refuse(400, "The message is not JSON.")
        try:
            content = await desks.answer(message)
        except TokenRefused as refusal:
            return _refuse(401, str(refusal))
        except SQLAlchemyError:
            return _refuse(503, "The database cannot be written now; nothing is lost, try again.")
        return Response(
            content, media_type="application/json", headers={"cache-control": "no-store"}
        )

    return Route(SYNC_PATH, answer, methods=["POST"])


async def _review(_: Request) -> Response:
    """The review page has no path of its own; who types its name means it."""
    return RedirectResponse("./", 307)


async def _leave(_: Request) -> Response:
    """Forget who sits at this browser, and ask again."""
    response = RedirectResponse("./", 303, headers={"cache-control": "no-store"})
    for name in (LINK_COOKIE, NAME_COOKIE):
        response.delete_cookie(name)
    return response


def _tell_script_error(error: Exception) -> bool:
    """One sentence for the person at the page; what happened stands in the log."""
    _log.error("a page failed", exc_info=error)
    st.error(
        "This page failed, and nothing was lost by it. Reload it; if it fails again, whoever runs "
        "the server finds the reason in its log."
    )
    return True


def create_app(project: Project, *, team: bool = False, public_host: str | None = None) -> st.App:
    """The whole server as an ASGI application; one per process.

    Args:
        project: What it serves.
        team: Other machines may reach it: everybody needs a personal link.
        public_host: The name under which a TLS proxy in front is reached, where there is one.
    """
    os.environ[PROJECT_VARIABLE] = str(project.dir)
    os.environ[TEAM_VARIABLE] = "1" if team else "0"
    desks = Desks(project)

    @asynccontextmanager
    async def lifespan(_: st.App) -> AsyncIterator[None]:
        if not team:  # everybody here is an owner, who may open any page
            warm_up(project)
        yield
        desks.close()

    return st.App(
        SCRIPT,
        routes=[
            sync_route(desks),
            Route("/leave", _leave),
            Route("/review", _review),
            handing_route(),
        ],
        middleware=[
            Middleware(
                Fence,
                knows_link=desks.knows_link,
                any_host=team and public_host is None,
                public_host=public_host,
                hidden_path=str(SCRIPT.resolve()),
            ),
            Middleware(FrontPage),
        ],
        lifespan=lifespan,
        on_script_error=_tell_script_error,
    )
