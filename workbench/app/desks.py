"""Where the route's work is done: one thread for the database, one for rendering texts.

All database work of the route runs on one thread, so requests are served in the order in which
they came. Requests that wait while one transaction is written to disk share the next.
"""

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from sqlalchemy.exc import IntegrityError

from pipelines.errors import BadInput
from workbench.audit.people import by_link
from workbench.audit.queue import Desk, Reply, SyncRequest, TokenRefused, sync
from workbench.audit.shown import ShownItem
from workbench.db.models import Round
from workbench.db.session import reading, writing
from workbench.project import Project

_log = logging.getLogger(__name__)

RENDERED_ITEMS = 1_000
ATTEMPTS = 3
BATCH = 32


@dataclass(frozen=True)
class _Waiting:
    request: SyncRequest
    reply: Future[Reply]


class Desks:
    """Answers the messages of review pages."""

    def __init__(self, project: Project) -> None:
        self._project, self._engine, self._desk = project, project.engine, Desk()
        self._waiting: SimpleQueue[_Waiting] = SimpleQueue()
        self._database = ThreadPoolExecutor(1, thread_name_prefix="review-database")
        self._renderer = ThreadPoolExecutor(1, thread_name_prefix="review-render")
        self._rendered: OrderedDict[int, dict[str, Any]] = OrderedDict()

    async def answer(self, request: SyncRequest) -> bytes:
        """Store, commit, and only then say so.

        Raises:
            TokenRefused: The page's token is not good.
            SQLAlchemyError: The database could not do it; nothing of the request was stored.
        """
        future: Future[Reply] = Future()
        # Taken on: a page that goes away while it waits no longer takes its votes with it.
        future.set_running_or_notify_cancel()
        self._waiting.put(_Waiting(request, future))
        self._database.submit(self._serve_waiting)
        reply = await asyncio.wrap_future(future)
        return await asyncio.get_running_loop().run_in_executor(
            self._renderer, self._as_json, reply
        )

    async def knows_link(self, token: str) -> bool:
        """Whether a personal link with this token works."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._database, self._knows_link, token)

    def close(self) -> None:
        """Finish what was begun."""
        self._database.shutdown()
        self._renderer.shutdown()

    def _serve_waiting(self) -> None:
        """Serve all who wait in one transaction; when it fails, each in one of its own."""
        batch: list[_Waiting] = []
        while len(batch) < BATCH:
            try:
                batch.append(self._waiting.get_nowait())
            except Empty:
                break
        replies: list[Reply | TokenRefused] | None = None
        try:
            replies = self._committed([waiting.request for waiting in batch])
        finally:
            for number, waiting in enumerate(batch):
                if replies is None:
                    again = self._database.submit(self._alone, waiting.request)
                    again.add_done_callback(partial(_pass_on, waiting.reply))
                else:
                    _settle(waiting.reply, replies[number])

    def _committed(self, requests: Sequence[SyncRequest]) -> list[Reply | TokenRefused]:
        replies: list[Reply | TokenRefused] = []
        if not requests:
            return replies
        try:
            with writing(self._engine) as session:
                for request in requests:
                    try:
                        replies.append(sync(session, request, self._desk))
                    except TokenRefused as refusal:  # before anything was written
                        replies.append(refusal)
        except BaseException:
            self._desk.forget()  # memory is ahead of what the database took back
            raise
        for number, reply in enumerate(replies):
            if isinstance(reply, Reply) and _has_nothing(requests[number], reply):
                replies[number] = self._after_next_stage(requests[number], reply)
        return replies

    def _after_next_stage(self, request: SyncRequest, reply: Reply) -> Reply:
        """Active mode draws its next stage when a page runs dry; the page is then served from it.

        In a transaction of its own: what people sent is committed whatever becomes of the draw.
        """
        with reading(self._engine) as session:
            if session.get_one(Round, reply.round_id).design["mode"] != "active":
                return reply
        # Imported here: it loads scipy, 65 MB and most of a second that no other round needs.
        from workbench.audit.extend import draw_next_stage

        try:
            with writing(self._engine) as session:
                if not draw_next_stage(session, self._project, reply.round_id):
                    return reply
        except BadInput as error:  # the imported pairs changed: the owner must put them right
            _log.error("the next stage could not be drawn: %s", error)
            return reply
        self._desk.forget()
        with writing(self._engine) as session:
            again = sync(session, request.model_copy(update={"ops": []}), self._desk)
        return replace(again, acks=reply.acks)

    def _alone(self, request: SyncRequest) -> Reply | TokenRefused:
        """One request in its own transaction; again when another program was in between."""
        for _ in range(ATTEMPTS - 1):
            try:
                return self._committed([request])[0]
            except IntegrityError:
                continue  # nothing was stored, and the request is idempotent
        return self._committed([request])[0]

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
                {
                    "id": past.op_id,
                    "kind": past.kind,
                    "label": past.label,
                    "comment": past.comment,
                    "details": past.details,
                    "item": self._item(past.item),
                }
                for past in reply.history
            ]
        return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()

    def _item(self, item: ShownItem) -> dict[str, Any]:
        """The pair as it is sent: what is not named here never leaves the server."""
        pieces = self._pieces(item)
        left, right = ("a", "b") if item.left == "A" else ("b", "a")
        return {
            "id": item.lease_id,
            "prompt_html": pieces["prompt"],
            "left_html": pieces[left],
            "right_html": pieces[right],
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


def _has_nothing(request: SyncRequest, reply: Reply) -> bool:
    """Whether a page that wants pairs is left without any, in a round that is open."""
    kept = set(request.have) - set(reply.drop)
    return request.want > 0 and not reply.closed and not reply.items and not kept


def _settle(future: Future[Reply], reply: Reply | TokenRefused) -> None:
    if isinstance(reply, TokenRefused):
        future.set_exception(reply)
    else:
        future.set_result(reply)


def _pass_on(future: Future[Reply], done: Future[Reply | TokenRefused]) -> None:
    error = done.exception()
    if error is not None:
        future.set_exception(error)
    else:
        _settle(future, done.result())
