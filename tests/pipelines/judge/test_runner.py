"""The runner over a real store, a real log and a real server: nothing lost, nothing asked twice."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judge_world import World, ask_in_rounds, ask_plainly, import_pairs
from protocol_server import ServerHandle

from pipelines.config import RunConfig
from pipelines.errors import BadInput
from pipelines.importing import import_file
from pipelines.judge.manifest import read_manifest
from pipelines.judge.runner import JudgeFolder, JudgeRun, Question, run_judge
from pipelines.judge.spec import JudgeSpec
from pipelines.models.completions import Price
from pipelines.stages.budget import Budget, Limits
from pipelines.stages.lock import project_lock
from pipelines.stages.stop import StopSignal
from pipelines.store import PairStore


@pytest.fixture
def world(tmp_path: Path, protocol_server: ServerHandle) -> World:
    return World(tmp_path, import_pairs(tmp_path, 100), protocol_server)


def test_every_pair_is_judged_in_both_orders_and_the_store_has_it(world):
    run = world.judge()
    assert (run.ended, run.n_wanted, run.n_judged, run.n_pending) == ("done", 200, 200, 0)
    assert len(world.verdicts()) == 200
    assert world.server.stats()["requests"] == 200
    annotations = world.store.annotations()
    assert annotations.judges == ("j",)
    assert len(annotations.verdict_pair) == 200


def test_a_second_run_asks_nothing_and_new_pairs_alone_are_asked(world):
    world.judge()
    again = world.judge()
    assert (again.n_new, again.spent.requests) == (0, 0)
    import_pairs(world.folder, 10, start=100)
    more = world.judge()
    assert (more.n_new, more.n_wanted) == (20, 220)
    assert world.server.stats()["repeated"] == 0
    assert len(world.verdicts()) == 220


def test_what_was_asked_in_one_order_is_kept_when_both_are_wanted(world):
    spec = JudgeSpec(name="j", model="m", base_url=world.server.url, orders=("ba",))
    one = Question(spec, "t1", spec.orders, ask_plainly)
    assert one.hash == world.question().hash
    asyncio.run(run_judge(world.folder, world.store, one, world.engine, Budget(Limits())))
    assert {order for _, order in world.verdicts()} == {"ba"}
    assert world.judge().n_new == 100
    assert world.server.stats()["repeated"] == 0


def test_another_question_is_asked_anew_and_replaces_the_old_answers(world):
    world.judge()
    world.template = "t2"
    world.server.set(text="Winner: A")
    run = world.judge(Limits(max_requests=50))
    assert (run.ended, run.n_new) == ("max_requests", 50)
    assert len(world.verdicts()) == 50  # the old ones answered another question
    assert world.judge().n_judged == 200
    world.template = "t1"
    assert world.judge().n_new == 0  # still in the log
    assert len(world.verdicts()) == 200


def test_the_old_answers_stay_until_there_are_new_ones(world):
    world.judge()
    before = world.verdicts()
    world.template = "t2"
    world.server.set(faults=[{"kind": "500"}])
    assert world.judge().ended == "service"
    assert world.verdicts() == before


def test_judgments_of_several_rounds_are_the_same_however_often_they_are_cut(world):
    world.ask = ask_in_rounds
    whole = World(world.folder / "whole", world.store, world.server, ask_in_rounds)
    whole.folder.mkdir()
    whole.store = import_pairs(whole.folder, 100)
    whole.judge()
    world.server.reset()
    for _ in range(13):
        world.judge(Limits(max_requests=37))
    run = world.judge()
    assert run.n_judged == 200
    assert world.verdicts() == whole.verdicts()
    stats = world.server.stats()
    # "one" and "two" are asked once each, and the question on top of them once.
    assert (stats["requests"], stats["repeated"]) == (600, 0)


def test_failures_are_kept_with_their_reason_and_asked_again_only_on_demand(world):
    refuse = {"kind": "refuse", "match": "p7 "}
    broken = {"kind": "garbage", "match": "p8 "}
    world.server.set(faults=[refuse, broken])
    run = world.judge()
    assert run.failed == {"refused": 2, "error": 2}
    assert (run.n_judged, run.n_pending, run.n_outages) == (196, 0, 2)
    kept = {
        judgment.failure: judgment.raw for pair in world.store.pairs([7, 8]) for judgment in pair.ai
    }
    assert kept["refused"] == "refused: the content filter"
    assert "not JSON" in (kept["error"] or "")
    world.server.set(faults=[])
    assert world.judge().n_new == 0
    run = world.judge(retry_failed=True)
    assert (run.n_new, run.failed, run.n_judged) == (4, {}, 200)
    assert not any(failure for _, failure in world.verdicts().values())


def test_a_service_that_stays_down_ends_the_run_and_loses_nothing(world):
    world.server.set(faults=[{"kind": "close", "match": "p5"}, {"kind": "close", "match": "p6"}])
    run = world.judge()
    assert run.ended == "service"
    assert "everything so far is kept" in (run.error or "")
    assert run.n_judged >= 80
    assert run.n_pending > 0
    world.server.set(faults=[])
    assert world.judge(retry_failed=True).n_judged == 200


def test_a_setting_that_cannot_work_is_one_error_and_the_manifest_says_so(world):
    world.server.set(model="other")
    with pytest.raises(BadInput, match="HTTP 404: The model `m` does not exist"):
        world.judge()
    (run,) = read_manifest(JudgeFolder(world.folder, "j").manifest, "j").runs
    assert (run.ended, run.n_judged) == ("failed", 0)
    assert "404" in (run.error or "")


def test_the_budget_is_never_exceeded_and_the_manifest_knows_what_was_spent(world):
    world.price = Price(usd_per_1m_input=1000.0, usd_per_1m_output=1000.0)
    budget = 1.0
    run = world.judge(Limits(budget_usd=budget))
    assert run.ended == "budget_usd"
    assert 0.5 * budget < run.spent.usd <= budget
    assert 0 < run.n_judged < 200
    total = run.spent.usd
    while run.ended == "budget_usd":
        run = world.judge(Limits(budget_usd=budget))
        assert run.spent.usd <= budget
        total += run.spent.usd
    assert (run.ended, run.n_judged) == ("done", 200)
    manifest = read_manifest(JudgeFolder(world.folder, "j").manifest, "j")
    assert manifest.spent.usd == pytest.approx(total)
    assert manifest.spent.requests == 200
    assert manifest.runs[0].spec["model"] == "m"
    assert manifest.runs[0].template_hash == "t1"


def test_requests_are_bounded_to_the_last_one(world):
    run = world.judge(Limits(max_requests=33))
    assert (run.ended, run.n_judged, run.n_pending) == ("max_requests", 33, 167)
    assert world.server.stats()["requests"] == 33


def test_a_torn_last_line_is_cut_off_and_judged_again(world, caplog):
    world.judge()
    before = world.verdicts()
    whole = world.log.read_bytes()
    world.log.write_bytes(whole[:-20])
    run = world.judge()
    assert run.torn_bytes > 0
    assert "the last line was torn" in caplog.text
    assert run.n_new == 1
    assert world.verdicts() == before
    assert world.server.stats()["repeated"] == 1


def test_damaged_lines_are_counted_and_judged_again(world):
    world.judge()
    lines = world.log.read_bytes().split(b"\n")
    lines[10] = b"\xff\xfe not json"
    lines[11] = b'{"spec": "x"}'
    world.log.write_bytes(b"\n".join(lines))
    run = world.judge()
    assert (run.n_damaged, run.n_new, run.n_judged) == (2, 2, 200)


def test_the_log_survives_another_order_of_imports(world, tmp_path):
    world.judge()
    other = World(tmp_path / "other", PairStore(tmp_path / "other"), world.server)
    other.folder.mkdir()
    import_pairs(other.folder, 30, start=70)
    other.store = import_pairs(other.folder, 70)
    other.log.parent.mkdir(parents=True)
    other.log.write_bytes(world.log.read_bytes())
    assert other.judge().n_new == 0
    assert other.verdicts() == world.verdicts()


def test_a_pair_whose_text_changed_is_judged_anew(world, tmp_path):
    world.judge()
    changed = tmp_path / "changed"
    changed.mkdir()
    pairs = [
        {"id": f"p{k}", "prompt": f"q{k}", "response_a": f"a{k}", "response_b": f"b{k}"}
        for k in range(100)
    ]
    pairs[3]["response_b"] = "something else"
    (changed / "x.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    store = PairStore(changed)
    import_file(store, changed / "x.jsonl", RunConfig())
    other = replace(world, folder=changed, store=store)
    other.log.parent.mkdir(parents=True)
    other.log.write_bytes(world.log.read_bytes())
    assert other.judge().n_new == 2


def test_a_second_run_says_so_and_stops(world):
    with (
        project_lock(world.folder, "judge"),
        pytest.raises(BadInput, match=rf"another .* is running .*process {os.getpid()}"),
    ):
        world.judge()
    assert world.judge().ended == "done"


def test_a_name_of_an_imported_judge_is_refused_before_anything_is_asked(world, tmp_path):
    path = tmp_path / "theirs.jsonl"
    pair = {"prompt": "q", "response_a": "a", "response_b": "b"}
    path.write_text(json.dumps({**pair, "ai": [{"judge": "j", "label": "A"}]}))
    import_file(world.store, path, RunConfig())
    with pytest.raises(BadInput, match='already hold verdicts of a judge "j"'):
        world.judge()
    assert world.server.stats()["requests"] == 0


def test_told_to_stop_a_run_finishes_what_is_in_flight(world):
    world.server.set(delay_s=0.05)
    stop = StopSignal()
    seen = []

    def on_standing(standing: Any) -> None:
        seen.append(standing)
        if standing.n_done >= 16:
            stop()

    run = world.judge(stop=stop, on_standing=on_standing)
    assert run.ended == "interrupted"
    assert 16 <= run.n_judged < 200
    assert run.n_judged == world.server.stats()["requests"]  # nothing that was asked was lost
    assert seen[-1].n_done == run.n_judged
    assert world.judge().n_judged == 200
    assert world.server.stats()["repeated"] == 0


def test_told_twice_it_stops_at_once(world):
    world.server.set(delay_s=30.0)
    stop = StopSignal()

    async def run() -> JudgeRun:
        loop = asyncio.get_running_loop()
        loop.call_later(0.2, stop)
        loop.call_later(0.3, stop)
        return await run_judge(
            world.folder,
            world.store,
            world.question(),
            world.engine,
            Budget(Limits()),
            stop=stop,
        )

    start = time.monotonic()
    assert asyncio.run(run()).ended == "interrupted"
    assert time.monotonic() - start < 3.0


CHILD = """
import asyncio, sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
import judge_world as t
from pipelines.store import PairStore
world = t.World(Path(sys.argv[1]), PairStore(Path(sys.argv[1])),
                t.ServerHandle(None, int(sys.argv[2])), t.ask_in_rounds)
world.judge()
"""


def start_child(world: World) -> "subprocess.Popen[bytes]":
    here = Path(__file__)
    paths = [str(here.parents[2]), str(here.parents[3])]
    command = [sys.executable, "-c", CHILD, str(world.folder), str(world.server.port), *paths]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def test_sigkill_at_any_moment_repeats_at_most_what_was_in_flight(world):
    world.ask = ask_in_rounds
    whole = World(world.folder / "whole", world.store, world.server, ask_in_rounds)
    whole.folder.mkdir()
    whole.store = import_pairs(whole.folder, 100)
    whole.judge()
    world.server.set(delay_s=0.01)
    world.server.reset()
    rng = random.Random(3)
    n_hit = 0
    for _ in range(8):
        before = world.server.stats()["requests"]
        child = start_child(world)
        while world.server.stats()["requests"] == before and child.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 0.08))
        n_hit += child.poll() is None
        child.send_signal(signal.SIGKILL)
        child.communicate()
    run = world.judge()
    stats = world.server.stats()
    assert n_hit >= 5
    assert run.n_judged == 200
    assert world.verdicts() == whole.verdicts()
    assert stats["distinct"] == 600
    assert stats["repeated"] <= n_hit * world.concurrency
    runs = read_manifest(JudgeFolder(world.folder, "j").manifest, "j").runs
    assert [one.ended for one in runs].count("killed") == n_hit
    assert read_manifest(JudgeFolder(world.folder, "j").manifest, "j").spent.requests == 600


def test_no_engine_is_opened_for_nothing(world):
    world.judge()

    def nobody():
        raise AssertionError("an engine was opened though nothing is pending")

    again = asyncio.run(
        run_judge(world.folder, world.store, world.question(), nobody, Budget(Limits()))
    )
    assert (again.ended, again.n_new, again.n_pending) == ("done", 0, 0)


def test_an_engine_that_cannot_be_opened_is_an_error_that_the_manifest_keeps(world):
    def broken():
        raise BadInput("no such model")

    with pytest.raises(BadInput, match="no such model"):
        asyncio.run(
            run_judge(world.folder, world.store, world.question(), broken, Budget(Limits()))
        )
    manifest = read_manifest(JudgeFolder(world.folder, "j").manifest, "j")
    assert (manifest.runs[-1].ended, manifest.runs[-1].error) == ("failed", "no such model")


def test_pairs_outside_the_judges_route_are_not_wanted(world):
    wanted = np.zeros(len(world.store), dtype=bool)
    wanted[:3] = True
    question = replace(world.question(), wanted=wanted)
    run = asyncio.run(
        run_judge(world.folder, world.store, question, world.engine, Budget(Limits()))
    )
    assert (run.n_wanted, run.n_judged, run.n_pending) == (6, 6, 0)
    assert {pair for pair, _ in world.verdicts()} == {"p0", "p1", "p2"}
