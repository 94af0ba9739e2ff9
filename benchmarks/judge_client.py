"""How fast and how lean `workbench judge` is against an endpoint, and what a kill costs.

The whole command is measured as its user runs it (imports, reading pairs, prompts, HTTP, parsing,
the durable log, the judgments into the store), in a process of its own; the endpoint is another.

    python benchmarks/judge_client.py                 20,000 judgments, instant; 4,000 at 200 ms
    python benchmarks/judge_client.py --n 1000000     the memory of a million (minutes)
    python benchmarks/judge_client.py --kills 50      SIGKILL at 50 random moments, then resume
    python benchmarks/judge_client.py --distilabel VENV/bin/python      the same questions there

Goals: 2,000 judgments a second on 2 cores; 0.5 CPU seconds per 1,000; peak memory under 150 MB and
flat to a million; 90% of the ideal rate at 200 ms with 64 in flight; a kill repeats at most the
requests in flight.
"""

import argparse
import json
import os
import platform
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from protocol_server import ServerHandle, running_server  # noqa: E402 - only after the path

WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa")
IN_FLIGHT = 64


def pairs(n: int, rng: random.Random) -> Iterator[dict[str, Any]]:
    """Questions of 30 words with two answers of 120, as in the studies of other clients."""

    def text(n_words: int) -> str:
        return " ".join(rng.choices(WORDS, k=n_words))

    for number in range(n):
        yield {
            "id": f"p{number}",
            "prompt": f"Q{number}: {text(30)}",
            "response_a": text(120),
            "response_b": text(120),
        }


def make_project(folder: Path, n_judgments: int, url: str) -> Path:
    """A project with one judge, and pairs for so many judgments (each pair in both orders)."""
    file = folder / "pairs.jsonl"
    with file.open("w") as out:
        for pair in pairs(n_judgments // 2, random.Random(0)):
            out.write(json.dumps(pair) + "\n")
    project = folder / "project"
    command("init", str(project))
    command("import", str(file), "--project", str(project))
    file.unlink()
    with (project / "project.toml").open("a") as config:
        config.write(
            f'[[judges]]\nname = "bench"\nmodel = "m"\nbase_url = "{url}"\n'
            f"concurrency = {IN_FLIGHT}\n"
        )
    return project


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """One `workbench` command, to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "workbench.cli", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def measured(project: Path) -> dict[str, float]:
    """`workbench judge`: its wall seconds, CPU seconds and peak memory (MB), all in all."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench.cli", "judge", "--project", str(project), "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, said
    (run,) = json.loads(said)["judges"]
    return {
        "n": run["n_new"],
        "wall_s": time.perf_counter() - start,
        "asking_s": run["seconds"],
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
    }


def speed(n: int, delay_s: float) -> None:
    """One run from nothing, measured."""
    with (
        tempfile.TemporaryDirectory(prefix="judge-bench-") as folder,
        running_server(instant=True, delay_s=delay_s) as server,
    ):
        project = make_project(Path(folder), n, server.url)
        server.reset()
        found = measured(project)
        assert found["n"] == n == server.stats()["requests"], (found, server.stats())
        log = (project / "runs/judge/bench/judgments.jsonl").stat().st_size
        again = measured(project)
        assert again["n"] == 0
    rate = n / found["asking_s"]
    ideal = f", {rate / (IN_FLIGHT / delay_s):.0%} of the ideal rate" if delay_s else ""
    print(
        f"{n:,} judgments, {delay_s * 1000:.0f} ms endpoint, {IN_FLIGHT} in flight: "
        f"{rate:,.0f}/s{ideal} ({n / found['wall_s']:,.0f}/s from start to exit); "
        f"{found['cpu_s'] / n * 1000:.3f} CPU s per 1,000; peak {found['peak_mb']:.0f} MB; "
        f"log {log / 1e6:.1f} MB; a second run finds nothing to do in {again['wall_s']:.1f} s"
    )


def kills(n_kills: int) -> None:
    """SIGKILL at random moments; what the server was asked twice is what the kills cost."""
    rng = random.Random(1)
    n = 100 * n_kills
    with (
        tempfile.TemporaryDirectory(prefix="judge-kill-") as folder,
        running_server(delay_s=0.02) as server,
    ):
        project = make_project(Path(folder), n, server.url)
        server.reset()
        worst = repeated = n_hit = 0
        for _ in range(n_kills):
            n_hit += kill_one(project, server, rng)
            now = server.stats()["repeated"]
            worst, repeated = max(worst, now - repeated), now
        found = measured(project)
        stats = server.stats()
        worst = max(worst, stats["repeated"] - repeated)
        assert stats["distinct"] == n, stats
    print(
        f"{n_hit} of {n_kills} kills hit a run, {n:,} judgments, {IN_FLIGHT} in flight: all judged "
        f"after one more run of {found['n']:.0f}; {stats['repeated']:,} requests repeated, at most "
        f"{worst} for one kill"
    )
    assert worst <= IN_FLIGHT


def kill_one(project: Path, server: ServerHandle, rng: random.Random) -> bool:
    """Start a run, wait until it asks, kill it at a random moment; whether it still ran."""
    before = server.stats()["requests"]
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench.cli", "judge", "--project", str(project)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while server.stats()["requests"] == before and process.poll() is None:
        time.sleep(0.02)
    time.sleep(rng.uniform(0.0, 0.05))
    running = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return running


DISTILABEL = """
import json, sys, time
from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import PrometheusEval

def main():
    rows = [dict(instruction=r["prompt"], generations=[r["response_a"], r["response_b"]])
            for r in map(json.loads, open(sys.argv[1]))]
    with Pipeline(name="peer", cache_dir=sys.argv[3]) as pipeline:
        load = LoadDataFromDicts(name="load", data=rows, batch_size=64)
        judge = PrometheusEval(
            name="judge", mode="relative", rubric="helpfulness", reference=False,
            input_batch_size=64,
            llm=OpenAILLM(model="m", base_url=sys.argv[2], api_key="x",
                          generation_kwargs=dict(max_new_tokens=64, temperature=0.0)))
        load >> judge
    start = time.time()
    done = pipeline.run(use_cache=False)["default"]["train"]
    n_labelled = sum(row["result"] in ("A", "B") for row in done)
    print("RESULT", json.dumps([n_labelled, time.time() - start]))

if __name__ == "__main__":
    main()
"""


def distilabel(python: str, n: int) -> None:
    """The same number of judgments by distilabel's relative PrometheusEval, in its own venv."""
    text = "Feedback: Response A is clearer. [RESULT] A"
    with (
        tempfile.TemporaryDirectory(prefix="judge-peer-") as folder,
        running_server(text=text) as server,
    ):
        file, script = Path(folder, "pairs.jsonl"), Path(folder, "peer.py")
        file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs(n, random.Random(0))))
        script.write_text(DISTILABEL)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [python, str(script), str(file), server.url, str(Path(folder, "cache"))],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    line = next((one for one in done.stdout.splitlines() if one.startswith("RESULT")), None)
    if line is None:
        sys.exit(f"distilabel failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    n_done, seconds = json.loads(line.removeprefix("RESULT "))
    assert n_done == n, f"distilabel labelled {n_done} of {n}"
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        f"distilabel: {n_done:,} judgments, instant endpoint: {n_done / seconds:,.0f}/s; "
        f"{cpu_s / n_done * 1000:.1f} CPU s per 1,000; "
        f"largest process {after.ru_maxrss / 1024:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--n", type=int, help="judgments against the instant endpoint, alone")
    parser.add_argument("--kills", type=int, help="kills, alone")
    parser.add_argument("--distilabel", metavar="PYTHON", help="with distilabel installed")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    if options.kills:
        kills(options.kills)
        return
    if options.n:
        speed(options.n, 0.0)
        return
    speed(20_000, 0.0)
    speed(4_000, 0.2)
    if options.distilabel:
        distilabel(options.distilabel, 2_000)


if __name__ == "__main__":
    main()
