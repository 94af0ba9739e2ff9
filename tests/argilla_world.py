"""A real Argilla server for tests and benchmarks: people who call it, and records put into it."""

import http.client
import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from sqlalchemy import MetaData, Table, create_engine, insert

from workbench.annotate.server.process import WORKSPACE

EPOCH = datetime(2026, 1, 1)
IDLE_S = 30.0  # the server hangs up on who is silent for longer than it likes


class Caller:
    """One person's connection."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        parts = urlsplit(url)
        self.connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=120)
        self.headers, self._asked_at = headers, time.monotonic()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and content of an answer of `/api/v1`."""
        headers = {**self.headers, "Content-Type": "application/json"}
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if time.monotonic() - self._asked_at > IDLE_S:
            self.connection.close()  # it opens itself again
        self._asked_at = time.monotonic()
        self.connection.request(method, f"/api/v1{path}", sent, headers)
        answer = self.connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content else None

    def get(self, path: str) -> Any:
        """The content of a page that must be there."""
        return self._good("GET", path, None)

    def post(self, path: str, body: Any) -> Any:
        """The content of the answer to a request that must succeed."""
        return self._good("POST", path, body)

    def _good(self, method: str, path: str, body: Any) -> Any:
        status, content = self.ask(method, path, body)
        assert status < 300, (status, content)
        return content


@dataclass
class World:
    """A running server and its owner."""

    url: str
    key: str
    database: str  # SQLAlchemy's URL, for `fill`
    callers: list[Caller] = field(default_factory=list)
    people: list[tuple[str, Caller]] = field(default_factory=list)

    def caller(self, headers: dict[str, str]) -> Caller:
        """Somebody with these credentials."""
        self.callers.append(Caller(self.url, headers))
        return self.callers[-1]

    def close(self) -> None:
        """Hang up."""
        for caller in self.callers:
            caller.connection.close()

    def owner(self) -> Caller:
        """The owner, by key."""
        return self.caller({"X-Argilla-Api-Key": self.key})

    def workspace(self) -> str:
        """The id of the annotators' workspace."""
        known = self.owner().get("/me/workspaces")["items"]
        return str(next(one["id"] for one in known if one["name"] == WORKSPACE))

    def annotators(self, n: int) -> list[tuple[str, Caller]]:
        """The same annotators of the workspace each time, logged in by password: id and connection.

        A server takes half a second to hash a password, so they are made once.
        """
        while len(self.people) < n:
            owner = self.owner()
            workspace = self.workspace()
            name = f"ann-{uuid.uuid4().hex[:8]}"
            user = {"username": name, "first_name": name, "role": "annotator"}
            user["password"] = "long enough"
            user_id = owner.post("/users", user)["id"]
            owner.post(f"/workspaces/{workspace}/users", {"user_id": user_id})
            self.people.append((user_id, self.log_in(name, "long enough")))
        return self.people[:n]

    def log_in(self, name: str, password: str) -> Caller:
        """Somebody with a session token, as the pages get it."""
        caller = self.caller({"Content-Type": "application/x-www-form-urlencoded"})
        form = urlencode({"username": name, "password": password})
        caller.connection.request("POST", "/api/v1/token", form, caller.headers)
        answer = caller.connection.getresponse()
        said = json.loads(answer.read())
        assert answer.status == 201, said
        return self.caller({"Authorization": f"Bearer {said['access_token']}"})

    def dataset(
        self,
        wanted: int = 1,
        fields: Sequence[tuple[str, str]] = (("a", "text"),),
        metadata: Sequence[tuple[str, str, bool]] = (),
        workspace: str | None = None,
    ) -> str:
        """A published dataset with a label question "choice" and a rating "stars"; its id.

        Args:
            wanted: Submitted answers that complete a record.
            fields: Names and types.
            metadata: Names, types, and whether annotators see them.
            workspace: Another than the annotators' one, by id.
        """
        owner = self.owner()
        place = {"name": uuid.uuid4().hex, "workspace_id": workspace or self.workspace()}
        distribution = {"strategy": "overlap", "min_submitted": wanted}
        made = owner.post("/datasets", {**place, "distribution": distribution})
        base = f"/datasets/{made['id']}"
        for name, kind in fields:
            settings: dict[str, Any] = {"type": kind, "use_markdown": False}
            if kind == "custom":
                settings = {"type": kind, "template": "x", "advanced_mode": False}
            made_field = {"name": name, "title": name, "settings": settings, "required": False}
            owner.post(f"{base}/fields", made_field)
        options = [{"value": value, "text": value} for value in ("A", "B", "tie")]
        questions = (
            ("choice", {"type": "label_selection", "options": options, "visible_options": 3}, True),
            ("stars", {"type": "rating", "options": [{"value": n} for n in range(1, 6)]}, False),
        )
        for name, settings, required in questions:
            question = {"name": name, "title": name, "settings": settings, "required": required}
            owner.post(f"{base}/questions", question)
        for name, kind, visible in metadata:
            prop = {
                "name": name,
                "title": name,
                "settings": {"type": kind},
                "visible_for_annotators": visible,
            }
            owner.post(f"{base}/metadata-properties", prop)
        status, said = owner.ask("PUT", f"{base}/publish")
        assert status == 200, said
        return str(made["id"])


@dataclass(frozen=True)
class Row:
    """A record with all that hangs on it, as `fill` writes it."""

    id: uuid.UUID
    fields: dict[str, Any]
    metadata: dict[str, Any] | None = None
    status: str = "pending"
    external_id: str | None = None
    number: int = 0  # seconds after EPOCH at which it came
    responses: tuple[tuple[str, str, dict[str, Any] | None], ...] = ()  # user id, status, values
    suggestions: tuple[
        tuple[str, Any, Any, str | None], ...
    ] = ()  # question id, value, score, agent


def fill(database: str, dataset_id: str, rows: Sequence[Row]) -> None:
    """Write records past the server: 100,000 of them in seconds instead of many minutes."""
    engine = create_engine(database)
    plain = engine.dialect.name == "sqlite"

    def key(value: uuid.UUID | str) -> Any:
        found = value if isinstance(value, uuid.UUID) else uuid.UUID(value)
        return found.hex if plain else found

    known = MetaData()
    with engine.begin() as connection:
        tables = [
            Table(name, known, autoload_with=connection)
            for name in ("records", "responses", "suggestions")
        ]
        records: list[dict[str, Any]] = []
        responses: list[dict[str, Any]] = []
        suggestions: list[dict[str, Any]] = []
        for row in rows:
            moment = EPOCH + timedelta(seconds=row.number)
            times = {"inserted_at": moment, "updated_at": moment}
            records.append(
                {
                    "id": key(row.id),
                    "fields": row.fields,
                    "metadata": row.metadata,
                    "status": row.status,
                    "external_id": row.external_id,
                    "dataset_id": key(dataset_id),
                    **times,
                }
            )
            to_record = {"record_id": key(row.id), **times}
            for user_id, status, values in row.responses:
                answer = {"values": values, "status": status, "user_id": key(user_id)}
                responses.append({"id": key(uuid.uuid4()), **answer, **to_record})
            for question_id, value, score, agent in row.suggestions:
                said = {"value": value, "score": score, "agent": agent, "type": "model"}
                asked = {"question_id": key(question_id)}
                suggestions.append({"id": key(uuid.uuid4()), **said, **asked, **to_record})
        for table, content in zip(tables, (records, responses, suggestions), strict=True):
            for start in range(0, len(content), 5000):
                connection.execute(insert(table), content[start : start + 5000])
    engine.dispose()


def sqlite_url(project_dir: Path) -> str:
    """The database of a server of a project, for `fill`."""
    return f"sqlite:///{project_dir / 'argilla' / 'argilla.db'}"
