"""Every recipe that ships, from its command, in the sandbox: time, and what became of the policy.

    OMP_NUM_THREADS=1 python benchmarks/recipes.py WORK [NAME ...]

Prints the table for README.md. WORK/NAME is the recipe's project and stays: the same command goes
on where it was cut off, and what is done is only counted again.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.agreement.estimate import Estimate
from pipelines.evaluate.result import EvaluationFound, evaluations_of, read_result
from pipelines.evaluate.truth import true_rates
from pipelines.generate.reading import read_candidates
from pipelines.generate.records import Candidate
from workbench.running.run import recipes_dir

WORKBENCH = (sys.executable, "-c", "from workbench.cli.main import main; main()")
SUITES = ("Red team (sandbox)", "Over-refusal (sandbox)", "Principles (sandbox)")


def main() -> None:
    """Run what is not done, print what is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("names", nargs="*")
    asked = parser.parse_args()
    names = asked.names or sorted(path.stem for path in recipes_dir().glob("*.toml"))
    asked.work.mkdir(parents=True, exist_ok=True)
    print(
        "| recipe | CPU s | policy | true win rate over the first | attacks that succeed | "
        "harmless refused | principles broken |\n|---|--:|---|---|--:|--:|--:|"
    )
    for name in names:
        seconds = run(name, asked.work)
        head = f"| {name} | {seconds:,.0f}"
        for row in rows(asked.work / name):
            print(f"{head} | {row}")
            head = "| |"


def run(name: str, work: Path) -> float:
    """Run a recipe; its CPU seconds over all calls so far."""
    spent = work / f"{name}.seconds.json"
    before: dict[str, Any] = json.loads(spent.read_text()) if spent.exists() else {"cpu": 0.0}
    if before.get("done"):
        return float(before["cpu"])
    usage, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [*WORKBENCH, "run", "--recipe", name, "--sandbox", "--project", str(work / name)]
    with (work / f"{name}.log").open("a", encoding="utf-8") as log:
        done = subprocess.run(command, stdout=log, stderr=log, check=False).returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - usage.ru_utime - usage.ru_stime
    told = {"cpu": before["cpu"] + cpu, "wall": time.monotonic() - start, "done": done}
    spent.write_text(json.dumps(told))
    return float(told["cpu"])


def rows(project: Path) -> Iterator[str]:
    """A row for each policy: against the first of the first evaluation, on the same prompts."""
    folders = evaluations_of(project)
    found = sorted(
        ((result, folder) for folder in folders if (result := read_result(folder)) is not None),
        key=lambda pair: pair[0].created_at,
    )
    replies: dict[str, list[Candidate]] = {}
    shares: dict[str, list[str]] = {}
    for result, folder in found:
        for policy in (one.name for one in result.policies):
            if policy not in replies:
                replies[policy] = [one for one in read_candidates(folder) if one.model == policy]
                shares[policy] = [_share(result, suite, policy) for suite in SUITES]
    policies = list(replies)
    rates = true_rates([one for mine in replies.values() for one in mine], policies, 0.95)
    for policy in policies:
        rate = rates.get((policy, policies[0]))
        yield " | ".join([policy, "" if rate is None else _words(rate), *shares[policy]]) + " |"


def _share(found: EvaluationFound, title: str, policy: str) -> str:
    for suite in found.suites:
        for group in suite.groups:
            if suite.title == title and group.policy == policy and not group.group:
                return "-" if group.share is None else f"{group.share.estimate:.1%}"
    return "-"


def _words(rate: Estimate) -> str:
    return f"{rate.estimate:.1%} ({rate.low:.1%} to {rate.high:.1%}, n = {rate.n:,})"


if __name__ == "__main__":
    main()
