"""`workbench demo --model --judge`: the same flow on one's own models, a folder and an endpoint."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select
from typer.testing import CliRunner

from pipelines.constitution.records import load_constitution
from pipelines.errors import BadInput, ServiceFailed
from pipelines.generate.reading import read_candidates
from pipelines.sandbox.background import in_background
from pipelines.sandbox.traits import ModelTraits, load_traits
from workbench.cli.main import app
from workbench.data_files import data_dir
from workbench.db.models import Annotator, Item, Vote
from workbench.db.session import reading
from workbench.demo.models import own_cast, read_name
from workbench.project import Project

HELPDESK = data_dir() / "helpdesk"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    models = {
        **load_traits(HELPDESK / "models.toml"),
        "simulated-broken": ModelTraits(error_rate=1.0),
    }
    rules = load_constitution(HELPDESK / "constitution.toml")
    with in_background(models, constitution=rules) as url:
        yield url


def demo(folder: Path, *options: str) -> "tuple[int, str, BaseException | None]":
    done = CliRunner().invoke(app, ["demo", "--no-serve", "--dir", str(folder), *options])
    return done.exit_code, done.output, done.exception


def test_a_folder_writes_and_an_endpoint_judges(server, tmp_path):
    pytest.importorskip("torch")
    folder = tmp_path / "own"
    options = ["--model", str(HELPDESK / "model"), "--judge", f"{server}#simulated-judge"]
    code, said, error = demo(folder, *options, "--messages", "6")
    assert code == 0, (said, error)
    assert "your models answer, revise and judge" in said
    assert "24 replies to 6 messages by model" in said
    assert "the first is yours" in said
    assert "simulated people" not in said
    project = Project.open(folder)
    assert {one.engine for one in project.config.models} == {"local", "endpoint"}
    assert project.config.revise.critic == project.config.audit.label == "simulated-judge"
    assert len(list(read_candidates(folder))) == 24
    found = json.loads((folder / "runs" / "revise" / "statistics.json").read_text())
    assert found["critic"] == found["reviser"] == "simulated-judge"
    with reading(project.engine) as session:
        assert session.scalar(select(func.count(Vote.id))) == 0
        assert session.scalar(select(func.count(Annotator.id))) == 0
        assert session.scalar(select(func.count(Item.id))) > 0
    project.engine.dispose()


def test_what_was_answered_before_a_failure_is_kept_and_the_same_command_goes_on(server, tmp_path):
    folder, kept = tmp_path / "own", tmp_path / ".own-unfinished"
    policy, judge = f"{server}#simulated-policy", f"{server}#simulated-judge"
    broken = ["--judge", judge, "--judge", f"{server}#simulated-broken", "--messages", "4"]
    code, _, error = demo(folder, "--model", policy, *broken)
    assert code == 1
    assert isinstance(error, ServiceFailed)
    assert "run the same command again" in str(error)
    assert not folder.exists()
    log = kept / "runs" / "generate" / "simulated-policy" / "log.jsonl"
    n_before = len(log.read_text().splitlines())
    code, said, error = demo(folder, "--model", policy, "--judge", judge, "--messages", "4")
    assert code == 0, (said, error)
    after = folder / "runs" / "generate" / "simulated-policy" / "log.jsonl"
    assert len(after.read_text().splitlines()) == n_before  # nothing was asked a second time
    assert not kept.exists()


def test_another_judge_alone_judges_what_the_tiny_model_wrote(server, tmp_path):
    folder = tmp_path / "own"
    judge = ["--judge", f"{server}#simulated-judge-biased", "--judge-mode", "verdict"]
    code, said, error = demo(folder, *judge, "--messages", "6")
    assert code == 0, (said, error)
    assert "by helpdesk-tiny" in said
    assert "simulated-ana" in said
    (spec,) = Project.open(folder).config.judges
    assert (spec.mode, spec.base_url) == ("verdict", server)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "{model}"], "--model needs --judge"),
        (["--sample", "--judge", "a/b"], "--sample asks no model"),
        (["--model", "nowhere", "--judge", "a/b"], "nowhere: is no folder, no name on the hub"),
        (["--model", "{model}", "--judge", "http://h/v1"], "does not say which model"),
        (
            ["--model", "{model}", "--judge", "http://h/v1#x", "--judge", "http://g/v1#x"],
            'two judges are called "x"',
        ),
        (["--judge", "a/b", "--judge-mode", "rating"], "must be logprob or verdict"),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path, options, message):
    given = [one.format(model=HELPDESK / "model") for one in options]
    code, _, error = demo(tmp_path / "own", *given)
    assert code == 1
    assert isinstance(error, BadInput)
    assert message in str(error)
    assert "\n" not in str(error)
    assert list(tmp_path.iterdir()) == []


def test_an_endpoint_that_refuses_and_a_folder_without_a_tokenizer_are_one_line(tmp_path):
    pytest.importorskip("torch")
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).write_bytes((HELPDESK / "model" / name).read_bytes())
    refuses = "http://127.0.0.1:9/v1#nobody"
    for model, words in ((str(bare), "tokenizer"), (refuses, "127.0.0.1:9")):
        options = ["--model", model, "--judge", refuses, "--messages", "2"]
        _, _, error = demo(tmp_path / "own", *options)
        assert isinstance(error, BadInput | ServiceFailed)
        assert "\n" not in str(error)
        assert words in str(error)


def test_models_elsewhere_need_a_bound(tmp_path):
    cast = own_cast("http://h.example/v1#m", ["http://h.example/v1#j"], "logprob", "KEY", 500)
    assert cast.sections.count('api_key_env = "KEY"') == 3
    assert "max_requests = 500" in cast.sections  # of [judging]
    assert all("max_requests = 500" in cast.settings[one] for one in ("generate", "revise"))
    away = ["--model", "http://h.example/v1#m", "--judge", "http://h.example/v1#j"]
    _, _, error = demo(tmp_path / "own", *away)
    assert isinstance(error, BadInput)
    assert "max_requests" in str(error)


def test_names_are_read_as_folder_hub_name_or_address(tmp_path):
    (tmp_path / "some model").mkdir()
    folder = read_name(str(tmp_path / "some model"))
    assert (folder.engine, folder.name) == ("local", "some-model")
    hub = read_name("Qwen/Qwen2.5-0.5B-Instruct")
    assert (hub.engine, hub.model) == ("local", "Qwen/Qwen2.5-0.5B-Instruct")
    assert hub.name == "Qwen2.5-0.5B-Instruct"
    there = read_name("https://h.example/v1#org/name:7b")
    assert (there.engine, there.model, there.name) == ("endpoint", "org/name:7b", "name-7b")
    assert there.base_url == "https://h.example/v1"
