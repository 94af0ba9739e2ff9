"""The demo project: the whole flow, made whole or not at all, reused and never destroying."""

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from pipelines.errors import BadInput
from pipelines.formats.reading import read_pairs
from pipelines.generate.reading import read_candidates
from pipelines.models.spec import EngineSpec
from pipelines.records import PreferencePair
from pipelines.sandbox.world import read_situation, score, true_preference
from workbench import data_files
from workbench.app.views.review import practice_set
from workbench.audit.queue import Desk, SyncRequest, mint_token, sync
from workbench.cli.main import app
from workbench.db.models import Annotator, Item, Round, Skip, Vote
from workbench.db.session import reading, writing
from workbench.demo.flow import PEOPLE, SHARE_LABELLED, Size, build_flow, sandbox_cast
from workbench.demo.place import MARK, MadeDemo, OnStage, find_demo, make_demo
from workbench.project import Project

NOW = 1_790_000_000.0
N_MESSAGES = 24
WORKBENCH = (sys.executable, "-c", "from workbench.cli.main import main; main()")


def build(folder: Path, now: float, on_stage: OnStage) -> MadeDemo:
    return build_flow(folder, now, on_stage, sandbox_cast(), Size(N_MESSAGES, 10))


def build_little(folder: Path, now: float, on_stage: OnStage) -> MadeDemo:
    return build_flow(folder, now, on_stage, sandbox_cast(), Size(6, 3))


@pytest.fixture(scope="module")
def stages() -> list[str]:
    return []


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, stages: list[str]) -> tuple[Path, MadeDemo]:
    folder = tmp_path_factory.mktemp("demo") / "demo"

    def on_stage(stage: str, _done: int, _all: int | None) -> None:
        if stage not in stages:
            stages.append(stage)

    return folder, make_demo(folder, build, now=NOW, on_stage=on_stage)


@pytest.fixture
def project(made: tuple[Path, MadeDemo]) -> Iterator[Project]:
    project = Project.open(made[0])
    yield project
    project.engine.dispose()


@pytest.fixture
def session(project: Project) -> Iterator[Session]:
    with reading(project.engine) as session:
        yield session


def test_every_stage_is_told_in_order(made: tuple[Path, MadeDemo], stages: list[str]) -> None:
    assert stages == [
        "helpdesk-tiny answers customers",
        "criticise and revise",
        "simulated-judge judges",
        "simulated-judge-biased judges",
        "draw the audit",
        "simulated people label",
        "make pairs",
    ]


def test_the_tiny_model_wrote_every_candidate(made: tuple[Path, MadeDemo]) -> None:
    candidates = list(read_candidates(made[0]))
    assert len(candidates) == 4 * N_MESSAGES
    assert {one.model for one in candidates} == {"helpdesk-tiny"}
    assert {one.failure for one in candidates} == {None}
    situations = [read_situation(str(one.prompt)) for one in candidates]
    fluent = [
        score(situation, one.response or "")["fluent"]
        for situation, one in zip(situations, candidates, strict=True)
        if situation is not None
    ]
    assert len(fluent) == len(candidates)
    assert sum(fluent) > 0.9 * len(fluent)


def test_both_judges_have_judged_every_pair_and_one_is_visibly_biased(
    made: tuple[Path, MadeDemo], project: Project
) -> None:
    notes = project.annotations()
    assert len(project.store) == made[1].n_pairs > 2 * N_MESSAGES
    first_wins = {}
    for name in ("simulated-judge", "simulated-judge-biased"):
        log = made[0] / "runs" / "judge" / name / "judgments.jsonl"
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        judged = [row for row in rows if row.get("p_a") is not None]
        first = [(row["p_a"] > 0.5) == (row["order"] == "ab") for row in judged]
        assert len(judged) >= 2 * len(project.store)
        first_wins[name] = sum(first) / len(first)
    assert set(notes.judges) == set(first_wins)
    assert abs(first_wins["simulated-judge"] - 0.5) < 0.03
    assert first_wins["simulated-judge-biased"] > 0.55


def test_responses_were_revised_and_the_critic_sees_fewer_faults(
    made: tuple[Path, MadeDemo],
) -> None:
    found = json.loads((made[0] / "runs" / "revise" / "statistics.json").read_text())
    assert found["any_before"]["n"] == 10
    assert found["any_after"]["estimate"] < found["any_before"]["estimate"]
    said = (made[0] / "runs" / "revise" / "trajectories.jsonl").read_text()
    assert len(said.splitlines()) == 10


def test_a_part_of_the_round_is_labelled_by_simulated_people(
    made: tuple[Path, MadeDemo], session: Session
) -> None:
    demo = made[1]
    assert demo.label == "simulated-judge"
    assert set(demo.n_drawn) == {"main", "safety"}
    assert session.scalar(select(func.count(Item.id))) == sum(demo.n_drawn.values())
    assert demo.answered / demo.asked == pytest.approx(SHARE_LABELLED, abs=0.06)
    votes = session.scalars(select(Vote)).all()
    assert len(votes) == demo.answered
    assert {vote.origin for vote in votes} == {"simulated"}
    names = set(session.scalars(select(Annotator.name)))
    assert names == {person.name for person in PEOPLE} == set(demo.annotators)
    assert all(name.startswith("simulated-") for name in names)
    drawn = session.scalars(select(Round.created_at)).one()
    times = [vote.created_at for vote in votes]
    assert drawn < min(times)
    assert max(times) < NOW - 15 * 60  # longer ago than a lease lasts
    assert session.scalar(select(func.count(Skip.id))) is not None


def test_a_visitor_gets_the_first_open_pairs_of_the_round(
    made: tuple[Path, MadeDemo], tmp_path: Path
) -> None:
    folder, demo = tmp_path / "demo", made[1]
    shutil.copytree(made[0], folder)
    project = Project.open(folder)
    with writing(project.engine) as session:
        visitor = Annotator(name="visitor", created_at=NOW)
        session.add(visitor)
        session.flush()
        round_id = session.scalars(select(Round.id)).one()
        token = mint_token(session, round_id, visitor.id, NOW)
        reply = sync(session, SyncRequest(token=token, want=12), Desk(), NOW)
    project.engine.dispose()
    assert len(reply.items) == 12
    assert (reply.everyone, reply.asked) == (demo.answered, demo.asked)


def test_the_practice_pairs_are_judged_as_the_truth_judges_them(
    made: tuple[Path, MadeDemo],
) -> None:
    pairs = [
        row for row in read_pairs(made[0] / "practice.jsonl") if isinstance(row, PreferencePair)
    ]
    assert len(pairs) == len(practice_set(made[0])) == 3
    for pair in pairs:
        situation = read_situation(str(pair.prompt))
        assert situation is not None
        assert pair.human[0].label == true_preference(situation, pair.response_a, pair.response_b)
        assert pair.human[0].comment
    messages = (made[0] / "prompts.jsonl").read_text()
    assert not any(str(pair.prompt) in messages for pair in pairs)  # nobody labels them again


def test_the_pairs_are_made_and_up_to_date(made: tuple[Path, MadeDemo]) -> None:
    facts = json.loads((made[0] / "runs" / "pairs" / "manifest.json").read_text())
    assert facts["counts"]["n_pairs"] == made[1].n_pairs
    assert 0 < facts["n_human_labels"] <= made[1].answered


def test_its_run_file_names_addresses_that_the_sandbox_serves(project: Project) -> None:
    asked: tuple[EngineSpec, ...] = (*project.config.models, *project.config.judges)
    assert {one.base_url for one in asked} == {"http://127.0.0.1:8010/v1"}
    assert json.loads((project.dir / MARK).read_text())["kind"] == "help desk"


def test_making_it_again_gives_the_same_pairs_and_draw(
    made: tuple[Path, MadeDemo], session: Session, project: Project, tmp_path: Path
) -> None:
    again = tmp_path / "demo"
    assert make_demo(again, build, now=NOW) == made[1]
    other = Project.open(again)
    assert sorted(other.store.pair_ids()) == sorted(project.store.pair_ids())
    drawn = select(Item.pair_id).order_by(Item.pair_id)
    with reading(other.engine) as theirs:
        assert theirs.scalars(drawn).all() == session.scalars(drawn).all()
    other.engine.dispose()


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(BadInput, match=r"holds other files and is left alone.*another --dir"):
        make_demo(tmp_path, build)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_real_project_is_not_taken_for_the_demo(tmp_path: Path) -> None:
    Project.create(tmp_path / "real")
    with pytest.raises(BadInput, match="is a project of yours, not the demo"):
        find_demo(tmp_path / "real")


def test_a_file_in_its_place_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("")
    with pytest.raises(BadInput, match="is a file; give the demo another --dir"):
        find_demo(tmp_path / "demo")


def test_an_empty_folder_is_used_and_nothing_else_is_left_beside_it(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()

    def build_nothing(folder: Path, _now: float, _on_stage: OnStage) -> MadeDemo:
        Project.create(folder)
        return MadeDemo("round-1", "judge", 0, {}, 0, 0, ())

    make_demo(tmp_path / "demo", build_nothing, now=NOW)
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        make_demo(tmp_path / "file" / "demo", build)


@pytest.mark.parametrize(
    "when", ["helpdesk-tiny answers customers", "simulated-judge judges", "simulated people label"]
)
def test_one_that_was_cut_off_leaves_nothing_half_made(tmp_path: Path, when: str) -> None:
    def stop(stage: str, _done: int, _all: int | None) -> None:
        if stage == when:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_demo(tmp_path / "demo", build_little, on_stage=stop)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    command = [*WORKBENCH, "demo", "--no-serve", "--messages", "300"]
    running = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".demo-*/runs/generate/*/log.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert said.strip().splitlines()[-1] == "workbench: stopped; nothing was made"
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_the_command_makes_it_without_torch_says_so_and_opens_it_again(tmp_path: Path) -> None:
    """A base install has no torch; here it is hidden."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for name in ("torch", "transformers", "tokenizers", "trl"):
        (hidden / f"{name}.py").write_text("raise ImportError('there is none')\n")
    folder = tmp_path / "demo"
    arguments = ["demo", "--dir", str(folder), "--no-serve", "--port", str(_free_port())]
    first = subprocess.run(
        [*WORKBENCH, *arguments, "--messages", "12"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(hidden), *sys.path[1:]])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert first.returncode == 0, first.stderr
    assert "judges and annotators are simulated" in first.stdout
    assert "48 replies to 12 messages by helpdesk-tiny" in first.stdout
    for word in ("candidates", "revision", "judges", "round", "labels", "pairs", "look at"):
        assert f"\n{word} " in first.stdout
    before = (folder / "workbench.db").stat().st_mtime_ns
    second = CliRunner().invoke(app, arguments)
    assert second.exit_code == 0
    assert "as you left it" in second.output
    assert (folder / "workbench.db").stat().st_mtime_ns == before
    third = CliRunner().invoke(app, ["demo", "--sample", "--dir", str(folder), "--no-serve"])
    assert isinstance(third.exception, BadInput)
    assert "holds another demo; open it with `workbench demo --dir" in str(third.exception)


def test_a_port_that_is_taken_is_one_line_before_anything_is_made(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*WORKBENCH, "demo", "--dir", "demo", "--port", str(port)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"port {port} cannot be used (Address already in use)" in done.stderr
    assert list(tmp_path.iterdir()) == []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _data_dir_of(package: Path) -> Path:
    """What `data_dir` says when the module lies in that package folder."""
    spec = importlib.util.spec_from_file_location("data_files", package / "data_files.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Path = module.data_dir()
    return found


def test_data_files_are_found_in_a_wheel_and_in_a_checkout(tmp_path: Path) -> None:
    package = tmp_path / "workbench"
    package.mkdir()
    shutil.copy(data_files.__file__, package / "data_files.py")
    with pytest.raises(BadInput, match="install it again"):
        _data_dir_of(package)
    (tmp_path / "data" / "sample").mkdir(parents=True)  # a checkout
    assert _data_dir_of(package) == tmp_path / "data"
    (package / "data" / "sample").mkdir(parents=True)  # a wheel
    assert _data_dir_of(package) == package / "data"
