"""One connection to an Argilla server: the key, patience while it is slow, one line if it fails.

Only what the client offers to everybody is used, so that any Argilla 2.x can be spoken to.
"""

import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from pipelines.errors import BadInput, ServiceFailed, WorkbenchError
from workbench.annotate.server import process
from workbench.annotate.server.account import owner_key

URL_VARIABLE, KEY_VARIABLE = "ARGILLA_API_URL", "ARGILLA_API_KEY"
TIMEOUT_S = 60
# Waits between tries: a server that restarts or asks for a pause gets that long.
DELAYS_S = (1.0, 2.0, 4.0, 8.0)
MAX_PAUSE_S = 60.0
PAGE = 250  # records asked for, or sent, at once
_TEMPORARY = {408, 425, 429, 500, 502, 503, 504}

T = TypeVar("T")


@dataclass(frozen=True)
class Address:
    """Where a server is, and the key to it; the key is never stored or printed."""

    url: str
    key: str
    own: process.Server | None  # this project's own server, where it is that


def find_address(project_dir: Path, url: str | None = None) -> Address:
    """The server that is meant: the one named, else the environment's, else the project's own.

    Raises:
        BadInput: None is named and none runs, or there is no key to it.
    """
    server = process.running(project_dir)
    named = (url or os.environ.get(URL_VARIABLE, "")).rstrip("/")
    if server is not None and named in ("", server.url.rstrip("/")):
        return Address(server.url.rstrip("/"), owner_key(project_dir), server)
    if not named:
        raise BadInput(
            "no Argilla server runs here; start one with `workbench argilla up`, or name yours by "
            f"{URL_VARIABLE} and {KEY_VARIABLE}"
        )
    parts = urlsplit(named)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadInput(f"{named!r} is no address of a server; write it as https://host:port")
    key = os.environ.get(KEY_VARIABLE, "")
    if not key:
        raise BadInput(
            f"{named} needs an API key; set {KEY_VARIABLE} to that of an owner or admin (it stands "
            "in Argilla under My settings)"
        )
    return Address(named, key, None)


class Connection:
    """A logged-in client that is patient.

    Attributes:
        client: Argilla's own client.
        me: Who the key belongs to.
    """

    def __init__(self, address: Address, delays_s: tuple[float, ...] = DELAYS_S) -> None:
        self.address, self.url, self._delays_s = address, address.url, delays_s
        # Read by the progress bars that the client would draw; ours says more.
        os.environ.setdefault("TQDM_DISABLE", "1")
        try:
            with warnings.catch_warnings():
                # Its models are written for an older Pydantic.
                warnings.filterwarnings("ignore", category=DeprecationWarning)
                import argilla
        except ImportError as error:
            raise BadInput(
                "Argilla's client is not installed; pip install 'rlaif-workbench[argilla]'"
            ) from error
        # What it would log it also raises, and we say it in one line.
        logging.getLogger("argilla").setLevel(logging.CRITICAL)
        self.rg: Any = argilla
        self.client: Any = self.ask(
            "log in",
            lambda: argilla.Argilla(
                api_url=address.url, api_key=address.key, timeout=TIMEOUT_S, retries=0
            ),
        )
        self.me: Any = self.ask("ask who it talks to", lambda: self.client.me)
        if str(self.me.role.value) not in ("owner", "admin"):
            raise BadInput(
                f"{self.url}: the key belongs to {self.me.username!r}, an annotator; use that of "
                "an owner or admin"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.http_client.close()

    @property
    def is_owner(self) -> bool:
        """Whether people and workspaces may be made."""
        return str(self.me.role.value) == "owner"

    def ask(self, what: str, call: Callable[[], T]) -> T:
        """The answer to a request, tried again for a while where trying again may help.

        Args:
            what: What could not be done, should it fail: "log in".
            call: One request that may safely be made twice.

        Raises:
            BadInput: The server refuses it.
            ServiceFailed: It is gone, too slow, or too busy.
        """
        import httpx
        from argilla._exceptions import ArgillaError  # they have no public name

        delays = iter(self._delays_s)
        while True:
            try:
                with warnings.catch_warnings():
                    # The client warns of what it did not find; we ask for it and look.
                    warnings.filterwarnings("ignore", ".* not found", UserWarning)
                    return call()
            except (ArgillaError, httpx.HTTPError) as error:
                cause = _cause(error)
                delay = next(delays, None)
                if delay is None or not _is_temporary(cause):
                    raise self._told(what, cause) from error
                time.sleep(max(delay, _asked_pause(cause)))
            except (ValueError, httpx.InvalidURL) as error:
                raise BadInput(
                    f"{self.url}: cannot {what}: what answers there is no Argilla 2 server; check "
                    f"the address ({str(error).splitlines()[0][:120]})"
                ) from error

    def _told(self, what: str, error: BaseException) -> WorkbenchError:
        """The error as one sentence."""
        status, said = _status(error), _detail(error)
        where = f"{self.url}: cannot {what}"
        if status == 401:
            return BadInput(f"{where}: the key is not accepted; set {KEY_VARIABLE} anew")
        if status == 403:
            return BadInput(f"{where}: {self._name()} may not; use the key of an owner")
        if status == 404:
            return BadInput(f"{where}: it is not there (any more); look at the server's list")
        if status == 429:
            return ServiceFailed(
                f"{where}: the server says that it is asked too often; what was done is kept, run "
                "the same command later"
            )
        if status is not None and status < 500:
            return BadInput(f"{where}: the server refuses it ({said})")
        return ServiceFailed(
            f"{where}: {said}; what was done is kept, run the same command again when it is back"
        )

    def _name(self) -> str:
        return repr(self.me.username) if hasattr(self, "me") else "the key's owner"

    def dataset(self, dataset_id: str) -> Any | None:
        """The dataset of this id with its settings, or None when it is not there."""

        def find() -> Any:
            found = self.client.datasets(id=dataset_id)
            return None if found is None else found.get()

        return self.ask("read the dataset", find)

    def records(self, dataset: Any, *, answers: bool = True) -> Iterator[list[Any]]:
        """All records of a dataset, page by page, as the interface gives them.

        Not `dataset.records`: that loses discards without a value, and the ranks of a ranking.
        """
        read = partial(
            self.client.api.records.list,
            dataset.id,
            limit=PAGE,
            with_responses=answers,
            with_suggestions=answers,
        )
        offset = 0
        while True:
            what = f"read the records of {dataset.name!r}"
            page: list[Any] = self.ask(what, partial(read, offset=offset))
            if page:
                yield page
            if len(page) < PAGE:
                return
            offset += len(page)


def _cause(error: BaseException) -> BaseException:
    """The request's own failure: the client wraps some errors twice."""
    import httpx
    from argilla._exceptions import ArgillaAPIError, ArgillaCredentialsError

    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ArgillaAPIError | ArgillaCredentialsError | httpx.HTTPError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return error


def _status(error: BaseException) -> int | None:
    from argilla._exceptions import ArgillaCredentialsError

    if isinstance(error, ArgillaCredentialsError):
        return 401
    found = getattr(error, "status_code", None)
    return found if isinstance(found, int) else None


def _is_temporary(error: BaseException) -> bool:
    import httpx

    if isinstance(error, httpx.UnsupportedProtocol):
        return False
    return isinstance(error, httpx.TransportError) or _status(error) in _TEMPORARY


def _asked_pause(error: BaseException) -> float:
    """Seconds that the server asked to wait; 0 when it did not say."""
    response = getattr(error.__context__, "response", None)
    said = "" if response is None else response.headers.get("retry-after", "")
    return min(float(said), MAX_PAUSE_S) if said.isdigit() else 0.0


def _detail(error: BaseException) -> str:
    import httpx

    if isinstance(error, httpx.TimeoutException):
        return f"no answer within {TIMEOUT_S} s"
    if isinstance(error, httpx.TransportError):
        return "the server cannot be reached"
    text, status = " ".join(str(error).split())[-300:], _status(error)
    return text if status is None or status < 500 else f"status {status}: {text}"
