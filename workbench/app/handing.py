"""Hands out files that a page prepared: from disk, in pieces, never held in memory.

A session that kept its download would keep it until the tab is closed, once per tab. Here a file
lies in a temporary folder of the server under an address that nobody can guess, and only the
newest few stay.
"""

import secrets
import shutil
import tempfile
import threading
from collections import OrderedDict
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

KEPT = 8  # files, of all sessions together

_lock = threading.Lock()
_files: OrderedDict[str, Path] = OrderedDict()


@cache
def _root() -> tempfile.TemporaryDirectory[str]:
    """The folder of this process; removed when it ends in order."""
    return tempfile.TemporaryDirectory(prefix="workbench-prepared-")


def new_place(file_name: str) -> Path:
    """Where to write a file that will be handed out; its folder is there and is nobody else's."""
    folder = Path(_root().name) / secrets.token_hex(8)
    folder.mkdir(mode=0o700)
    return folder / file_name


def hand_out(file: Path) -> str:
    """The address of a finished file, below the root of the server; the oldest one goes."""
    token = secrets.token_urlsafe(24)
    with _lock:
        _files[token] = file
        gone = [_files.popitem(last=False)[1] for _ in range(len(_files) - KEPT)]
    for old in gone:
        shutil.rmtree(old.parent, ignore_errors=True)
    return f"prepared/{token}"


def is_there(address: str) -> bool:
    """Whether a file is still to be had."""
    with _lock:
        return address.removeprefix("prepared/") in _files


async def _give(request: Request) -> Response:
    with _lock:
        file = _files.get(request.path_params["token"])
    if file is None:
        return PlainTextResponse(
            "This file is not kept any more; prepare it again on the Export page.\n", 404
        )
    return FileResponse(
        file,
        filename=file.name,
        media_type="application/octet-stream",
        headers={"cache-control": "no-store"},
    )


def handing_route() -> Route:
    """The route that the links of prepared files lead to."""
    return Route("/prepared/{token}", _give)
