"""The real server as a process of its own, spoken to over HTTP and its websocket."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
import review_lab as lab
from sqlalchemy import select
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from workbench.audit.people import enter, make_link, revoke
from workbench.audit.queue import mint_token
from workbench.db.models import Round
from workbench.db.session import writing
from workbench.project import Project

SERVE = [sys.executable, "-c", "from workbench.cli.main import main; main()", "serve"]
SECRETS = ["judge-one", "pair-00", "ai_label", "p_a", "model_a", "inclusion", "stratum", "slice"]


class Server:
    """`workbench serve` on a port of its own choice."""

    def __init__(self, project: Path, *options: str) -> None:
        self.project, self.options = project, options
        self.process = self._start("0")
        self.url = self._url()

    def _start(self, port: str) -> subprocess.Popen[str]:
        command = [*SERVE, "--project", str(self.project), "--port", port, "--no-open"]
        return subprocess.Popen(
            [*command, *self.options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def _url(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://\S+:(\d+)", line)
        assert found, line
        self.port = found.group(1)
        return f"http://127.0.0.1:{self.port}"

    def kill_and_restart(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()
        self.process = self._start(self.port)
        self._url()

    def stop(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors

    def post(self, body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(
            f"{self.url}/api/review/sync", body, {"content-type": "application/json", **headers}
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def sync(self, token: str, **message: Any) -> dict[str, Any]:
        body = {"token": token, "ops": [], "want": 12, "have": [], "active": True} | message
        status, answer = self.post(json.dumps(body).encode())
        assert status == 200, answer
        return answer


def token_of(folder: Path, name: str) -> str:
    project = Project.open(folder)
    with writing(project.engine) as session:
        round_id = session.scalars(select(Round.id)).one()
        token = mint_token(session, round_id, enter(session, name).id)
    project.engine.dispose()
    return token


def vote(lease: str, label: str = "left") -> dict[str, Any]:
    return {"kind": "vote", "id": str(uuid.uuid4()), "lease": lease, "label": label, "seconds": 3.0}


def stored(folder: Path) -> dict[str, tuple[str, int]]:
    with closing(sqlite3.connect(folder / "workbench.db")) as database:
        rows = database.execute("SELECT id, lease_id, counts FROM vote WHERE undone_at IS NULL")
        return {op_id: (lease, counts) for op_id, lease, counts in rows}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lab.make_project(tmp_path_factory.mktemp("served") / "project", lab.plain_pairs(600))


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    yield server
    code, errors = server.stop()
    assert (code, errors) == (0, ""), errors


def test_a_pair_is_sent_and_nothing_that_tells_who_judged_or_wrote_it(
    server: Server, folder: Path
) -> None:
    answer = server.sync(token_of(folder, "blind"), history=True)
    assert set(answer) == {"acks", "items", "drop", "progress", "round", "want", "history"}
    assert len(answer["items"]) == 12
    for item in answer["items"]:
        assert set(item) == {"id", "prompt_html", "left_html", "right_html"}
    sent = json.dumps(answer)
    assert [secret for secret in SECRETS if secret in sent] == []
    assert answer["progress"] == {"mine": 0, "everyone": 0, "asked": 600}
    assert answer["round"] == {"closed": False}
    assert answer["history"] == []


def test_a_vote_is_acknowledged_and_stands_in_the_history(server: Server, folder: Path) -> None:
    token = token_of(folder, "ana")
    first = server.sync(token)["items"][0]
    details = {"tags": {"left": ["made up"], "right": []}, "criteria": {}}
    op = vote(first["id"], "both_bad") | {"comment": "Neither.", "details": details}
    answer = server.sync(token, ops=[op], history=True)
    assert answer["acks"] == [[op["id"], "stored"]]
    assert answer["progress"]["mine"] == 1
    past = answer["history"][0]
    assert (past["id"], past["kind"], past["label"]) == (op["id"], "vote", "both_bad")
    assert past["item"] == first
    assert (past["comment"], past["details"]) == ("Neither.", details)
    undo = {"kind": "undo", "id": str(uuid.uuid4()), "target": op["id"]}
    answer = server.sync(token, ops=[undo], have=[first["id"]])
    assert (answer["progress"]["mine"], answer["drop"]) == (0, [])


@pytest.mark.parametrize(
    ("body", "headers", "status", "sentence"),
    [
        (b'{"token": "forged"}', {}, 401, "reload"),
        (b"not json", {}, 400, "not JSON"),
        (b"[" * 100_000, {}, 400, "not JSON"),
        (b'{"ops": []}', {}, 400, "token"),
        (b'{"token": "x", "want": "many"}', {}, 400, "want"),
        (b'{"token": "%s"}' % (b"x" * (5 * 2**20)), {}, 413, "larger than 4 MB"),
        (b'{"token": "x"}', {"Origin": "http://evil.example"}, 403, "another site"),
        (b'{"token": "x"}', {"Origin": "null"}, 403, "another site"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_a_sentence(
    server: Server, body: bytes, headers: dict[str, str], status: int, sentence: str
) -> None:
    found, answer = server.post(body, **headers)
    assert found == status
    assert sentence in answer["error"]
    assert answer["error"].endswith(".")


def get(url: str, **headers: str) -> tuple[int, dict[str, str], str]:
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    opener = urllib.request.build_opener(Stay)
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=20) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read().decode()


def test_a_name_that_was_made_to_point_here_is_refused(server: Server) -> None:
    status, _, text = get(server.url, Host="evil.example")
    assert status == 403
    assert "127.0.0.1" in text
    assert get(server.url, Host=f"localhost:{server.port}")[0] == 200


def test_every_answer_carries_the_security_headers(server: Server) -> None:
    for path in ("/", "/api/review/sync", "/_stcore/health", "/nowhere"):
        _, headers, _ = get(server.url + path)
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "http" not in policy.replace("https", "http")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def frames(url: str, **headers: str) -> list[bytes]:
    """What a browser is told after its first connection and first run of the script."""
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

    start = BackMsg()
    start.rerun_script.query_string = ""
    found = []
    with connect(
        url.replace("http", "ws") + "/_stcore/stream",
        subprotocols=["streamlit"],  # type: ignore[list-item]  # a NewType of str
        max_size=None,
        additional_headers=headers,
    ) as stream:
        stream.send(start.SerializeToString())
        while True:
            frame = stream.recv(timeout=20)
            assert isinstance(frame, bytes)
            found.append(frame)
            if ForwardMsg.FromString(frame).WhichOneof("type") == "script_finished":
                return found


def test_no_frame_tells_a_path_of_this_machine(server: Server, folder: Path) -> None:
    told = b"".join(frames(server.url))
    assert b"Who are you?" in told
    assert str(folder.parent).encode() not in told
    assert str(Path(lab.__file__).parents[1]).encode() not in told


def test_a_foreign_page_cannot_open_the_websocket(server: Server) -> None:
    with pytest.raises(InvalidStatus):
        frames(server.url, Origin="http://evil.example")


def test_sigkill_in_mid_burst_loses_no_acknowledged_vote(tmp_path: Path) -> None:
    """Four people vote as fast as they can; the server is killed twice and started again."""
    folder = lab.make_project(tmp_path / "project", lab.plain_pairs(900))
    server = Server(folder)
    tokens = [token_of(folder, f"person {k}") for k in range(4)]
    pressed: list[dict[str, str]] = [{} for _ in tokens]  # vote id -> lease
    acked: list[dict[str, str]] = [{} for _ in tokens]
    problems: list[str] = []
    target = 110

    def person(k: int) -> None:
        queue: list[str] = []
        outbox: list[dict[str, Any]] = []
        deadline = time.monotonic() + 100
        while len(acked[k]) < target and time.monotonic() < deadline:
            if queue and len(pressed[k]) < target:
                op = vote(queue.pop(0), ["left", "right", "tie"][len(pressed[k]) % 3])
                pressed[k][op["id"]] = op["lease"]
                outbox.append(op)
            try:
                answer = server.sync(tokens[k], ops=outbox, have=queue)
            except (OSError, HTTPException, json.JSONDecodeError):  # also: cut off in a body
                time.sleep(0.05)  # the server is down: everything stays in the outbox
                continue
            statuses = dict(answer["acks"])
            acked[k] |= statuses
            outbox = [op for op in outbox if op["id"] not in statuses]
            queue = [lease for lease in queue if lease not in answer["drop"]]
            queue += [item["id"] for item in answer["items"]]
        if len(acked[k]) < target:
            problems.append(f"person {k} got {len(acked[k])} acknowledgements")

    people = [threading.Thread(target=person, args=(k,)) for k in range(4)]
    for thread in people:
        thread.start()
    for _ in range(2):
        before = len(stored(folder))
        while len(stored(folder)) < before + 60:
            time.sleep(0.01)
        known = [dict(each) for each in acked]
        server.kill_and_restart()
        there = stored(folder)
        assert all(op_id in there for each in known for op_id in each)
    for thread in people:
        thread.join()
    code, errors = server.stop()
    assert (code, errors, problems) == (0, "", [])
    there = stored(folder)
    expected = {op_id: lease for each in pressed for op_id, lease in each.items()}
    assert {op_id: lease for op_id, (lease, _) in there.items()} == expected
    assert len(there) == 4 * target
    assert {status for each in acked for status in each.values()} <= {"stored", "again"}


def test_colleagues_enter_by_their_link_and_only_while_it_stands(tmp_path: Path) -> None:
    folder = lab.make_project(tmp_path / "project", lab.plain_pairs(20))
    project = Project.open(folder)
    with writing(project.engine) as session:
        link = make_link(session, "eva", "annotator")
    server = Server(folder, "--public-url", "https://audit.example")
    token = token_of(folder, "eva")
    assert server.sync(token)["items"]
    public = {"Host": "audit.example", "X-Forwarded-Proto": "https"}
    status, headers, _ = get(f"{server.url}/?invite={link}", **public)
    assert (status, headers["location"]) == (303, "./")
    cookie = headers["set-cookie"]
    assert {"HttpOnly", "Secure", "SameSite=lax"} <= set(cookie.split("; "))
    assert get(f"{server.url}/?invite=guessed", **public)[0] == 403
    assert get(server.url, Host="elsewhere.example")[0] == 403
    known = b"".join(frames(server.url, Cookie=cookie.split(";")[0]))
    assert b"workbench_review" in known
    assert b"Agreement" not in known
    assert b"Open your personal link" in b"".join(frames(server.url))
    assert b"Open your personal link" in b"".join(frames(server.url, Cookie="workbench_name=eva"))
    with writing(project.engine) as session:
        revoke(session, "eva")
    assert server.post(json.dumps({"token": token}).encode())[0] == 401
    assert get(f"{server.url}/?invite={link}", **public)[0] == 403
    assert b"Open your personal link" in b"".join(frames(server.url, Cookie=cookie.split(";")[0]))
    assert server.stop() == (0, "Everybody needs a personal link: `workbench annotator add NAME`\n")


def test_leaving_forgets_who_sat_here(server: Server) -> None:
    status, headers, _ = get(f"{server.url}/leave")
    assert (status, headers["location"]) == (303, "./")
    assert "Max-Age=0" in headers["set-cookie"]


def test_who_types_the_review_pages_name_gets_it(server: Server) -> None:
    status, headers, _ = get(f"{server.url}/review")
    assert (status, headers["location"]) == (307, "./")


def test_a_stop_with_open_pages_is_quick_and_quiet(folder: Path) -> None:
    server = Server(folder)
    with connect(
        server.url.replace("http", "ws") + "/_stcore/stream",
        subprotocols=["streamlit"],  # type: ignore[list-item]  # a NewType of str
    ):
        start = time.monotonic()
        assert server.stop() == (0, "")
        assert time.monotonic() - start < 8


def refused(folder: Path, *options: str) -> tuple[int, str]:
    done = subprocess.run(
        [*SERVE, "--project", str(folder), *options], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_serve_says_in_one_line_why_it_cannot(folder: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, said = refused(folder, "--port", str(taken.getsockname()[1]))
    assert (code, said.count("\n")) == (2, 1)
    assert "--port 0" in said
    for options in (("--host", "0.0.0.0"), ("--public-url", "https://audit.example")):
        code, said = refused(folder, *options)
        assert (code, said.count("\n")) == (2, 1)
        assert "nobody was invited" in said
    code, said = refused(tmp_path)
    assert (code, said.count("\n")) == (2, 1)
    assert "workbench init" in said


def test_streamlit_runs_with_our_settings(folder: Path) -> None:
    """Read in the server's own way: under uvicorn only a file beside the script counts."""
    script = f"""
from pathlib import Path
from workbench.project import Project
from workbench.app.server import create_app
create_app(Project.open(Path({str(folder)!r})))
from streamlit import config
names = ["browser.gatherUsageStats", "client.toolbarMode", "client.showErrorDetails",
         "client.allowedOrigins", "server.fileWatcherType", "server.address",
         "server.runOnSave", "server.enableXsrfProtection", "server.enableAgentApi"]
print([config.get_option(name) for name in names])
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"STREAMLIT_BROWSER_GATHER_USAGE_STATS": "true"},
    )
    expected = [False, "viewer", "none", [], "none", "127.0.0.1", False, True, False]
    assert done.stdout.strip() == str(expected)
