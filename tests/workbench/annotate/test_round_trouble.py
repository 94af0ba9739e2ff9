"""A server that is gone, slow, busy or no Argilla: one line, nothing lost, the command goes on."""

import gc
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from argilla_rounds import Desk, draw, make_project, pair_ids, votes
from argilla_world import World
from rude_proxy import Manner, RudeProxy, rude_proxy

from pipelines.errors import BadInput, ServiceFailed
from workbench.annotate import client
from workbench.annotate import push as push_module
from workbench.annotate.client import KEY_VARIABLE, URL_VARIABLE, Connection, find_address
from workbench.annotate.pull import pull, watch
from workbench.annotate.push import push
from workbench.annotate.server import process
from workbench.annotate.server.account import owner_key
from workbench.project import Project


@pytest.fixture
def proxy(argilla: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[RudeProxy]:
    with rude_proxy(argilla.url) as found:
        monkeypatch.setenv(URL_VARIABLE, found.url)
        monkeypatch.setenv(KEY_VARIABLE, argilla.key)
        monkeypatch.setattr(Connection.__init__, "__defaults__", ((0.01, 0.01),))
        yield found


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = make_project(tmp_path / "project", f"sqlite:///{tmp_path / 'w.db'}")
    yield made
    made.engine.dispose()


@pytest.fixture(autouse=True)
def _hung_up() -> Iterator[None]:
    """A client whose log-in failed was never ours to close; collect it here, quietly."""
    yield
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=ResourceWarning)
        gc.collect()


def fresh() -> str:
    return f"trouble-{time.time_ns()}"


@pytest.mark.parametrize("manner", [429, 500, 503, "drop"])
def test_a_short_trouble_is_waited_for(
    proxy: RudeProxy, project: Project, argilla: World, manner: Manner
) -> None:
    name = fresh()
    design = draw(project, n=3, name=name)
    proxy.rude(manner, times=2, path="/records/bulk")
    assert push(project).datasets[0].n_new == 3
    desk = Desk(argilla, design, [name])
    assert len(desk.records) == 3
    desk.answer(argilla.annotators(1)[0][1], pair_ids(project, name)[0], "A")
    proxy.rude(manner, times=2, path="/records")
    assert pull(project).counts["n_counted"] == 1


@pytest.mark.parametrize(
    ("manner", "error", "says"),
    [
        (401, BadInput, "the key is not accepted; set ARGILLA_API_KEY anew"),
        (403, BadInput, "may not; use the key of an owner"),
        (404, BadInput, "it is not there"),
        ("html", BadInput, "what answers there is no Argilla 2 server"),
        (429, ServiceFailed, "asked too often; what was done is kept"),
        (502, ServiceFailed, "run the same command again when it is back"),
        ("drop", ServiceFailed, "the server cannot be reached"),
    ],
)
def test_a_lasting_trouble_is_one_line(
    proxy: RudeProxy, project: Project, manner: Manner, error: type[Exception], says: str
) -> None:
    draw(project, n=3, name=fresh())
    proxy.rude(manner, times=99)
    with pytest.raises(error, match=says) as raised:
        push(project)
    assert "\n" not in str(raised.value)
    assert proxy.url in str(raised.value)


def test_a_slow_server_is_given_up(
    proxy: RudeProxy, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(project, n=3, name=fresh())
    monkeypatch.setattr(client, "TIMEOUT_S", 0.2)
    proxy.hang_s = 0.6
    proxy.rude("hang", times=99)
    with pytest.raises(ServiceFailed, match=r"no answer within 0\.2 s"):
        push(project)


def test_a_push_that_broke_off_goes_on(
    proxy: RudeProxy, project: Project, argilla: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = fresh()
    design = draw(project, n=12, name=name)
    monkeypatch.setattr(push_module, "PAGE", 5)
    n_bulk = 0

    def third_fails(method: str, path: str) -> Manner | None:
        nonlocal n_bulk
        n_bulk += "/records/bulk" in path
        return 500 if n_bulk >= 3 else None

    proxy.manner = third_fails
    with pytest.raises(ServiceFailed):
        push(project)
    proxy.rude(500, times=0)
    assert [(one.n_new, one.n_there) for one in push(project).datasets] == [(2, 10)]
    assert len(Desk(argilla, design, [name]).records) == 12


def test_a_dataset_that_was_only_half_made_is_made_anew(
    proxy: RudeProxy, project: Project, argilla: World
) -> None:
    name = fresh()
    design = draw(project, n=3, name=name)
    # The interface breaks when the last step is due, and stays broken for the tidying up.
    broken = False

    def breaks(method: str, path: str) -> Manner | None:
        nonlocal broken
        broken = broken or path.endswith("/publish")
        return 500 if broken else None

    proxy.manner = breaks
    with pytest.raises(ServiceFailed):
        push(project)
    names = [one["name"] for one in argilla.owner().get("/me/datasets")["items"]]
    assert names.count(name) == 1
    proxy.rude(500, times=0)
    assert push(project).datasets[0].n_new == 3
    assert len(Desk(argilla, design, [name]).records) == 3


def test_an_annotators_key_is_refused(
    project: Project, argilla: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(project, n=3, name=fresh())
    key = argilla.annotators(1)[0][1].get("/me")["api_key"]
    monkeypatch.setenv(URL_VARIABLE, argilla.url)
    monkeypatch.setenv(KEY_VARIABLE, key)
    with pytest.raises(BadInput, match="an annotator; use that of an owner or admin"):
        push(project)


def test_which_server_is_meant(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    with pytest.raises(BadInput, match="workbench argilla up"):
        find_address(project.dir)
    with pytest.raises(BadInput, match="needs an API key; set ARGILLA_API_KEY"):
        find_address(project.dir, "https://argilla.example")
    monkeypatch.setenv(KEY_VARIABLE, "k")
    with pytest.raises(BadInput, match="no address of a server"):
        find_address(project.dir, "argilla.example")
    found = find_address(project.dir, "https://argilla.example/")
    assert (found.url, found.own) == ("https://argilla.example", None)


def test_watching_outlives_a_killed_server(
    argilla_environment: Path, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    monkeypatch.setattr(Connection.__init__, "__defaults__", ((0.01,),))
    design = draw(project, n=2)
    server = process.up(project.dir, port=0).server
    try:
        world = World(server.url, owner_key(project.dir), "")
        push(project)
        desk, (_, ana) = Desk(world, design, ["round-1"]), world.annotators(1)[0]
        first, second = pair_ids(project)
        trouble: list[str] = []

        def meanwhile(_: float) -> None:
            if not trouble and len(votes(project)) == 0:
                desk.answer(ana, first, "A")
                desk.answer(ana, second, "A")
                os.kill(server.pid, 9)
                process._gone(process.folder_of(project.dir), 10)
            else:
                port = int(server.url.rsplit(":", 1)[1])
                process.up(project.dir, port=port)

        monkeypatch.setenv(URL_VARIABLE, server.url)
        monkeypatch.setenv(KEY_VARIABLE, world.key)
        looks = watch(
            project, None, url=None, every_s=1.0, on_trouble=trouble.append, sleep=meanwhile
        )
        # What was acknowledged before the kill is there after it.
        assert [look.answered for look in looks] == [0, 2]
        assert len(trouble) == 1
        assert "cannot be reached" in trouble[0]
        world.close()
    finally:
        process.down(project.dir)


def test_the_commands_say_one_line_and_their_exit_codes(project: Project) -> None:
    draw(project, n=2)
    workbench = [sys.executable, "-m", "workbench.cli", "argilla"]
    bare = {name: value for name, value in os.environ.items() if not name.startswith("ARGILLA_")}

    def run(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*workbench, *arguments, "--project", str(project.dir)],
            capture_output=True,
            text=True,
            env={**bare, **more},
            timeout=120,
            check=False,
        )

    done = run("pull")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "workbench: round 'round-1' was not pushed to Argilla; `workbench argilla push` first\n"
    )
    done = run("push")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    done = run("import", "x", "--label", "left")
    assert done.returncode == 2
    assert "write OPTION=A" in done.stderr
