"""Search over HTTP equals a plain-Python reading of the same query, on SQLite and PostgreSQL."""

import hashlib
import json
import os
import random
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any

import argilla_world
import pytest
from argilla_world import EPOCH, Caller, Row, World, fill

from workbench.annotate.server import environment, process
from workbench.annotate.server.account import owner_key

N_RECORDS, N_QUERIES, N_OVER_HTTP = 2_000, 500, 50
ASKER = str(Path(argilla_world.__file__).with_name("argilla_asker.py"))
WORDS = ["alpha", "Beta", "GAMMA", "café", "ÉTÉ", "naïve", "数据", "模型", "it's", "back\\slash"]
WORDS += ["50%", "under_score", "line\nbreak"]
FIELDS = (("a", "text"), ("talk", "chat"), ("pair", "custom"))
METADATA = (("topic", "terms", True), ("size", "integer", True), ("margin", "float", True))


@dataclass
class Library:
    """The records of a dataset, in Python and in a server."""

    world: World
    dataset: str
    rows: list[Row]
    people: list[tuple[str, Caller]]
    owner: Caller
    questions: dict[str, str]
    words: dict[uuid.UUID, dict[str | None, list[str]]]


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "sqlite":
        yield request.getfixturevalue("argilla")
        return
    yield from _on_postgres(
        request.getfixturevalue("argilla_environment"),
        request.getfixturevalue("postgres_server"),
        request.getfixturevalue("tmp_path_factory").mktemp("argilla-pg"),
    )


def _on_postgres(_: Path, server: str, folder: Path) -> Iterator[World]:
    import psycopg

    name = f"argilla_{os.urandom(4).hex()}"
    with psycopg.connect(server.replace("+psycopg", "") + "/postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
    os.environ[process.DATABASE_VARIABLE] = f"{server.replace('+psycopg', '')}/{name}"
    try:
        started = process.up(folder, port=0)
        assert started.server.database == "postgresql"
        found = World(started.server.url, owner_key(folder), f"{server}/{name}")
        yield found
        found.close()
    finally:
        process.down(folder)
        del os.environ[process.DATABASE_VARIABLE]


def _phrase(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(3, 8)))


def _row(rng: random.Random, number: int, people: list[str], questions: dict[str, str]) -> Row:
    metadata: dict[str, Any] = {}
    if rng.random() < 0.9:
        topics = ["code", "math", "chat", "数学"]
        metadata["topic"] = rng.choice(topics) if rng.random() < 0.7 else rng.sample(topics, 2)
    if rng.random() < 0.9:
        metadata["size"] = rng.randint(-50, 50)
    if rng.random() < 0.9:
        metadata["margin"] = round(rng.random(), 3)
    suggestions = []
    if rng.random() < 0.8:
        score = rng.choice([None, round(rng.random(), 3)])
        agent = rng.choice([None, "gpt", "own judge"])
        suggestions.append((questions["choice"], rng.choice(["A", "B", "tie"]), score, agent))
    if rng.random() < 0.5:
        suggestions.append((questions["stars"], rng.randint(1, 5), None, "own judge"))
    responses = []
    for person in people:
        if rng.random() < 0.5:
            status = rng.choice(["submitted", "discarded", "draft"])
            values: dict[str, Any] | None = {"choice": {"value": rng.choice(["A", "B", "tie"])}}
            if rng.random() < 0.6:
                values = {**(values or {}), "stars": {"value": rng.randint(1, 5)}}
            if status == "discarded" and rng.random() < 0.5:
                values = None
            responses.append((person, status, values))
    fields: dict[str, Any] = {"a": _phrase(rng)}
    if rng.random() < 0.7:
        fields["talk"] = [
            {"role": rng.choice(["user", "assistant"]), "content": _phrase(rng)} for _ in range(2)
        ]
    if rng.random() < 0.5:
        fields["pair"] = {"left": _phrase(rng), "right": {"deep": [_phrase(rng), 7]}}
    return Row(
        uuid.UUID(int=rng.getrandbits(128), version=4),
        fields,
        metadata or None,
        rng.choice(["pending", "pending", "completed"]),
        f"p-{number}" if rng.random() < 0.9 else None,
        number,
        tuple(responses),
        tuple(suggestions),
    )


@pytest.fixture(scope="module")
def library(world: World) -> Library:
    dataset = world.dataset(wanted=9, fields=FIELDS, metadata=METADATA)
    people = world.annotators(2)
    owner = world.owner()
    listed = owner.get(f"/datasets/{dataset}/questions")["items"]
    questions = {row["name"]: row["id"] for row in listed}
    rng = random.Random(5)
    ids = [person for person, _ in people]
    rows = [_row(rng, number, ids, questions) for number in range(N_RECORDS)]
    fill(world.database, dataset, rows)
    words = {row.id: _words(row) for row in rows}
    return Library(world, dataset, rows, people, owner, questions, words)


# --- the model: what a query means, without SQL

Test = Callable[[Row], bool]


def _many(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _texts(row: Row, field: str) -> list[str]:
    value = row.fields.get(field)
    if field == "talk":
        return [message["content"] for message in value or []]
    if field == "pair":
        return [value["left"], value["right"]["deep"][0]] if value else []
    return [value] if value else []


def _words(row: Row) -> dict[str | None, list[str]]:
    """The texts of each field in lower case, and under None those of all."""
    found: dict[str | None, list[str]] = {
        name: [text.lower() for text in _texts(row, name)] for name, _ in FIELDS
    }
    return {**found, None: [text for texts in found.values() for text in texts]}


def _suggested(row: Row, question_id: str, part: str) -> list[Any]:
    place = {"value": 1, "score": 2, "agent": 3}[part]
    return [
        said[place]
        for said in row.suggestions
        if said[0] == question_id and said[place] is not None
    ]


class Query:
    """A random query: what is sent, and what it means."""

    def __init__(self, rng: random.Random, library: Library, person: str | None) -> None:
        self.rng, self.library, self.person = rng, library, person
        self.tests: list[Test] = []
        self.body: dict[str, Any] = {}
        self.keys: list[tuple[Callable[[Row], Any], bool]] = []
        if rng.random() < 0.4:
            self._add_text()
        n_filters = rng.choice([0, 1, 1, 2, 3])
        makers = [self._metadata, self._record, self._status]
        makers += (
            [self._suggestion, self._suggestion] if person is None else [self._answer, self._status]
        )
        filters = [rng.choice(makers)() for _ in range(n_filters)]
        if filters:
            self.body["filters"] = {"and": filters}
        if rng.random() < 0.5:
            self.body["sort"] = [self._sort() for _ in range(rng.randint(1, 2))]

    def _add_text(self) -> None:
        field = self.rng.choice([None, "a", "talk", "pair"])
        words = []
        for _ in range(self.rng.randint(1, 3)):
            parts = [self.rng.choice(["alpha", "bet", "GAMM", "CAFÉ", "été", "ïv", "数据", "据", "it's", "50%", "under_", "ck\\sl", "xyz"]) for _ in range(self.rng.choice([1, 1, 2]))]  # fmt: skip  # noqa: E501
            negated = self.rng.random() < 0.2
            if self.rng.random() < 0.2:
                parts = [" ".join(parts)]
                words.append(("-" if negated else "") + f'"{parts[0]}"')
            else:
                words.append(("-" if negated else "") + "|".join(parts))
            self.tests.append(self._contains(field, parts, negated))
        self.body["query"] = {"text": {"q": " ".join(words), **({"field": field} if field else {})}}

    def _contains(self, field: str | None, parts: list[str], negated: bool) -> Test:
        wanted = [part.lower() for part in parts]

        def test(row: Row) -> bool:
            texts = self.library.words[row.id][field]
            return any(part in text for part in wanted for text in texts) != negated

        return test

    def _metadata(self) -> dict[str, Any]:
        name = self.rng.choice(["topic", "size", "margin"])
        scope = {"entity": "metadata", "metadata_property": name}
        if name == "topic":
            values = self.rng.sample(["code", "math", "数学", "none"], self.rng.randint(1, 2))
            self.tests.append(
                lambda row: bool(set(_many((row.metadata or {}).get(name))) & set(values))
            )
            return {"type": "terms", "scope": scope, "values": values}
        bounds = (-50, 50) if name == "size" else (0.0, 1.0)
        return self._range(scope, lambda row: _many((row.metadata or {}).get(name)), bounds)

    def _range(
        self, scope: Any, read: Callable[[Row], list[Any]], ends: tuple[float, float]
    ) -> dict[str, Any]:
        low, high = sorted(round(self.rng.uniform(*ends), 2) for _ in range(2))
        asked: dict[str, Any] = {"ge": low, "le": high}
        if self.rng.random() < 0.3:
            del asked[self.rng.choice(["ge", "le"])]
        self.tests.append(
            lambda row: any(
                asked.get("ge", ends[0]) <= x <= asked.get("le", ends[1]) for x in read(row)
            )
        )
        return {"type": "range", "scope": scope, **asked}

    def _record(self) -> dict[str, Any]:
        name = self.rng.choice(["status", "id", "external_id", "inserted_at"])
        scope = {"entity": "record", "property": name}
        if name == "inserted_at":
            low, high = sorted(self.rng.sample(range(N_RECORDS), 2))
            self.tests.append(lambda row: low <= row.number <= high)
            ends = [(EPOCH + timedelta(seconds=n)).isoformat() for n in (low, high)]
            return {"type": "range", "scope": scope, "ge": ends[0], "le": ends[1]}
        if name == "status":
            values = [self.rng.choice(["pending", "completed"])]
        else:
            some = self.rng.sample(self.library.rows, 40)
            values = [str(getattr(row, name)) for row in some] + ["no-such"]
        self.tests.append(
            lambda row: str(getattr(row, name)) in values and getattr(row, name) is not None
        )
        return {"type": "terms", "scope": scope, "values": values}

    def _answers(self, row: Row) -> list[tuple[str, str, dict[str, Any] | None]]:
        return [said for said in row.responses if self.person in (None, said[0])]

    def _status(self) -> dict[str, Any]:
        values = self.rng.sample(
            ["pending", "submitted", "discarded", "draft"], self.rng.randint(1, 2)
        )

        def test(row: Row) -> bool:
            said = {status for _, status, _ in self._answers(row)}
            return bool(said & set(values)) or ("pending" in values and not said)

        self.tests.append(test)
        return {
            "type": "terms",
            "scope": {"entity": "response", "property": "status"},
            "values": values,
        }

    def _said(self, row: Row, question: str) -> list[Any]:
        values = [values or {} for _, _, values in self._answers(row)]
        return [found[question]["value"] for found in values if question in found]

    def _answer(self) -> dict[str, Any]:
        if self.rng.random() < 0.5:
            scope = {"entity": "response", "question": "stars"}
            return self._range(scope, lambda row: self._said(row, "stars"), (1, 5))
        values = self.rng.sample(["A", "B", "tie"], 2)
        self.tests.append(lambda row: bool(set(self._said(row, "choice")) & set(values)))
        return {
            "type": "terms",
            "scope": {"entity": "response", "question": "choice"},
            "values": values,
        }

    def _suggestion(self) -> dict[str, Any]:
        part = self.rng.choice(["value", "score", "agent", "stars"])
        question = "stars" if part == "stars" else "choice"
        question_id = self.library.questions[question]
        scope = {
            "entity": "suggestion",
            "question": question,
            "property": "value" if part == "stars" else part,
        }
        if part == "score":
            return self._range(scope, lambda row: _suggested(row, question_id, "score"), (0.0, 1.0))
        place = "agent" if part == "agent" else "value"
        pool = {"value": ["A", "B", "x"], "agent": ["gpt", "own judge"], "stars": ["1", "4", "5"]}[
            part
        ]
        values = self.rng.sample(pool, self.rng.randint(1, 2))
        self.tests.append(
            lambda row: any(str(x) in values for x in _suggested(row, question_id, place))
        )
        return {"type": "terms", "scope": scope, "values": values}

    def _sort(self) -> dict[str, Any]:
        last = self.rng.random() < 0.5
        kinds = ["topic", "size", "margin", "inserted_at", "external_id", "status", "id"]
        kinds += ["value", "score", "agent", "rated"] if self.person is None else ["stars"]
        kind = self.rng.choice(kinds)
        pick = max if last else min
        choice, stars = (self.library.questions[name] for name in ("choice", "stars"))
        scope: dict[str, Any]
        values: Callable[[Row], list[Any]]
        if kind in ("topic", "size", "margin"):
            scope = {"entity": "metadata", "metadata_property": kind}
            values = lambda row: _many((row.metadata or {}).get(kind))  # noqa: E731
        elif kind in ("value", "score", "agent", "rated"):
            part = "value" if kind == "rated" else kind
            question = "stars" if kind == "rated" else "choice"
            scope = {"entity": "suggestion", "question": question, "property": part}
            question_id = stars if kind == "rated" else choice
            values = lambda row: _suggested(row, question_id, part)  # noqa: E731
        elif kind == "stars":
            scope = {"entity": "response", "question": "stars"}
            values = lambda row: self._said(row, "stars")  # noqa: E731
        else:
            scope = {"entity": "record", "property": kind}
            name = {"inserted_at": "number"}.get(kind, kind)
            values = lambda row: _many(getattr(row, name))  # noqa: E731
        self.keys.append((lambda row: pick(values(row), default=None), last))
        return {"scope": scope, "order": "desc" if last else "asc"}

    def expected(self) -> list[str]:
        """The ids of the records that pass, in order."""
        found = self.library.rows
        for test in self.tests:
            found = [row for row in found if test(row)]
        if not self.keys and self.person is not None:
            order = _digits(self.person)
            found = sorted(found, key=lambda row: (order.index(row.id.hex[0]), row.id.int))
        else:
            found = sorted(found, key=lambda row: row.number)
        for read, last in reversed(self.keys):
            read_all = [(read(row), row) for row in found]
            known = [both for both in read_all if both[0] is not None]
            known.sort(key=itemgetter(0), reverse=last)  # equals keep their order either way
            found = [row for _, row in known] + [row for value, row in read_all if value is None]
        return [str(row.id) for row in found]


@cache
def _digits(person: str) -> str:
    """The first digits of record ids in this person's order."""

    def key(digit: str) -> bytes:
        return hashlib.blake2b(f"{person}{digit}".encode()).digest()

    return "".join(sorted("0123456789abcdef", key=key))


def _ask_engine(
    world: World, questions: list[dict[str, Any]], folder: Path
) -> list[dict[str, Any]]:
    """The engine's answers, by Argilla's own reading of each question; no server between."""
    url = world.database.replace("sqlite:///", "sqlite+aiosqlite:///")
    variables = process._environment(folder) | {
        process.DATABASE_VARIABLE: url.replace("+psycopg", "")
    }
    done = subprocess.run(
        [str(environment.installed()), ASKER],
        input="".join(json.dumps(question) + "\n" for question in questions),
        capture_output=True,
        text=True,
        env=variables,
        cwd=folder,  # what the server's code writes for itself stays out of the checkout
        check=False,
        timeout=1800,  # a hang, not a busy machine
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_search_equals_its_model(library: Library, tmp_path: Path) -> None:
    rng = random.Random(11)
    queries, questions = [], []
    for _ in range(N_QUERIES):
        who = rng.choice([None, *library.people])
        person, caller = (None, library.owner) if who is None else who
        query = Query(rng, library, person)
        page = {"offset": rng.choice([0, 0, 7, 40]), "limit": rng.choice([1, 6])}
        questions.append({"dataset": library.dataset, "user": person, "body": query.body, **page})
        queries.append((query, caller, query.expected()))
    answers = _ask_engine(library.world, questions, tmp_path)
    for (query, _, expected), asked, answer in zip(queries, questions, answers, strict=True):
        first, limit = asked["offset"], asked["limit"]
        assert answer["total"] == len(expected), query.body
        assert answer["ids"] == expected[first : first + limit], query.body
    # The comparison is not of nothing.
    assert sum(bool(expected) for _, _, expected in queries) > 0.6 * N_QUERIES
    # The server says the same, by HTTP and as these people.
    for (query, caller, _), asked, answer in list(zip(queries, questions, answers, strict=True))[
        :N_OVER_HTTP
    ]:
        place = f"{'' if asked['user'] is None else '/me'}/datasets/{library.dataset}"
        page = f"offset={asked['offset']}&limit={asked['limit']}"
        found = caller.post(f"{place}/records/search?{page}", query.body)
        ids = [item["record"]["id"] for item in found["items"]]
        assert {"ids": ids, "total": found["total"]} == answer, query.body


def _pending(entity: str) -> dict[str, Any]:
    scope = {"entity": entity, "property": "status"}
    return {"type": "terms", "scope": scope, "values": ["pending"]}


def test_the_queue_is_random_stable_and_ones_own(library: Library) -> None:
    body = {"filters": {"and": [_pending("response"), _pending("record")]}}
    seen = []
    for person, caller in library.people:
        path = f"/me/datasets/{library.dataset}/records/search?limit=50"
        pages = [caller.post(f"{path}&offset={offset}", body) for offset in (0, 50, 0)]
        ids = [[item["record"]["id"] for item in page["items"]] for page in pages]
        assert ids[0] == ids[2]
        mine = [
            row for row in library.rows
            if row.status == "pending" and person not in [said[0] for said in row.responses]
        ]  # fmt: skip
        mine.sort(key=lambda row: (_digits(person).index(row.id.hex[0]), row.id.int))
        assert ids[0] + ids[1] == [str(row.id) for row in mine[:100]]
        assert pages[0]["total"] == len(mine)
        seen.append(ids[0])
    assert seen[0] != seen[1]
    numbers = {str(row.id): row.number for row in library.rows}
    order = [numbers[record] for record in seen[0]]
    assert order != sorted(order)


def test_metrics_of_metadata(library: Library) -> None:
    every = library.owner.get(f"/me/datasets/{library.dataset}/metadata-properties")["items"]
    path = {row["name"]: f"/metadata-properties/{row['id']}/metrics" for row in every}
    topics = [topic for row in library.rows for topic in _many((row.metadata or {}).get("topic"))]
    found = library.owner.get(path["topic"])
    assert found["total"] == len(topics)
    assert {row["term"]: row["count"] for row in found["values"]} == {
        topic: topics.count(topic) for topic in set(topics)
    }
    for name in ("size", "margin"):
        numbers = [row.metadata[name] for row in library.rows if name in (row.metadata or {})]
        ends = library.owner.get(path[name])
        assert (ends["min"], ends["max"]) == (min(numbers), max(numbers))


def test_progress_counts_records_and_own_answers(library: Library) -> None:
    statuses = [row.status for row in library.rows]
    found = library.owner.get(f"/datasets/{library.dataset}/progress")
    assert (found["total"], found["completed"], found["pending"]) == (
        N_RECORDS, statuses.count("completed"), statuses.count("pending"),
    )  # fmt: skip
    person, caller = library.people[0]
    said = [status for row in library.rows for who, status, _ in row.responses if who == person]
    mine = caller.get(f"/me/datasets/{library.dataset}/metrics")["responses"]
    assert mine["submitted"] == said.count("submitted")
    assert mine["discarded"] == said.count("discarded")


def test_similarity_finds_the_nearest(world: World) -> None:
    dataset = world.dataset()
    owner = world.owner()
    owner.post(
        f"/datasets/{dataset}/vectors-settings", {"name": "v", "title": "v", "dimensions": 3}
    )
    vectors = [[1.0, 0.0, 0.0], [0.9, 0.1, 0.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]
    items = [{"fields": {"a": str(n)}, "vectors": {"v": v}} for n, v in enumerate(vectors)]
    made = owner.post(f"/datasets/{dataset}/records/bulk", {"items": items})["items"]
    ids = [row["id"] for row in made]
    path = f"/datasets/{dataset}/records/search?limit=2"

    def found(**query: Any) -> list[str]:
        page = owner.post(path, {"query": {"vector": {"name": "v", **query}}})
        return [item["record"]["id"] for item in page["items"]]

    assert found(value=[2.0, 0.0, 0.0]) == [ids[0], ids[1]]
    assert found(record_id=ids[0]) == [ids[1], ids[2]]
    assert found(record_id=ids[0], order="least_similar") == [ids[3], ids[2]]
