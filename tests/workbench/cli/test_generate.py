"""`workbench generate` as its user runs it, on to `workbench judge`, against a real server."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from protocol_server import ServerHandle

from workbench.cli import main
from workbench.project import Project

Run = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path, protocol_server: ServerHandle) -> Path:
    """A project with a few prompts, and a server that never says the same twice."""
    protocol_server.set(text="Answer {digest}", seeded=True)
    project = Project.create(tmp_path / "project")
    rows = [{"id": f"p{k}", "prompt": f"Name river {k}.", "subset": "rivers"} for k in range(6)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (project.dir / "prompts.jsonl").write_text(text)
    return project.dir


@pytest.fixture
def add(folder: Path, protocol_server: ServerHandle) -> Callable[..., None]:
    """Writes a `[[models]]` or `[[judges]]` section."""

    def write(kind: str, name: str, **keys: Any) -> None:
        section = {"name": name, "model": "m", "base_url": protocol_server.url, **keys}
        lines = [f"{key} = {json.dumps(value)}" for key, value in section.items()]
        with (folder / "project.toml").open("a") as config:
            config.write("\n".join([f"[[{kind}]]", *lines, ""]))

    return write


@pytest.fixture
def run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Exit code, standard output and standard error of a command."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(folder)
        monkeypatch.setattr("sys.argv", ["workbench", *arguments])
        with pytest.raises(SystemExit) as end:
            main.main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return call


def test_candidates_of_two_models_become_pairs_that_a_judge_sees(folder, add, run, protocol_server):
    add("models", "one", temperature=0.8)
    add("models", "two", system="Be brief.")
    code, out, _ = run("generate", "one", "two", "-n", "2")
    assert code == 0
    assert "one: 12 candidates of 6 prompts" in out
    # 4 candidates of a prompt: 6 pairs
    assert "36 pairs of 6 prompts, 36 of them new" in out
    store = Project.open(folder).store
    assert len(store) == 36
    assert {(pair.subset, pair.ai) for pair in store.iter_pairs()} == {("rivers", ())}
    assert set(store.features()["model_a"]) == {"one", "two"}
    protocol_server.set(text="")
    add("judges", "j", model="other", mode="verdict")
    code, out, _ = run("judge")
    assert "72 of 72 judged" in out
    # Again: nothing is asked, no pair comes twice, the judgments stay.
    before = protocol_server.stats()["requests"]
    code, out, _ = run("generate", "one", "two", "-n", "2", "--json")
    found = json.loads(out)
    assert found["pairs"]["n_new"] == 0
    assert [one["n_new"] for one in found["runs"]] == [0, 0]
    assert protocol_server.stats()["requests"] == before
    protocol_server.set(text="Answer {digest}")
    code, out, _ = run("generate", "one", "two", "-n", "3")
    assert "90 pairs of 6 prompts, 54 of them new" in out
    assert all(len(pair.ai) == 2 for pair in list(store.iter_pairs())[:36])


def test_a_dry_run_says_what_it_takes_and_asks_nothing(folder, add, run, protocol_server):
    add("models", "one", usd_per_1m_input=1.0, usd_per_1m_output=2.0, max_tokens=100)
    before = protocol_server.stats()["requests"]
    code, out, _ = run("generate", "--dry-run")
    assert code == 0
    assert "one: 6 of 6 prompts to do" in out
    assert "nothing asked" in out
    (found,) = json.loads(run("generate", "--dry-run", "--json")[1])["models"]
    assert (found["n_requests"], found["most_requests"]) == (24, 6 * 13)
    assert found["completion_tokens"] == 24 * 50
    assert found["usd"] == pytest.approx((found["prompt_tokens"] + 2 * 24 * 50) / 1e6)
    assert protocol_server.stats()["requests"] == before
    assert not (folder / "runs" / "generate" / "one").exists()


def test_a_budget_ends_a_run_and_the_next_goes_on(add, run):
    add("models", "one")
    code, out, _ = run("generate", "--max-requests", "10", "--no-pairs")
    assert code == 0
    assert "stopped at max_requests" in out
    assert "run it again to go on" in out
    assert "pairs of" not in out
    assert "24 pairs" not in out
    assert "36 pairs of 6 prompts" in run("generate")[1]


def test_a_server_that_does_not_sample_is_told(add, run, protocol_server):
    add("models", "one")
    protocol_server.set(seeded=False)
    code, out, err = run("generate")
    assert code == 0
    assert "0 pairs of 0 prompts" in out
    assert "18 stayed near-identical" in out
    assert 'model "one": most of its candidates are near-identical' in err


def test_bad_rows_are_told_and_strict_refuses_them(folder, add, run, protocol_server):
    add("models", "one")
    (folder / "p.jsonl").write_text('{"prompt": "Name a river."}\n{"prompt": ""}\n')
    before = protocol_server.stats()["requests"]
    code, out, err = run("generate", "--prompts", "p.jsonl", "--strict")
    assert (code, out) == (2, "")
    assert "p.jsonl:2: the prompt is empty; 1 row is bad" in err
    assert protocol_server.stats()["requests"] == before
    code, out, err = run("generate", "--prompts", "p.jsonl")
    assert code == 0
    assert "1 bad rows left out" in out
    assert "p.jsonl:2: the prompt is empty; left out" in err


@pytest.mark.parametrize(
    ("sections", "arguments", "says"),
    [
        ([], [], "has no [[models]]; write a section"),
        ([{}, {"name": "two"}], [], "has the models one, two; name those that respond"),
        ([{}], ["three"], 'no model "three" in project.toml; there are: one'),
        ([{}], ["--prompts", "nowhere.txt"], "nowhere.txt: there is no such file"),
        ([{"temperature": 0.0}], [], "temperature 0 makes all 4 candidates the same"),
        ([{"base_url": "https://far.example/v1"}], [], 'model "one": has no price'),
        ([{"api_key_env": "NO_SUCH_KEY_HERE"}], [], "NO_SUCH_KEY_HERE is not set"),
        ([{"engine": "local", "model": "./nowhere"}], [], "there is no such folder"),
    ],
)
def test_a_mistake_is_one_line(add, run, sections, arguments, says):
    for keys in sections:
        add("models", **{"name": "one", **keys})
    code, out, err = run("generate", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("workbench: ")
    assert says in err
    assert err.count("\n") == 1


def test_an_endpoint_that_refuses_is_one_line_and_what_was_drawn_stays(
    folder, add, run, protocol_server
):
    add("models", "one", retries=0)
    run("generate", "--max-requests", "10")
    kept = (folder / "runs" / "generate" / "one" / "candidates.jsonl").read_text()
    assert kept
    protocol_server.set(key="secret")
    code, _, err = run("generate")
    assert code == 2
    assert "HTTP 401" in err
    assert err.count("\n") == 1
    protocol_server.set(key="", faults=[{"kind": "close"}])
    code, _, err = run("generate")
    assert code == 3
    assert 'model "one": the service failed' in err
    assert "everything answered is kept" in err
    path = folder / "runs" / "generate" / "one" / "candidates.jsonl"
    assert path.read_text().startswith(kept)


def test_a_model_folder_without_a_tokenizer_is_one_line(folder, add, run):
    pytest.importorskip("torch")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    (folder / "bare").mkdir()
    (folder / "bare" / "config.json").write_text('{"model_type": "llama"}')
    add("models", "one", engine="local", model="./bare")
    code, out, err = run("generate")
    assert (code, out) == (2, "")
    assert "tokenizer" in err
    assert err.count("\n") == 1
