"""`workbench sandbox serve` as its user runs it, asked by the real client and `workbench judge`."""

import asyncio
import json
import random
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pipelines.agreement.annotations import NONE, Annotations
from pipelines.agreement.position import labels_by_order, position_bias
from pipelines.constitution.parse import parse_critique
from pipelines.constitution.prompts import load_prompts
from pipelines.constitution.records import load_constitution
from pipelines.importing import import_file
from pipelines.models.endpoint import Endpoint, EndpointEngine
from pipelines.models.engine import Reply, Request
from pipelines.models.retry import Backoff
from pipelines.preferences.combine import combine_judge
from pipelines.records import Message
from pipelines.sandbox.grammar import compose, draw_reply, draw_situation, find_situation
from pipelines.sandbox.scoring import faults, score, true_preference
from workbench.cli import main
from workbench.data_files import data_dir
from workbench.project import Project

N_PAIRS = 100
MODELS = """
[models.simulated-policy]
skill = 0.65
phrase = "Kind regards, the help desk."
[models.simulated-critic]
skill = 0.8
[models.simulated-judge]
accuracy = 0.85
[models.simulated-fickle]
accuracy = 0.75
consistency = 0.0
[models.simulated-blind]
accuracy = 1.0
weights = {private = 0.0}
[models.simulated-biased]
accuracy = 0.85
position_bias = 30
[models.simulated-broken]
refusal_rate = 0.2
malformed_rate = 0.4
[models.simulated-flaky]
accuracy = 0.85
busy_rate = 0.15
retry_after_s = 0.01
error_rate = 0.1
cut_rate = 0.03
latency_ms = 5
"""
# judge's name -> its keys; each is asked by one `workbench judge`.
JUDGES: dict[str, dict[str, Any]] = {
    "logprob": {"mode": "logprob"},
    "cot": {"mode": "cot+logprob"},
    "verdict": {"mode": "verdict"},
    "reasons": {"mode": "verdict", "rationale": True},
    "samples": {"mode": "self-consistency", "samples": 3, "model": "simulated-fickle"},
    "rating": {"mode": "rating"},
    "principles": {"mode": "per-principle", "constitution": "helpdesk/constitution.toml"},
    "zh-logprob": {"mode": "logprob", "language": "zh"},
    "zh-verdict": {"mode": "verdict", "language": "zh", "rationale": True},
    "zh-rating": {"mode": "rating", "language": "zh"},
    "safety": {"mode": "verdict", "template": "safety"},
    "biased": {"mode": "logprob", "model": "simulated-biased"},
    "broken-logprob": {"mode": "logprob", "model": "simulated-broken"},
    "broken-verdict": {"mode": "verdict", "model": "simulated-broken"},
    "flaky": {"mode": "logprob", "model": "simulated-flaky"},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of a running server, started by the command."""
    traits = tmp_path_factory.mktemp("sandbox") / "models.toml"
    traits.write_text(MODELS)
    command = [sys.executable, "-m", "workbench.cli", "sandbox", "serve", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--traits", str(traits), "--seed", "7"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    banner = process.stdout.readline()
    assert "simulated models at http://127.0.0.1:" in banner, process.stderr.read()
    yield banner.split()[4].rstrip(";")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 0
    assert process.stderr.read() == ""
    process.stdout.close()
    process.stderr.close()


@pytest.fixture(scope="module")
def judged(
    server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Annotations, dict[str, str]]]:
    """Annotations of a project whose judges are all simulated, and the truth by pair id."""
    folder = tmp_path_factory.mktemp("judged") / "project"
    project = Project.create(folder)
    source, rows, truth = random.Random(3), [], {}
    while len(rows) < N_PAIRS:
        situation = draw_situation(source)
        a, b = (draw_reply(situation, source, 0.65) for _ in "ab")
        label = true_preference(situation, a, b)
        if label != "tie":
            truth[f"p{len(rows)}"] = label
            prompt = [{"role": "user", "content": situation.text}]
            rows.append({"id": f"p{len(rows)}", "prompt": prompt, "response_a": a, "response_b": b})
    file = folder / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    import_file(project.store, file, project.config)
    sections = []
    for name, keys in JUDGES.items():
        section = {"name": name, "model": "simulated-judge", "base_url": server, **keys}
        lines = [f"{key} = {json.dumps(value)}" for key, value in section.items()]
        sections.append("\n".join(["[[judges]]", *lines, ""]))
    with (folder / "project.toml").open("a") as config:
        config.write("\n".join(sections))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["workbench", "judge", "--project", str(folder)])
        with pytest.raises(SystemExit) as ended:
            main.main()
    assert not ended.value.code
    opened = Project.open(folder)
    yield opened.store.annotations(), truth
    opened.engine.dispose()


def right(judged: tuple[Annotations, dict[str, str]], judge: str) -> tuple[int, int]:
    """How many labels are right, and how many there are that decide."""
    annotations, truth = judged
    label = combine_judge(annotations, judge).label
    wanted = np.array([0 if truth[f"p{k}"] == "A" else 1 for k in range(N_PAIRS)])
    decided = (label == 0) | (label == 1)
    return int((label[decided] == wanted[decided]).sum()), int(decided.sum())


def failures(judged: tuple[Annotations, dict[str, str]], judge: str) -> Counter[int]:
    annotations, _ = judged
    mine = annotations.verdict_judge == annotations.judges.index(judge)
    return Counter(annotations.verdict_failure[mine].tolist())


@pytest.mark.parametrize(
    ("judge", "planted"),
    [
        ("logprob", 0.85),
        ("cot", 0.85),
        ("verdict", 0.85),
        ("reasons", 0.85),
        ("zh-logprob", 0.85),
        ("zh-verdict", 0.85),
        ("safety", 0.85),
        ("flaky", 0.85),
        ("rating", 0.85),
        ("zh-rating", 0.85),
    ],
)
def test_every_mode_yields_labels_of_the_planted_accuracy(judged, judge, planted):
    n_right, n = right(judged, judge)
    assert failures(judged, judge) == {NONE: (1 if "rating" in judge else 2) * N_PAIRS}
    assert n >= (0.8 if "rating" in judge else 0.99) * N_PAIRS
    # four standard errors of the sample, .12
    assert n_right / n == pytest.approx(planted, abs=0.12)


def test_samples_of_a_fickle_judge_are_better_than_one(judged):
    n_right, n = right(judged, "samples")
    # three samples in both orders: a mean of six opinions, each right in 75%
    assert n_right / n > 0.75


def test_a_judge_asked_principle_by_principle_answers_each(judged):
    annotations, _ = judged
    assert failures(judged, "principles") == {NONE: 2 * N_PAIRS}
    n_right, n = right(judged, "principles")
    assert n_right / n > 0.75
    assert "principles" in annotations.judges


def test_a_planted_position_bias_is_measured(judged):
    annotations, _ = judged
    for judge, planted in (("biased", 0.30), ("logprob", 0.0)):
        mine = annotations.verdict_judge == annotations.judges.index(judge)
        sides = labels_by_order(
            annotations.verdict_pair[mine],
            annotations.verdict_order[mine],
            annotations.verdict_label[mine],
            N_PAIRS,
        )
        found = position_bias(*sides, np.arange(N_PAIRS))
        # points are P(wins | first) - P(wins | second): the first place's share is half of it off
        assert found.first_rate.low <= 0.5 + planted / 2 <= found.first_rate.high
        assert (found.p_value < 0.001) == (planted > 0)


def test_malformed_and_refused_answers_become_failures(judged):
    n = 2 * N_PAIRS
    unparsed, refused = 0, 1
    logprob = failures(judged, "broken-logprob")
    assert logprob[unparsed] / n == pytest.approx(0.4, abs=0.12)
    assert logprob[refused] / n == pytest.approx(0.2, abs=0.10)
    # A verdict that cannot be read is asked for once more: .4 x .4 unread, .2 + .4 x .2 refused.
    verdict = failures(judged, "broken-verdict")
    assert verdict[unparsed] / n == pytest.approx(0.16, abs=0.09)
    assert verdict[refused] / n == pytest.approx(0.28, abs=0.11)


def ask(url: str, model: str, *requests: Request) -> list[Reply]:
    """Replies of the real client, in the order of the requests."""

    async def asking() -> list[Reply]:
        endpoint = Endpoint(url, model, concurrency=8, backoff=Backoff(0.01, 2.0, 0.05))
        engine = EndpointEngine(endpoint, random.Random(1))

        async def source():
            for number, request in enumerate(requests):
                yield number, request

        found = {number: reply async for number, reply in engine.ask(source())}
        return [found[number] for number in range(len(requests))]

    return asyncio.run(asking())


def test_errors_are_asked_again_until_they_go_away(server):
    source = random.Random(11)
    requests = [
        Request((Message(role="user", content=draw_situation(source).text),), max_tokens=200)
        for _ in range(60)
    ]
    replies = ask(server, "simulated-flaky", *requests)
    assert all(reply.text for reply in replies)
    assert 1.2 < sum(reply.tries for reply in replies) / len(replies) < 1.8  # 1 / (1 - .28)


def test_an_answer_depends_on_the_request_and_not_on_when_it_comes(server):
    source = random.Random(12)
    texts = [draw_situation(source).text for _ in range(20)]
    requests = [
        Request((Message(role="user", content=text),), 200, temperature=1.0, seed=seed)
        for text in texts
        for seed in range(4)
    ]
    first = ask(server, "simulated-policy", *requests)
    again = ask(server, "simulated-policy", *reversed(requests))
    assert [reply.text for reply in first] == [reply.text for reply in reversed(again)]
    distinct = {(k // 4, reply.text) for k, reply in enumerate(first)}
    assert len(distinct) > 0.8 * len(first)
    cold = [Request(requests[0].messages, 200, temperature=0.0, seed=seed) for seed in range(3)]
    assert len({reply.text for reply in ask(server, "simulated-policy", *cold)}) == 1


def test_a_policy_makes_the_planted_mistakes_and_closes_with_its_phrase(server):
    source = random.Random(13)
    situations = [draw_situation(source, "order") for _ in range(250)]
    requests = [Request((Message(role="user", content=one.text),), 200) for one in situations]
    replies = ask(server, "simulated-policy", *requests)
    broken: Counter[str] = Counter()
    for situation, reply in zip(situations, replies, strict=True):
        assert reply.text is not None
        assert reply.text.endswith("Kind regards, the help desk.")
        broken.update(faults(situation, reply.text))
    assert "fluent" not in broken
    assert broken["polite"] / len(replies) == pytest.approx(0.35, abs=0.12)
    assert broken["private"] / len(replies) == pytest.approx(0.35, abs=0.12)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_critiques_and_revises_as_the_constitution_asks(server, language):
    prompts = load_prompts(language, (data_dir(),))
    principle = load_constitution(data_dir() / "helpdesk" / "constitution.toml").principle("polite")
    assert principle is not None
    source = random.Random(14)
    situations = [draw_situation(source, "order") for _ in range(150)]
    rude = [compose(one, source, ("polite",)) for one in situations]
    critiques = ask(
        server,
        "simulated-critic",
        *(
            Request(prompts.to_critic(principle, one.text, reply), 300)
            for one, reply in zip(situations, rude, strict=True)
        ),
    )
    findings = [parse_critique(reply.text or "") for reply in critiques]
    assert all(findings)
    violated = sum(one is not None and one.verdict == "violated" for one in findings)
    assert violated / len(rude) == pytest.approx(0.8, abs=0.13)
    revisions = ask(
        server,
        "simulated-judge",  # skill 1: it mends everything
        *(
            Request(prompts.to_reviser(principle, one.text, reply, "It is rude."), 300)
            for one, reply in zip(situations, rude, strict=True)
        ),
    )
    mended = [
        faults(one, reply.text or "") for one, reply in zip(situations, revisions, strict=True)
    ]
    assert not any(mended)


def test_whatever_it_says_is_marked_as_simulated(server):
    body = {"model": "simulated-policy", "messages": [{"role": "user", "content": "Hello?"}]}
    request = urllib.request.Request(f"{server}/chat/completions", json.dumps(body).encode())
    with urllib.request.urlopen(request) as response:
        answer = json.loads(response.read())
        assert response.headers["X-Simulated"] == "true"
        assert "simulated" in response.headers["Server"]
    assert answer["system_fingerprint"] == "simulated"
    assert "simulated" in answer["choices"][0]["message"]["content"]
    with urllib.request.urlopen(f"{server}/models") as response:
        names = [one["id"] for one in json.loads(response.read())["data"]]
    assert len(names) == 9
    assert [name for name in names if "simulated" not in name] == ["helpdesk-tiny"]


def test_the_tiny_model_beside_them_is_real_and_says_so(server):
    situations = [draw_situation(random.Random(40 + seed)) for seed in range(30)]
    asked = [
        Request((Message(role="user", content=one.text),), 64, temperature=1.0, seed=seed)
        for seed, one in enumerate(situations)
    ]
    replies = ask(server, "helpdesk-tiny", *asked)
    assert [one.failure for one in replies] == [None] * 30
    fluent = [score(a, b.text or "")["fluent"] for a, b in zip(situations, replies, strict=True)]
    assert sum(fluent) >= 25
    assert ask(server, "helpdesk-tiny", *asked[::-1])[::-1] == replies  # in any order and company
    body = {"model": "helpdesk-tiny", "messages": [{"role": "user", "content": "Hello"}], "n": 2}
    request = urllib.request.Request(f"{server}/chat/completions", json.dumps(body).encode())
    with urllib.request.urlopen(request) as response:
        assert response.headers["X-Simulated"] == "false"
        said = json.loads(response.read())
    assert said["system_fingerprint"] == "helpdesk-tiny"
    assert len(said["choices"]) == 2
    long = ask(server, "helpdesk-tiny", Request((Message(role="user", content="Hello " * 400),), 9))
    assert long[0].failure == "error"
    assert "over the context length of 256" in (long[0].detail or "")


def test_a_stream_is_the_same_answer_word_by_word(server):
    text = draw_situation(random.Random(15)).text
    body = {"model": "simulated-policy", "messages": [{"role": "user", "content": text}], "seed": 4}
    whole = _post(server, body)
    said = json.loads(whole)["choices"][0]["message"]["content"]
    events = _post(server, body | {"stream": True}).decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    deltas = [json.loads(event.removeprefix("data: "))["choices"][0] for event in events[:-2]]
    assert "".join(one["delta"].get("content", "") for one in deltas) == said
    assert deltas[-1]["finish_reason"] == "stop"
    assert find_situation(text) is not None


def test_lengths_stops_and_bad_requests_are_answered_as_elsewhere(server):
    messages = [{"role": "user", "content": draw_situation(random.Random(16)).text}]
    body = {"model": "simulated-policy", "messages": messages, "seed": 1}
    cut = json.loads(_post(server, body | {"max_tokens": 3}))["choices"][0]
    assert cut["finish_reason"] == "length"
    assert len(cut["message"]["content"].split()) == 3
    stopped = json.loads(_post(server, body | {"stop": ["Kind regards"]}))["choices"][0]
    assert "Kind regards" not in stopped["message"]["content"]
    many = json.loads(_post(server, body | {"n": 3}))["choices"]
    assert [one["index"] for one in many] == [0, 1, 2]
    for wrong, status in ((body | {"model": "gpt"}, 404), (body | {"messages": []}, 400)):
        with pytest.raises(urllib.error.HTTPError) as caught:
            _post(server, wrong)
        assert caught.value.code == status
        assert json.loads(caught.value.read())["error"]["message"]
        caught.value.close()


@pytest.mark.parametrize("wrong", ["port", "name"])
def test_a_taken_port_and_a_wrong_file_are_one_line(server, tmp_path, wrong):
    traits = tmp_path / "models.toml"
    traits.write_text("[models.best]\n")
    port = server.rsplit(":", 1)[1].removesuffix("/v1")
    options = ["--port", port] if wrong == "port" else ["--traits", str(traits)]
    command = [sys.executable, "-m", "workbench.cli", "sandbox", "serve", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    said = f"port {port} cannot be used" if wrong == "port" else "must be called simulated"
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def _post(server: str, body: dict[str, Any]) -> bytes:
    request = urllib.request.Request(f"{server}/chat/completions", json.dumps(body).encode())
    with urllib.request.urlopen(request) as response:
        answer: bytes = response.read()
    return answer
