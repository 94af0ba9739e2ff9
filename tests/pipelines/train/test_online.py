"""Runs of PPO, A2C, RLOO and GRPO: killed and gone on, with adapters, constrained, watched."""

import json
import multiprocessing
import signal

import online_world
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from pipelines.errors import BadInput, ServiceFailed
from pipelines.evaluate.lineage import lineage_of
from pipelines.train.curves import read_curves
from pipelines.train.hacking import watched_in
from pipelines.train.online import scheduled, train_online
from pipelines.train.online_setup import prepare_online
from pipelines.train.online_watch import win_rate
from pipelines.train.reward_functions import Scorer
from pipelines.train.run_folder import RunFolder
from pipelines.train.settings import TrainSettings

PASSES = {"ppo": 1, "a2c": 1, "rloo": 2, "grpo": 2}  # how often a trainer counts one of our steps


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("online")
    online_world.build(folder)
    return folder


@pytest.fixture(scope="module")
def killed(world):
    """Runs that SIGKILL ended after three of five steps."""
    for method in PASSES:
        # A fork has everything imported already; what is killed is a process of its own.
        child = multiprocessing.get_context("fork").Process(
            target=online_world.run,
            args=(world, method, f"{method}-killed", online_world.kill_at_three_of_five),
        )
        child.start()
        child.join()
        assert child.exitcode == -signal.SIGKILL
    return world


def weights(folder):
    return load_file(folder.model / "model.safetensors")


@pytest.mark.parametrize("method", PASSES)
def test_a_killed_run_goes_on_and_ends_in_the_same_place(killed, method):
    place = RunFolder(killed / "runs" / f"{method}-killed")
    assert place.result() is None
    assert place.checkpoint().name == f"checkpoint-{2 * PASSES[method]}"
    steps = []
    online_world.run(killed, method, f"{method}-killed", lambda step, n: steps.append(step))
    assert steps[0] > 2 * PASSES[method]  # it did not begin again
    whole = online_world.run(killed, method, f"{method}-whole")
    mine, theirs = weights(place), weights(whole)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    start = load_file(killed / "start" / "model.safetensors")
    assert any(not torch.equal(mine[name], start[name]) for name in mine)
    curves = [
        [
            (p["step"], p.get("reward"), p.get("kl"), p["gradient_norm"])
            for p in read_curves(one.path)
        ]
        for one in (place, whole)
    ]
    assert curves[0] == curves[1]


def test_a_run_that_goes_on_late_has_the_learning_rate_of_its_step(world):
    def cut_off(step, n_steps):
        if step == 5:
            raise CutOffError

    with pytest.raises(CutOffError):
        online_world.run(world, "ppo", "late-cut", cut_off, steps=6)
    place = RunFolder(world / "runs" / "late-cut")
    assert place.checkpoint().name == "checkpoint-4"  # of a step whose rate was half the first's
    online_world.run(world, "ppo", "late-cut", steps=6)
    whole = weights(online_world.run(world, "ppo", "late-whole", steps=6))
    assert all(torch.equal(whole[name], weight) for name, weight in weights(place).items())


def test_a_finished_run_is_not_trained_again_and_another_is_refused(world):
    done = online_world.run(world, "ppo", "once", steps=1)
    before = done.model.stat().st_mtime_ns
    online_world.run(world, "ppo", "once", steps=1)
    assert done.model.stat().st_mtime_ns == before
    online_world.run(world, "ppo", "once", steps=1, microbatch_size=1)  # memory: not another run
    with pytest.raises(BadInput, match=r"another \[train\] ppo.steps;"):
        online_world.run(world, "ppo", "once", steps=2)


@pytest.mark.parametrize("method", ["ppo", "rloo"])
def test_adapters_are_trained_and_merged_into_a_plain_model(world, method):
    place = online_world.run(world, method, f"{method}-lora", lora=True, steps=2)
    model = AutoModelForCausalLM.from_pretrained(place.model)
    start = AutoModelForCausalLM.from_pretrained(world / "start")
    changed = {
        name for name, weight in model.named_parameters()
        if not torch.equal(weight, start.get_parameter(name))
    }  # fmt: skip
    assert changed
    assert not any("embed" in name for name in changed)  # adapters sit on the linear layers


class CutOffError(Exception):
    """The run ends here."""


def test_an_adapter_goes_on_from_its_checkpoint(world):
    def cut_off(step, n_steps):
        if step == 3:
            raise CutOffError

    with pytest.raises(CutOffError):
        online_world.run(world, "ppo", "lora-cut", cut_off, lora=True, steps=4)
    place = RunFolder(world / "runs" / "lora-cut")
    kept = torch.load(place.checkpoint() / "weights.pt", weights_only=True)["model"]
    assert kept
    assert all("lora_" in name or "score" in name for name in kept)  # nothing frozen
    online_world.run(world, "ppo", "lora-cut", lora=True, steps=4)
    whole = weights(online_world.run(world, "ppo", "lora-whole", lora=True, steps=4))
    assert all(torch.equal(whole[name], weight) for name, weight in weights(place).items())


def test_a2c_uses_each_sample_once_and_clips_nothing(killed):
    place = RunFolder(killed / "runs" / "a2c-killed")
    assert {point["clip_fraction"] for point in read_curves(place.path)} == {0.0}
    assert place.asked()["settings"]["ppo"]["passes"] == 1


def test_the_constrained_variant_raises_the_price_while_there_are_too_many(world):
    (world / "always.py").write_text("def yes(p, r):\n    return [1.0] * len(r)\n")
    place = online_world.run(
        world, "ppo", "bounded", steps=3,
        violation="always.py:yes", violation_bound=0.2, multiplier_rate=0.5,
    )  # fmt: skip
    points = read_curves(place.path)
    assert [p["violation_rate"] for p in points] == [1.0, 1.0, 1.0]
    assert [p["multiplier"] for p in points] == pytest.approx([0.0, 0.4, 0.8])


def test_looks_compare_with_the_start_by_the_held_out_judge(world):
    for method in ("ppo", "rloo"):
        place = online_world.run(
            world, method, f"{method}-watched", steps=2, passes=1,
            watch="pipelines.sandbox.rewards:watch", watch_every=2,
        )  # fmt: skip
        looks = [p for p in read_curves(place.path) if "held_out_reward" in p]
        assert [p["step"] for p in looks] == [2]
        assert looks[0]["held_out_n"] == 8  # the held-out prompts
        assert 0.0 <= looks[0]["held_out_win_rate"] <= 1.0
        start = json.loads((place.path / "watch_start.json").read_text())["scores"]
        assert len(start) == 8
        assert place.result()["warnings"] == []


def test_looks_at_training_prompts_are_not_called_held_out(world):
    place = online_world.run(
        world, "ppo", "seen", data="prompts/train.jsonl", steps=2, passes=1, watch_every=1,
        watch="pipelines.sandbox.rewards:watch",
    )  # fmt: skip
    points = read_curves(place.path)
    assert [point["seen_n"] for point in points] == [20.0, 20.0]
    assert 0.0 <= points[-1]["seen_win_rate"] <= 1.0
    assert not any("held_out" in name for point in points for name in point)
    assert [look.n for look in watched_in(points)] == [20, 20]
    asked = online_world.settings("ppo", watch_every=1)
    for data, seen in (("prompts/train.jsonl", True), ("prompts", False)):
        prepared = prepare_online("ppo", asked, world, world / data)
        assert prepared.watches_training_prompts == seen


def test_a_held_out_win_rate_counts_ties_half_and_failures_not_at_all():
    nan = float("nan")
    assert win_rate([1, 2, 3, nan], [0, 2, 4, 0]) == pytest.approx(0.5)
    assert win_rate([nan], [0]) != win_rate([nan], [0])


def test_when_the_judge_fails_the_run_is_kept_and_goes_on(world):
    section = {"constitution": "", "shaping": 0.0, "judge": "some"}
    fails = {"left": 3}

    def judge(prompts, responses):
        fails["left"] -= 1
        if fails["left"] == 0:
            raise ServiceFailed("the server is gone")
        return [float(len(text)) / 100 for text in responses]

    def prepared():
        chosen = online_world.settings("ppo", **section)
        return prepare_online(
            "ppo", chosen, world, world / "prompts", lambda name: Scorer(judge, name)
        )

    place = RunFolder(world / "runs" / "judged")
    with pytest.raises(ServiceFailed):
        train_online(prepared(), place)
    assert place.checkpoint().name == "checkpoint-2"
    kept = (place.checkpoint() / "weights.pt").stat()
    fails["left"] = 1
    with pytest.raises(ServiceFailed):
        train_online(prepared(), place)
    again = (place.checkpoint() / "weights.pt").stat()
    # The only copy there is was not taken away to be written anew.
    assert (again.st_ino, again.st_mtime_ns) == (kept.st_ino, kept.st_mtime_ns)
    result = train_online(prepared(), place)
    assert result["steps"] == 5
    assert result["judge"] > 0
    # What the run's folder says is enough to know the judge again when it evaluates.
    assert lineage_of(place.path, world).judges == {"some": ("judged",)}


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ({"constitution": "", "shaping": 0.0}, "nothing to be rewarded for"),
        ({"reward_model": "x", "judge": "y"}, "leave one out"),
        ({"shaping": 0.0}, "alone with shaping = 0"),
        ({"constitution": "", "reward_model": "x"}, "and no constitution"),
        ({"violation_bound": 0.1}, "names no function violation"),
        ({"violation": "judge:y"}, "violation is a judge"),
        ({"watch": "judge:y"}, "watch_every = 0"),
        ({"constitution": "", "shaping": 0.0, "judge": "y"}, "there are none here"),
        ({"max_new_tokens": 64}, "no room for a prompt"),
        ({"reward_model": "start"}, "start: is no reward model"),
    ],
)
def test_settings_that_do_not_fit_are_named_before_anything_is_loaded(world, section, why):
    chosen = online_world.settings("ppo", **section)
    with pytest.raises(BadInput, match=why):
        prepare_online("ppo", chosen, world, world / "prompts")


def test_the_learning_rate_warms_up_and_falls_as_the_schedule_says():
    def rates(schedule):
        settings = TrainSettings(schedule=schedule, warmup_share=0.2)
        return [scheduled(settings, step, 10) for step in range(10)]

    assert rates("constant") == [0.5, *[1.0] * 9]
    assert rates("linear")[:4] == pytest.approx([0.5, 1.0, 1.0, 7 / 8])
    assert rates("linear")[-1] == pytest.approx(1 / 8)
    assert rates("cosine")[6] == pytest.approx(0.5)  # half of the eight steps after warm-up
