"""Batch files: what is exported, answered by a real server line by line, and taken back."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from judge_world import World, ask_in_rounds, import_pairs
from protocol_server import ServerHandle

from pipelines.errors import BadInput
from pipelines.judge import batch_files
from pipelines.judge.batch_api import BatchImport, export_batches, import_batches
from pipelines.judge.manifest import read_manifest
from pipelines.judge.runner import JudgeFolder
from pipelines.models.completions import Price
from pipelines.stages.budget import Limits


@pytest.fixture
def world(tmp_path: Path, protocol_server: ServerHandle) -> World:
    return World(tmp_path, import_pairs(tmp_path, 30), protocol_server)


def answered(server: ServerHandle, files: tuple[Path, ...], out: Path) -> Path:
    """What the batch service makes of the files: each body sent to the server, in any order."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    lines = []
    for path in files:
        for text in path.read_text().splitlines():
            line = json.loads(text)
            assert (line["method"], line["url"]) == ("POST", "/v1/chat/completions")
            request = urllib.request.Request(
                f"{server.url}/chat/completions", json.dumps(line["body"]).encode()
            )
            with opener.open(request, timeout=10) as response:
                body = json.loads(response.read())
            answer = {"status_code": 200, "request_id": "r", "body": body}
            lines.append({"custom_id": line["custom_id"], "response": answer, "error": None})
    out.write_text("".join(json.dumps(line) + "\n" for line in reversed(lines)))
    return out


def export(world: World, folder: str, **more: Any) -> tuple[Path, ...]:
    done = export_batches(
        world.folder, world.store, world.question(), world.folder / folder, **more
    )
    assert done.n_requests == sum(path.read_text().count("\n") for path in done.files)
    return done.files


def take(world: World, *files: Path) -> BatchImport:
    return import_batches(world.folder, world.store, world.question(), files)


def test_a_batch_gives_what_a_run_gives_at_half_the_price(world):
    world.price = Price(usd_per_1m_input=10.0, usd_per_1m_output=10.0)
    other = World(world.folder / "other", world.store, world.server, price=world.price)
    other.folder.mkdir()
    other.store = import_pairs(other.folder, 30)
    run = other.judge()
    files = export(world, "batch")
    done = take(world, answered(world.server, files, world.folder / "out.jsonl"))
    assert (done.n_lines, done.n_judged, done.n_pending, done.n_failed) == (60, 60, 0, 0)
    assert world.verdicts() == other.verdicts()
    assert done.spent.usd == pytest.approx(run.spent.usd / 2)
    manifest = read_manifest(JudgeFolder(world.folder, "j").manifest, "j")
    assert manifest.spent.usd == pytest.approx(done.spent.usd)
    assert world.judge().n_new == 0


def test_rounds_follow_each_other_from_batch_to_batch(world):
    world.ask = ask_in_rounds
    first = export(world, "one")
    done = take(world, answered(world.server, first, world.folder / "out1.jsonl"))
    assert (done.n_lines, done.n_judged, done.n_waiting) == (120, 0, 60)
    second = export(world, "two")
    assert sum(path.read_text().count("\n") for path in second) == 60
    done = take(world, answered(world.server, second, world.folder / "out2.jsonl"))
    assert (done.n_judged, done.n_waiting, done.n_pending) == (60, 0, 0)
    assert world.server.stats()["repeated"] == 0


def test_a_run_goes_on_where_a_batch_ended(world):
    world.ask = ask_in_rounds
    out = answered(world.server, export(world, "one"), world.folder / "out.jsonl")
    take(world, out)
    assert world.judge().n_judged == 60
    assert world.server.stats()["repeated"] == 0


def test_taking_a_file_twice_changes_nothing(world):
    out = answered(world.server, export(world, "batch"), world.folder / "out.jsonl")
    take(world, out)
    before = world.log.read_bytes()
    again = take(world, out)
    assert (again.n_known, again.n_judged, again.spent.requests) == (60, 0, 0)
    assert world.log.read_bytes() == before


def test_what_the_service_did_not_answer_stays_pending(world):
    out = answered(world.server, export(world, "batch"), world.folder / "out.jsonl")
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    lines[0] |= {"response": None, "error": {"code": "batch_expired", "message": "late"}}
    lines[1]["response"] = {"status_code": 500, "body": {"error": {"message": "broke"}}}
    lines[2]["response"] = {"status_code": 400, "body": {"error": {"message": "too long"}}}
    lines[3]["response"]["body"] = {"choices": []}
    lines[4]["custom_id"] = "somebody-else"
    lines[5]["response"]["body"]["choices"][0] = {"message": {"refusal": "I will not."}}
    del lines[6]
    out.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = take(world, out)
    assert (done.n_unanswered, done.n_foreign, done.n_failed) == (3, 1, 2)
    assert done.n_judged == 53
    assert done.n_pending == 5
    # Of two judgments the file said nothing: they are still out, until the owner gives them up.
    run = world.judge(retry_failed=True)
    assert (run.n_new, run.n_out) == (5, 2)
    run = world.judge(despite_batches=True)
    assert (run.n_new, run.n_judged) == (2, 60)


def test_files_are_split_and_limited(world, monkeypatch):
    monkeypatch.setattr(batch_files, "MOST_REQUESTS", 25)
    files = export(world, "batch")
    assert [path.name for path in files] == ["j-001.jsonl", "j-002.jsonl", "j-003.jsonl"]
    assert [path.read_text().count("\n") for path in files] == [25, 25, 10]
    (few,) = export(world, "few", limits=Limits(max_requests=7), despite_batches=True)
    assert few.read_text().count("\n") == 7
    with pytest.raises(BadInput, match="already there and is never overwritten"):
        export(world, "few", despite_batches=True)
    assert sorted(path.name for path in (world.folder / "few").iterdir()) == ["j-001.jsonl"]


def test_a_file_that_is_none_of_answers_is_said_to_be(world):
    (requests,) = export(world, "batch")
    with pytest.raises(BadInput, match=r"j-001\.jsonl:1: not a line of batch answers"):
        take(world, requests)
    requests.write_text('"custom_id and response"\n')
    with pytest.raises(BadInput, match=r"j-001\.jsonl:1: not a line of batch answers"):
        take(world, requests)
    with pytest.raises(BadInput, match="cannot be read"):
        take(world, world.folder / "nowhere.jsonl")


def test_what_is_out_in_a_batch_is_asked_of_nobody_else_until_it_is_back(world):
    files = export(world, "batch", limits=Limits(max_requests=20))
    run = world.judge()
    assert (run.n_judged, run.n_pending, run.n_out) == (40, 20, 20)
    assert world.server.stats()["requests"] == 40
    again = export_batches(world.folder, world.store, world.question(), world.folder / "again")
    assert (again.n_requests, again.n_out_before) == (0, 20)
    done = take(world, answered(world.server, files, world.folder / "out.jsonl"))
    assert (done.n_judged, done.n_pending) == (20, 0)
    assert world.judge().n_out == 0
    assert world.server.stats()["repeated"] == 0


def test_a_batch_that_never_comes_back_can_be_given_up(world):
    export(world, "batch")
    assert world.judge().n_judged == 0
    assert world.judge(despite_batches=True).n_judged == 60
    assert world.judge().n_out == 0


def test_what_the_service_left_unanswered_is_not_out_any_more(world):
    out = answered(world.server, export(world, "batch"), world.folder / "out.jsonl")
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    lines[0] |= {"response": None, "error": {"code": "batch_expired"}}
    out.write_text("".join(json.dumps(line) + "\n" for line in lines))
    take(world, out)
    assert (world.judge().n_judged, world.judge().n_pending) == (60, 0)
