"""`workbench judge` as its user runs it, with the shipped prompts against a real server."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from protocol_server import ServerHandle

from pipelines.agreement.annotations import NONE
from pipelines.preferences.combine import combine
from workbench.cli import main
from workbench.project import Project

N_PAIRS = 40

Run = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project of pairs without any verdicts."""
    from pipelines.importing import import_file

    project = Project.create(tmp_path / "project")
    pairs = tmp_path / "pairs.jsonl"
    rows = [
        {
            "id": f"p{k}",
            "prompt": f"Name river number {k}.",
            "response_a": f"The river number {k} is long." * (k % 5 + 1),
            "response_b": "No idea.",
        }
        for k in range(N_PAIRS)
    ]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    import_file(project.store, pairs, project.config)
    return project.dir


@pytest.fixture
def add_judge(folder: Path, protocol_server: ServerHandle) -> Callable[..., None]:
    """Writes a `[[judges]]` section."""

    def add(name: str, **keys: Any) -> None:
        section = {"name": name, "model": "m", "base_url": protocol_server.url, **keys}
        lines = [f"{key} = {json.dumps(value)}" for key, value in section.items()]
        with (folder / "project.toml").open("a") as config:
            config.write("\n".join(["[[judges]]", *lines, ""]))

    return add


@pytest.fixture
def workbench(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs `workbench judge ...` on the project: exit code, standard output and error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        command = ["workbench", "judge", *arguments, "--project", str(folder)]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as ended:
            main.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def test_a_dry_run_says_what_it_takes_and_asks_nothing(workbench, add_judge, protocol_server):
    add_judge("plain", usd_per_1m_input=10.0, usd_per_1m_output=30.0)
    add_judge("thinker", mode="cot+logprob", usd_per_1m_input=10.0, usd_per_1m_output=30.0)
    code, out, _ = workbench("--dry-run", "--json")
    assert code == 0
    plain, thinker = json.loads(out)["judges"]
    assert protocol_server.stats()["requests"] == 0
    assert (plain["n_pending"], plain["n_requests"]) == (2 * N_PAIRS, 2 * N_PAIRS)
    assert thinker["n_requests"] == 4 * N_PAIRS
    assert thinker["most_usd"] > thinker["usd"] > plain["usd"] > 0
    _, text, _ = workbench("--dry-run", "--budget-usd", "0.001")
    assert "the run stops before 0.00 (budget_usd)" in text
    assert "nothing asked" in text
    code, out, _ = workbench("plain", "--json")
    (run,) = json.loads(out)["judges"]
    assert code == 0
    # The guess knows the questions' length; the server counts 4 characters a token.
    assert plain["prompt_tokens"] == pytest.approx(run["spent"]["prompt_tokens"], rel=0.15)
    assert plain["usd"] == pytest.approx(run["spent"]["usd"], rel=0.15)


def test_a_dry_run_may_be_of_some_pairs_alone(workbench, add_judge, tmp_path):
    add_judge("plain")
    ids = tmp_path / "ids.txt"
    ids.write_text("p3\np5\n")
    code, out, _ = workbench("--dry-run", "--only", str(ids), "--json")
    assert (code, json.loads(out)["judges"][0]["n_pending"]) == (0, 4)


def test_a_judge_that_is_the_policy_or_no_larger_is_warned_about(
    workbench, add_judge, folder, tmp_path
):
    from pipelines.importing import import_file

    project = Project.open(folder)
    row = {"prompt": "q", "response_a": "a", "response_b": "b", "model_b": "acme-13b"}
    more = tmp_path / "more.jsonl"
    more.write_text(json.dumps({**row, "model_a": "org/Judge-7B"}) + "\n")
    import_file(project.store, more, project.config)
    add_judge("one", model="judge-7b")
    add_judge("big", model="giant")
    code, _, err = workbench("--dry-run")
    assert code == 0
    assert 'judge "one": the judge "judge-7b" is the policy that it labels' in err
    assert "(7B) is no larger than the policy" in err
    assert "giant" not in err
    config = folder / "project.toml"
    config.write_text(config.read_text().replace("sizes = {}", 'sizes = {"giant" = 3}'))
    assert 'the judge "giant" (3B) is no larger' in workbench("--dry-run")[2]


def test_judges_are_asked_and_their_labels_combine(workbench, add_judge, folder, protocol_server):
    add_judge("one")
    add_judge("two", mode="verdict")
    code, out, err = workbench()
    assert (code, err) == (0, "")
    assert f"one: {2 * N_PAIRS} of {2 * N_PAIRS} judged" in out
    annotations = Project.open(folder).store.annotations()
    assert annotations.judges == ("one", "two")
    for label in ("one", "two", "majority"):
        assert len(combine(annotations, label).label) == N_PAIRS
    assert protocol_server.stats()["requests"] == 4 * N_PAIRS
    code, out, _ = workbench()
    assert code == 0
    assert protocol_server.stats()["repeated"] == 0


def test_doubt_abstains_wherever_labels_are_combined_and_only_for_judges_of_the_run_file(
    workbench, add_judge, folder, protocol_server
):
    from workbench.audit.options import draw_options
    from workbench.audit.population import ABSTAINED, read_population
    from workbench.export.material import gather
    from workbench.export.report import project_report

    add_judge("one", abstain_below=0.5)
    workbench()
    sure = combine(Project.open(folder).annotations(), "one")
    assert sure.n_abstained == 0
    config = folder / "project.toml"
    middle = float(np.median(np.maximum(sure.p_a, 1.0 - sure.p_a)))
    text = config.read_text().rsplit("abstain_below = 0.5", 1)
    config.write_text(f"abstain_below = {middle}".join(text))
    opened = Project.open(folder)
    unsure = combine(opened.annotations(), "one")
    assert 0 < unsure.n_unsure == unsure.n_abstained < N_PAIRS
    population = read_population(opened, "one", draw_options(opened).safety_rule)
    assert (population.reason == ABSTAINED).sum() == unsure.n_unsure
    evidence = gather(opened, None, None).evidence
    assert (evidence.ai_label == NONE).sum() == unsure.n_unsure
    assert project_report(opened)["judges"]["one"]["n_unsure"] == unsure.n_unsure
    # Nothing is asked again, and verdicts of a judge without a section mean what they say.
    protocol_server.reset()
    assert workbench()[0] == 0
    assert protocol_server.stats()["requests"] == 0
    config.write_text(config.read_text().split("[[judges]]\nname")[0])
    assert combine(Project.open(folder).annotations(), "one").n_abstained == 0


def test_another_prompt_asks_that_judge_alone_again(workbench, add_judge, folder, protocol_server):
    add_judge("one", preamble="basic")
    add_judge("two", preamble="basic", mode="verdict")
    workbench()
    protocol_server.reset()
    config = folder / "project.toml"
    sections = config.read_text().rsplit("[[judges]]", 1)
    config.write_text("[[judges]]".join([sections[0], sections[1].replace("basic", "detailed")]))
    _, out, _ = workbench("--json")
    one, two = json.loads(out)["judges"]
    assert (one["n_new"], two["n_new"]) == (0, 2 * N_PAIRS)
    assert protocol_server.stats()["requests"] == 2 * N_PAIRS


def test_a_broken_service_is_exit_code_3_and_failures_run_again(
    workbench, add_judge, protocol_server
):
    add_judge("one", mode="verdict", retries=0)
    protocol_server.set(faults=[{"kind": "garbage", "match": "river number 7."}])
    code, out, err = workbench("one")
    assert code == 3
    assert "failed: 2 error" in out
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert "the service failed after retries" in err
    assert "--retry-failed" in err
    protocol_server.set(faults=[])
    code, out, _ = workbench("one", "--json")
    assert (code, json.loads(out)["judges"][0]["n_new"]) == (0, 0)
    code, out, _ = workbench("one", "--json", "--retry-failed")
    (run,) = json.loads(out)["judges"]
    assert (code, run["n_new"], run["failed"]) == (0, 2, {})


def test_bounds_stop_cleanly_and_say_so(workbench, add_judge):
    add_judge("one")
    code, out, _ = workbench("--max-requests", "30")
    assert code == 0
    assert "stopped at max_requests: 30 new" in out
    assert "50 pending" in out
    assert "run it again to go on" in out
    add_judge("dear", usd_per_1m_input=1000.0, usd_per_1m_output=1000.0)
    code, out, _ = workbench("dear", "--budget-usd", "2")
    assert "stopped at budget_usd" in out


@pytest.mark.parametrize(
    ("arguments", "judge", "says"),
    [
        ((), None, "has no [[judges]]"),
        (("nobody",), {}, 'no judge "nobody" in project.toml; there are: one'),
        ((), {"base_url": "http://models.example/v1"}, "has no price"),
        ((), {"api_key_env": "NO_SUCH_KEY_HERE"}, "NO_SUCH_KEY_HERE is not set"),
        ((), {"template": "nothing"}, 'template "nothing" is no file'),
        ((), {"engine": "labeler"}, "no labeler"),
        (("--only", "nowhere.txt"), {}, "cannot be read as a list of ids"),
        (("--max-requests", "0"), {}, None),
    ],
)
def test_what_cannot_run_is_exit_code_2_in_one_sentence(
    workbench, add_judge, protocol_server, arguments, judge, says
):
    if judge is not None:
        add_judge("one", **judge)
    code, out, err = workbench(*arguments)
    assert (code, out) == (2, "")
    if says is not None:
        assert says in err
        assert err.count("\n") == 1
    assert protocol_server.stats()["requests"] == 0


def test_a_project_without_pairs_says_what_to_do_first(add_judge, tmp_path, monkeypatch, capsys):
    add_judge("one")
    empty = Project.create(tmp_path / "empty")
    text = (tmp_path / "project" / "project.toml").read_text()
    (empty.dir / "project.toml").write_text(text)
    monkeypatch.setattr(sys, "argv", ["workbench", "judge", "--project", str(empty.dir)])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 2
    assert "run `workbench import FILE` first" in capsys.readouterr().err


def test_batches_go_out_and_come_back(workbench, add_judge, folder, tmp_path, protocol_server):
    add_judge("one", mode="verdict", usd_per_1m_input=1.0, usd_per_1m_output=1.0)
    code, out, _ = workbench("export-batch", "one", str(tmp_path / "batch"))
    assert code == 0
    assert f"{2 * N_PAIRS} requests of {2 * N_PAIRS} judgments" in out
    (file,) = (tmp_path / "batch").iterdir()
    text = "Reasons.\n\nWinner: A\nConfidence: 0.9"
    body = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
    answers = [
        {
            "custom_id": json.loads(line)["custom_id"],
            "response": {"status_code": 200, "body": body},
            "error": None,
        }
        for line in file.read_text().splitlines()
    ]
    back = tmp_path / "answers.jsonl"
    back.write_text("".join(json.dumps(answer) + "\n" for answer in answers))
    code, out, _ = workbench("import-batch", "one", str(back))
    assert code == 0
    assert f"{2 * N_PAIRS} judged, 0 failed" in out
    assert protocol_server.stats()["requests"] == 0
    # The first one shown always wins: the two orders disagree, so every pair is a tie.
    combined = combine(Project.open(folder).store.annotations(), "one")
    assert set(combined.p_a) == {0.5}


def start(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "workbench.cli", "judge", "--project", str(folder)],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(server: ServerHandle, n_requests: int, child: "subprocess.Popen[str]") -> None:
    while server.stats()["requests"] < n_requests and child.poll() is None:
        time.sleep(0.02)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_and_nothing_asked_is_lost(
    kind, workbench, add_judge, folder, protocol_server
):
    add_judge("one", concurrency=4)
    protocol_server.set(delay_s=0.1)
    child = start(folder)
    wait_for(protocol_server, 8, child)
    child.send_signal(kind)
    out, err = child.communicate(timeout=20)
    assert child.returncode == 130
    assert "interrupted" in out
    assert "Traceback" not in err
    protocol_server.set(delay_s=0.0)
    code, out, _ = workbench("--json")
    assert (code, json.loads(out)["judges"][0]["n_judged"]) == (0, 2 * N_PAIRS)
    assert protocol_server.stats()["repeated"] == 0


def test_two_runs_at_once_the_second_says_so(workbench, add_judge, folder, protocol_server):
    add_judge("one", concurrency=1)
    protocol_server.set(delay_s=0.2)
    child = start(folder)
    wait_for(protocol_server, 1, child)
    code, _, err = workbench()
    assert code == 2
    assert f"(process {child.pid})" in err
    child.kill()
    child.communicate()
    protocol_server.set(delay_s=0.0)
    assert workbench()[0] == 0  # the lock of a killed process is free


def test_a_torn_log_is_a_warning_not_an_error(workbench, add_judge, folder):
    add_judge("one")
    workbench()
    log = folder / "runs" / "judge" / "one" / "judgments.jsonl"
    log.write_bytes(log.read_bytes()[:-7])
    code, _, err = workbench()
    assert code == 0
    assert "last line was torn" in err
