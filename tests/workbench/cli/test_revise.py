"""`workbench revise`, the real command, against the real server of simulated models."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.config import RunConfig
from pipelines.errors import BadInput
from pipelines.importing import import_file
from pipelines.sandbox.world import Situation, draw_reply, draw_situation, faults, find_situation
from workbench.project import Project
from workbench.revising import set_up

DATA = Path(__file__).parents[3] / "data"
CRITIC_SKILL, REVISER_SKILL = 0.8, 0.7
N_RESPONSES = 180

TRAITS = f"""
[models.simulated-critic]
skill = {CRITIC_SKILL}

[models.simulated-reviser]
skill = {REVISER_SKILL}

[models.simulated-mumbler]
malformed_rate = 0.5

[models.simulated-slow]
latency_ms = 20

[models.simulated-broken]
error_rate = 1.0
"""


@dataclass
class World:
    """A server of simulated models."""

    url: str
    folder: Path

    def project(self, name: str, critic: str, reviser: str, **settings: object) -> Path:
        """A project whose [revise] asks these models."""
        folder = self.folder / name
        Project.create(folder)
        rules = (DATA / "helpdesk" / "constitution.toml").read_text(encoding="utf-8")
        (folder / "constitution.toml").write_text(rules, encoding="utf-8")
        lines = [f"[revise]\ncritic = {critic!r}\nreviser = {reviser!r}\nsource = 'replies.jsonl'"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        for model in {critic, reviser}:
            lines.append(
                f"[[models]]\nname = {model!r}\nmodel = 'simulated-{model}'\n"
                f"base_url = '{self.url}'\nretries = 1\nconcurrency = 16"
            )
        (folder / "project.toml").write_text("\n".join(lines))
        return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """`workbench sandbox serve`, in a process of its own."""
    folder = tmp_path_factory.mktemp("revise")
    (folder / "traits.toml").write_text(TRAITS)
    server = subprocess.Popen(
        command("sandbox", "serve", "--port", "0", "--traits", str(folder / "traits.toml")),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        found = re.search(r"http://\S+/v1", server.stdout.readline())
        assert found is not None
        yield World(found.group(), folder)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(120)
        if server.stdout is not None:
            server.stdout.close()


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "workbench.cli", *words]


def revise(folder: Path, *options: str, code: int = 0) -> str:
    done = subprocess.run(
        command("revise", "--project", str(folder), *options),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if not code else done.stderr


def write_replies(folder: Path, n: int, kind: str = "harm", seed: int = 5) -> None:
    """Replies to hostile messages, each fault planted with probability 0.5."""
    rng, lines, seen = random.Random(seed), list[str](), set[str]()
    while len(lines) < n:
        situation = draw_situation(rng)
        if situation.kind == kind and situation.text not in seen:
            seen.add(situation.text)  # the models' draws hang on it: each is independent
            reply = draw_reply(situation, rng, 0.5)
            row = {"id": f"r{len(lines)}", "prompt": situation.text, "response": reply}
            lines.append(json.dumps(row))
    (folder / "replies.jsonl").write_text("\n".join(lines) + "\n")


def situation_of(prompt: str) -> Situation:
    found = find_situation(prompt)
    assert found is not None
    return found


def trajectories(folder: Path) -> list[dict]:
    path = folder / "runs" / "revise" / "trajectories.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def log_lines(folder: Path) -> list[dict]:
    path = folder / "runs" / "revise" / "log.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def test_true_violations_fall_by_what_the_critics_skill_predicts(world):
    """A fault goes when the critic sees it (s = 0.8) and the reviser can mend it (r = 0.7).

    In this world a critic that overlooked a sentence once always does, and a reviser that could not
    mend a fault never can; so three rounds find no more than one, and of every kind of fault the
    share s r = 0.56 goes, each independently of the others. False alarms (1 - s) cost revisions
    that change nothing, since the reviser then finds nothing to mend. So of n planted faults the
    number mended is binomial(n, 0.56), and the share left 0.44.
    """
    folder = world.project("skill", "critic", "reviser")
    write_replies(folder, N_RESPONSES)
    said = json.loads(revise(folder, "--json"))
    before, after, n_bad = 0, 0, [0, 0]
    predicted_bad = variance_bad = 0.0
    for one in trajectories(folder):
        situation = situation_of(one["response"]["prompt"])
        first, last = (faults(situation, text) for text in (one["response"]["text"], one["final"]))
        assert last <= first  # nothing new is broken
        before, after = before + len(first), after + len(last)
        n_bad = [n_bad[0] + bool(first), n_bad[1] + bool(last)]
        p_clean = (CRITIC_SKILL * REVISER_SKILL) ** len(first)
        predicted_bad += 1 - p_clean
        variance_bad += p_clean * (1 - p_clean)
    mended, p = before - after, CRITIC_SKILL * REVISER_SKILL
    assert before > 150
    assert abs(mended - before * p) < 3.3 * (before * p * (1 - p)) ** 0.5  # 1 in 1,000 by chance
    # ... and of the responses with any fault at all:
    assert abs(n_bad[1] - predicted_bad) < 3.3 * variance_bad**0.5
    assert n_bad[0] > 1.5 * n_bad[1]
    # The critic's own figures stand in the statistics, with n and interval.
    harmless = next(
        one for one in said["statistics"]["principles"] if one["principle"] == "harmless"
    )
    assert harmless["before"]["n"] == N_RESPONSES
    assert harmless["change"]["high"] < 0
    assert said["run"]["n_done"] == N_RESPONSES


def test_outputs_hold_what_the_critic_vouches_for_and_can_be_imported(world):
    folder = world.project("outputs", "critic", "reviser", formats=["trl", "kto", "jsonl"])
    write_replies(folder, 40)
    said = json.loads(revise(folder, "--json"))
    runs = folder / "runs" / "revise"
    rows = {
        name: [json.loads(line) for line in (runs / name).read_text().splitlines()]
        for name in ("sft.jsonl", "sft-critiques.jsonl", "pairs.jsonl", "exports/trl.jsonl",
                     "exports/kto.jsonl", "exports/jsonl.jsonl")
    }  # fmt: skip
    satisfied = [one for one in trajectories(folder) if one["ending"] == "satisfied"]
    assert [one["completion"][0]["content"] for one in rows["sft.jsonl"]] == [
        one["final"] for one in satisfied
    ]
    assert all(one["messages"][-1]["role"] == "assistant" for one in rows["sft-critiques.jsonl"])
    n_pairs = said["written"]["n_pairs"]
    assert n_pairs > 8
    assert sum(said["written"]["no_pair"].values()) + n_pairs == 40
    by_id = {one["response"]["id"]: one for one in trajectories(folder)}
    for pair in rows["pairs.jsonl"]:
        one = by_id[pair["id"].removeprefix("revised:")]
        better = pair["response_a" if pair["ai"][0]["label"] == "A" else "response_b"]
        assert better == one["final"]
    labels = [pair["ai"][0]["label"] for pair in rows["pairs.jsonl"]]
    assert 0 < labels.count("A") < n_pairs  # places say nothing
    assert len(rows["exports/trl.jsonl"]) == len(rows["exports/jsonl.jsonl"]) == n_pairs
    assert len(rows["exports/kto.jsonl"]) == 2 * n_pairs
    assert rows["exports/trl.jsonl"][0]["chosen"][0]["role"] == "assistant"
    project = Project.open(folder)
    summary = import_file(project.store, runs / "pairs.jsonl", RunConfig())
    assert summary.counts.taken == n_pairs


def test_a_killed_run_repeats_only_what_was_in_flight(world):
    folder = world.project("killed", "slow", "slow")
    write_replies(folder, 40)
    log = folder / "runs" / "revise" / "log.jsonl"
    first = subprocess.Popen(
        command("revise", "--project", str(folder)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not log.exists() or log.stat().st_size < 40_000):
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    kept = log.read_bytes()
    kept = kept[: kept.rindex(b"\n") + 1]
    assert 0 < kept.count(b'"trajectory"') < 40
    said = json.loads(revise(folder, "--json"))
    assert log.read_bytes().startswith(kept)  # nothing written is lost
    assert said["run"]["n_done"] == 40
    steps = [
        (line["id"], *line["step"]) for line in log_lines(folder) if line["kind"] == "step"
    ]  # fmt: skip
    assert len(steps) == len(set(steps))  # nothing answered was asked again
    manifest = json.loads((folder / "runs" / "revise" / "manifest.json").read_text())
    assert [run["ended"] for run in manifest["runs"]] == ["killed", "done"]
    assert manifest["spent"]["requests"] == len(steps)
    whole = world.project("whole", "slow", "slow")
    write_replies(whole, 40)
    revise(whole)
    assert trajectories(whole) == trajectories(folder)
    assert json.loads(revise(folder, "--json"))["run"]["spent"]["requests"] == 0


def test_what_cannot_be_read_is_counted_and_never_scored(world):
    folder = world.project("mumbles", "mumbler", "reviser")
    write_replies(folder, 30)
    statistics = json.loads(revise(folder, "--json"))["statistics"]
    n_unparsed = statistics["failures"]["critique"]["unparsed"]
    assert n_unparsed > 20
    assert statistics["n_asked_again"] > n_unparsed
    n_known = sum(one["before"]["n"] for one in statistics["principles"] if one["before"])
    first = [each for one in trajectories(folder) for each in one["rounds"][0]["critiques"]]
    assert n_known == sum("verdict" in each for each in first) < 30 * 7


def test_a_budget_of_requests_stops_it_and_the_next_run_goes_on(world):
    folder = world.project("budget", "critic", "reviser")
    write_replies(folder, 20)
    dry = json.loads(revise(folder, "--dry-run", "--json"))["revise"]
    assert (dry["n_pending"], dry["least_requests"]) == (20, 20 * 7)
    assert not (folder / "runs" / "revise" / "log.jsonl").exists()
    some = json.loads(revise(folder, "--max-requests", "50", "--json"))["run"]
    assert (some["ended"], some["spent"]["requests"]) == ("max_requests", 50)
    rest = json.loads(revise(folder, "--json"))["run"]
    assert (rest["ended"], rest["n_done"]) == ("done", 20)
    assert dry["least_requests"] < 50 + rest["spent"]["requests"] <= dry["most_requests"]


def test_a_service_that_fails_is_exit_code_3_and_can_be_asked_again(world):
    folder = world.project("broken", "broken", "broken")
    write_replies(folder, 3)
    assert "the service failed after retries" in revise(folder, code=3)
    text = (folder / "project.toml").read_text()
    good = text.replace("simulated-broken", "simulated-critic")
    (folder / "project.toml").write_text(good)
    assert json.loads(revise(folder, "--retry-failed", "--json"))["run"]["n_with_failures"] == 0
    done = trajectories(folder)
    (folder / "project.toml").write_text(re.sub(r"http://\S+/v1", "http://127.0.0.1:9/v1", good))
    assert "3 responses are pending" in revise(folder, "--max-iterations", "1", code=3)
    assert trajectories(folder) == done  # what an earlier run wrote stays


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "replies.jsonl").unlink(), "cannot be read"),
        (lambda folder: (folder / "replies.jsonl").write_text(""), "no responses to revise"),
        (
            lambda folder: (folder / "replies.jsonl").write_text('{"prompt": "x"}\n'),
            'replies.jsonl:1: "response" is missing',
        ),
        (lambda folder: (folder / "replies.jsonl").write_text("{\n"), "replies.jsonl:1: not JSON"),
        (
            lambda folder: (folder / "constitution.toml").write_text('name = "x"\nprinciples = []'),
            '"principles" is empty',
        ),
        (
            lambda folder: (folder / "project.toml").write_text(
                "[revise]\nsource = 'replies.jsonl'"
            ),
            "has no [[models]] section for the critic",
        ),
    ],
)
def test_bad_input_is_one_line(tmp_path, spoil, words):
    folder = World("http://127.0.0.1:9/v1", tmp_path).project("bad", "critic", "reviser")
    write_replies(folder, 2)
    spoil(folder)
    project = Project.open(folder)
    with pytest.raises(BadInput) as refusal:
        set_up(project, project.config.revise)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_mistake_at_the_command_line_is_exit_code_2(tmp_path):
    folder = World("http://127.0.0.1:9/v1", tmp_path).project("bad", "critic", "reviser")
    assert "cannot be read" in revise(folder, "nowhere.jsonl", code=2)
