"""The server's life: started, killed, started again, stopped; and what its user is told."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from argilla_world import Row, World, fill, sqlite_url

from pipelines.errors import BadInput, ServiceFailed
from workbench.annotate.server import environment, process
from workbench.annotate.server.account import owner_key
from workbench.project import Project

WORKBENCH = [sys.executable, "-m", "workbench.cli"]


def run(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*WORKBENCH, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
        check=False,
        timeout=300,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    Project.create(folder)
    return folder


def test_up_kill_up_down(argilla_environment: Path, project: Path) -> None:
    first = run("argilla", "up", "--project", str(project), "--port", "0")
    assert first.returncode == 0, first.stderr
    url = re.search(r"http://127\.0\.0\.1:\d+", first.stdout)
    password = re.search(r"password (\S+)", first.stdout)
    assert url
    assert password
    server = process.running(project)
    assert server is not None
    try:
        world = World(server.url, owner_key(project), sqlite_url(project))
        session = world.log_in("owner", password.group(1))  # what was printed opens the door
        assert [row["name"] for row in session.get("/me/workspaces")["items"]] == ["workbench"]
        dataset = world.dataset()
        record = uuid.uuid4()
        fill(world.database, dataset, [Row(record, {"a": "x"})])
        answer = {"status": "submitted", "values": {"choice": {"value": "B"}}}
        session.post(f"/records/{record}/responses", answer)

        again = run("argilla", "up", "--project", str(project), "--port", "0")
        assert "it ran already" in again.stdout

        os.kill(server.pid, signal.SIGKILL)
        os.waitpid(server.pid, 0) if _is_child(server.pid) else None
        assert process._gone(process.folder_of(project), 10)
        status = run("argilla", "status", "--project", str(project), "--json")
        assert json.loads(status.stdout) == {"installed": True, "server": None}

        port = server.url.rsplit(":", 1)[1]
        second = run("argilla", "up", "--project", str(project), "--port", port)
        assert second.returncode == 0, second.stderr
        assert "password" not in second.stdout  # shown once
        world.close()
        # The session of before the kill still holds, and so does the answer.
        stored = session.get(f"/records/{record}")["responses"]
        assert [row["values"] for row in stored] == [{"choice": {"value": "B"}}]
        world.close()

        stopped = run("argilla", "down", "--project", str(project))
        assert stopped.stdout.startswith("Stopped")
        assert process.running(project) is None
        assert run("argilla", "down", "--project", str(project)).returncode == 0
    finally:
        process.down(project)


def _is_child(pid: int) -> bool:
    return Path(f"/proc/{pid}/status").exists() and f"PPid:\t{os.getpid()}\n" in Path(
        f"/proc/{pid}/status"
    ).read_text(encoding="utf-8")


def test_only_its_user_may_read_the_data(argilla: World) -> None:
    database = Path(argilla.database.removeprefix("sqlite:///"))
    assert database.parent.stat().st_mode & 0o077 == 0
    assert database.stat().st_mode & 0o077 == 0


def test_a_taken_port_is_one_line(project: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("argilla", "up", "--project", str(project), "--port", str(port))
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert len(done.stderr.strip().splitlines()[-1:]) == 1
    assert "Traceback" not in done.stderr


def test_an_unusable_database_is_one_line(argilla_environment: Path, project: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:1/none"
    done = run("argilla", "up", "--project", str(project), "--port", "0", ARGILLA_DATABASE_URL=url)
    assert done.returncode == 3
    assert "cannot use its database" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_network_the_first_install_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.setenv("PIP_RETRIES", "0")
    seen: list[tuple[int, int]] = []
    with pytest.raises(ServiceFailed, match="index cannot be reached") as failed:
        environment.ensure(lambda n_done, n_all: seen.append((n_done, n_all)))
    assert "\n" not in str(failed.value)
    assert environment.installed() is None
    assert seen[0] == (0, len(environment.requirements()))
    # What was half made is no environment, and the next try starts anew.
    assert environment.place().with_suffix(".part").is_dir()


def test_a_half_made_environment_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    empty = tmp_path / "requirements.txt"
    empty.write_text("# nothing\n", encoding="utf-8")
    monkeypatch.setattr(environment, "REQUIREMENTS", empty)
    part = environment.place().with_suffix(".part")
    part.mkdir(parents=True)
    (part / "rubbish").write_text("cut off", encoding="utf-8")
    python = environment.ensure(lambda n_done, n_all: None)
    assert python.exists()
    assert not part.exists()
    assert not (environment.place() / "rubbish").exists()


def test_an_unwritable_cache_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    with pytest.raises(BadInput, match="XDG_CACHE_HOME"):
        environment.ensure(lambda n_done, n_all: None)


def test_an_unwritable_project_is_one_line(argilla_environment: Path, tmp_path: Path) -> None:
    (tmp_path / "argilla").write_text("a file in the way", encoding="utf-8")
    with pytest.raises(BadInput, match="cannot be written"):
        process.up(tmp_path, port=0)


def test_the_lock_file_pins_everything() -> None:
    for line in environment.requirements():
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.]+", line), line
    assert "click==8.1.8" in environment.requirements()  # its command line breaks with newer


def test_the_servers_newest_schema_is_the_last_that_it_tagged(argilla_environment: Path) -> None:
    """A start compares with that one, and loads nothing that could change the schema."""
    [package] = argilla_environment.parents[1].glob("lib/python*/site-packages/argilla_server")
    files = [file.read_text() for file in (package / "alembic" / "versions").glob("*.py")]
    made, below = (
        {found for text in files for found in re.findall(rf'^{name} = "(\w+)"', text, re.MULTILINE)}
        for name in ("revision", "down_revision")
    )
    tagged = re.findall(r'"[\d.]+": "(\w+)"', (package / "database.py").read_text())
    assert len(made) > 20
    assert made - below == {tagged[-1]}
