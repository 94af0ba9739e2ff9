"""Import, agreement report and export of 10,000, 100,000 and 1,000,000 pairs: seconds and memory.

    python benchmarks/scale.py [N ...]

Makes a pairs file of about 2 kB a pair (one judge asked in both orders, with probabilities and
short rationales; people's labels on a tenth as many, every seventh pair labelled twice), then runs
the program itself on it, each step a process of its own. Files lie in a temporary folder, about
4.5 GB for 1,000,000 pairs, which is removed.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SIZES = (10_000, 100_000, 1_000_000)
SEED = 20_261_121
N_WORDS = 30_000
N_SENTENCES = 40_000
LABEL_SHARE = 0.1  # human labels per pair
OVERLAP = 1 / 7  # of the labelled pairs have a second label
AGREEMENT = 0.83

WORKBENCH = [sys.executable, "-c", "from workbench.cli.main import main; main()"]


@dataclass(frozen=True)
class Cost:
    """What one process took."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def measured(command: list[str], output: Path) -> Cost:
    """Run a command; its standard output goes to a file.

    This process stays small: Linux counts what the parent holds at the fork as the child's peak.
    """
    start = time.perf_counter()
    with output.open("wb") as file:
        child = subprocess.Popen(command, stdout=file)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    if child.returncode != 0:
        raise SystemExit(f"{' '.join(command[2:])} ended with {child.returncode}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def write_pairs(path: Path, n_pairs: int) -> None:
    """A pairs file with Zipf-distributed words, two pairs a prompt, position-biased verdicts."""
    rng = np.random.default_rng(SEED)
    letters = np.array(list("etaoinshrdlucmfwypvbgkqjxz"))
    lengths = rng.integers(2, 11, N_WORDS)
    words = ["".join(rng.choice(letters, length)) for length in lengths]
    ranks = 1 / np.arange(1, N_WORDS + 1)
    drawn = rng.choice(N_WORDS, size=(N_SENTENCES, 12), p=ranks / ranks.sum())
    sentences = [" ".join(words[k] for k in row).capitalize() + "." for row in drawn]

    def text(n_sentences: int) -> str:
        return " ".join(sentences[k] for k in rng.integers(0, N_SENTENCES, n_sentences))

    prompt = ""
    with path.open("w", encoding="utf-8") as file:
        for number in range(n_pairs):
            if number % 2 == 0:
                prompt = text(3)
            better_a = rng.random() < 0.5
            lean = 0.75 if better_a else 0.25
            verdicts = [
                {
                    "judge": "judge-large@1",
                    "order": order,
                    "p_a": round(float(np.clip(lean + shift + rng.normal(0, 0.2), 0, 1)), 3),
                    "rationale": sentences[int(rng.integers(N_SENTENCES))],
                }
                for order, shift in (("ab", 0.05), ("ba", -0.05))
            ]
            people = []
            if rng.random() < LABEL_SHARE / (1 + OVERLAP):
                for annotator in range(2 if rng.random() < OVERLAP else 1):
                    agrees = rng.random() < AGREEMENT
                    label = "A" if better_a == agrees else "B"
                    who = f"person-{(number + 7 * annotator) % 20}"
                    people.append({"annotator": who, "label": label})
            n_a, n_b = rng.integers(3, 15, 2).tolist()
            pair = {
                "id": f"pair-{number:07d}",
                "prompt": prompt,
                "response_a": text(n_a),
                "response_b": text(n_b),
                "model_a": "policy-1",
                "model_b": "policy-2",
                "ai": verdicts,
                "human": people,
                "source": "benchmark",
                "subset": f"task-{number % 8}",
                "meta": {"complexity": ("simple", "medium", "complex")[number % 3]},
            }
            file.write(json.dumps(pair) + "\n")


def benchmark(n_pairs: int, folder: Path) -> list[tuple[str, Cost]]:
    """The steps of one size, in order."""
    pairs, project, shown = folder / "pairs.jsonl", folder / "project", folder / "shown"
    make = [sys.executable, __file__, "--write", str(pairs), str(n_pairs)]
    measured(make, shown)
    n_bytes = pairs.stat().st_size
    print(f"{n_pairs:,} pairs, {n_bytes / 1e6:,.0f} MB", file=sys.stderr)
    measured([*WORKBENCH, "init", str(project)], shown)
    at_project = ["--project", str(project)]
    steps = [("import", measured([*WORKBENCH, "import", str(pairs), *at_project], shown))]
    steps.append(("import again", measured([*WORKBENCH, "import", str(pairs), *at_project], shown)))
    pairs.unlink()
    steps.append(("agreement", measured([*WORKBENCH, "agreement", str(project), "--json"], shown)))
    (judge,) = json.loads(shown.read_text())["judges"].values()
    print(f"agreement {judge['by_label']['agreement']}", file=sys.stderr)
    out = ["--out", str(folder / "trl.jsonl")]
    steps.append(("export trl", measured([*WORKBENCH, "export", "trl", *at_project, *out], shown)))
    return steps


def machine() -> str:
    """The machine in one line."""
    model = platform.processor() or platform.machine()
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0].split(":")[1].strip() if names else model
    return (
        f"{model}, {os.cpu_count()} cores, {memory_gb:.0f} GB, "
        f"{platform.system()}, Python {platform.python_version()}"
    )


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", type=int, default=list(SIZES), metavar="N")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write is not None:
        write_pairs(arguments.write, arguments.sizes[0])
        return
    print(f"{machine()}\n")
    print("| pairs | step | seconds | CPU seconds | peak memory, MB |")
    print("|---:|---|---:|---:|---:|")
    for n_pairs in arguments.sizes:
        folder = Path(tempfile.mkdtemp(prefix="workbench-scale-"))
        try:
            for step, cost in benchmark(n_pairs, folder):
                print(
                    f"| {n_pairs:,} | {step} | {cost.wall_s:.1f} | {cost.cpu_s:.1f} | "
                    f"{cost.peak_mb:.0f} |",
                    flush=True,
                )
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
