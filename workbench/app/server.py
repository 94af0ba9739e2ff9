"""The server: Streamlit's pages and the route of the votes in one process.

All database work of the route runs on one thread of its own, so requests are served in the order
in which they came, and an answer leaves only after its transaction was committed.
"""

import asyncio
import json
import logging
import os
from collections import OrderedDict
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import streamlit as st
from pydantic import ValidationError
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from workbench.app.access import PROJECT_VARIABLE, TEAM_VARIABLE
from workbench.app.fence import Fence
from workbench.audit.people import by_link
from workbench.audit.queue import Desk, Reply, SyncRequest, TokenRefused, sync
from workbench.audit.shown import ShownItem
from workbench.db.session import reading, writing
from workbench.project import Project

_log = logging.getLogger(__name__)

SCRIPT = Path(__file__).with_name("app.py")
SYNC_PATH = "/api/review/sync"
MAX_BODY = 4 * 1024 * 1024
RENDERED_ITEMS = 1_000
ATTEMPTS = 3


class Desks:
    """The route's two threads: one talks to the database, one renders texts."""

    def __init__(self, project: Project) -> None:
        self._engine, self._desk = project.engine, Desk()
        self._database = ThreadPoolExecutor(1, thread_name_prefix="review-database")
        self._renderer = ThreadPoolExecutor(1, thread_name_prefix="review-render")
        self._rendered: OrderedDict[int, dict[str, Any]] = OrderedDict()

    async def answer(self, request: SyncRequest) -> bytes:
        """Store, commit, and only then say so.

        Raises:
            TokenRefused: The page's token is not good.
            SQLAlchemyError: The database could not do it; nothing of the request was stored.
        """
        loop = asyncio.get_running_loop()
        reply = await loop.run_in_executor(self._database, self._committed, request)
        return await loop.run_in_executor(self._renderer, self._as_json, reply)

    async def knows_link(self, token: str) -> bool:
        """Whether a personal link with this token works."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._database, self._knows_link, token)

    def close(self) -> None:
        """Finish what was begun."""
        self._database.shutdown()
        self._renderer.shutdown()

    def _committed(self, request: SyncRequest) -> Reply:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with writing(self._engine) as session:
                    return sync(session, request, self._desk)
            except IntegrityError:
                # Another program wrote the same slot meanwhile. The request is idempotent: again.
                self._desk.forget()
                if attempt == ATTEMPTS:
                    raise
            except SQLAlchemyError:
                self._desk.forget()
                raise
        raise AssertionError("unreachable")

    def _knows_link(self, token: str) -> bool:
        with reading(self._engine) as session:
            return by_link(session, token) is not None

    def _as_json(self, reply: Reply) -> bytes:
        answer: dict[str, Any] = {
            "acks": reply.acks,
            "items": [self._item(item) for item in reply.items],
            "drop": reply.drop,
            "progress": {"mine": reply.mine, "everyone": reply.everyone, "asked": reply.asked},
            "round": {"closed": reply.closed},
            "want": reply.want,
        }
        if reply.history is not None:
            answer["history"] = [
                {"id": past.op_id, "kind": past.kind, "label": past.label}
                | {"item": self._item(past.item)}
                for past in reply.history
            ]
        return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()

    def _item(self, item: ShownItem) -> dict[str, Any]:
        """The pair as it is sent: what is not named here never leaves the server."""
        pieces = self._pieces(item)
        left, right = ("a", "b") if item.left == "A" else ("b", "a")
        texts = {"a": item.response_a, "b": item.response_b}
        return {
            "id": item.lease_id,
            "prompt_html": pieces["prompt"],
            "left_html": pieces[left],
            "right_html": pieces[right],
            "left_text": texts[left],
            "right_text": texts[right],
        }

    def _pieces(self, item: ShownItem) -> dict[str, Any]:
        # Imported here: the Markdown parser is loaded when the first page asks.
        from workbench.app.review.render import prompt_html, render_markdown

        if item.item_id in self._rendered:
            self._rendered.move_to_end(item.item_id)
            return self._rendered[item.item_id]
        pieces = self._rendered[item.item_id] = {
            "prompt": prompt_html(item.prompt_json),
            "a": render_markdown(item.response_a),
            "b": render_markdown(item.response_b),
        }
        if len(self._rendered) > RENDERED_ITEMS:
            self._rendered.popitem(last=False)
        return pieces


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
        yield
        desks.close()

    return st.App(
        SCRIPT,
        routes=[sync_route(desks)],
        middleware=[
            Middleware(
                Fence,
                knows_link=desks.knows_link,
                any_host=team and public_host is None,
                public_host=public_host,
                hidden_path=str(SCRIPT.resolve()),
            )
        ],
        lifespan=lifespan,
        on_script_error=_tell_script_error,
    )
