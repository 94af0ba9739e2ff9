"""Seconds to load each page, at 10,000 and 100,000 imported pairs with a tenth of them labelled.

    python benchmarks/pages.py [N ...]

The real server, a real Chromium. A page is loaded when its last element stands and Streamlit has
finished its script; "first visit" is the first after the server started, "again" the
median of five visits, each a whole new page load.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from playwright.sync_api import Page, sync_playwright
from review_lab import DESKTOP, Server, enter, launch, serving
from scale import AGREEMENT, SEED, WORKBENCH, machine, measured, write_pairs

PAGES = ("agreement", "disagreements", "adjudication", "rounds", "export", "project")
VISITS = 5


def make_project(folder: Path, n_pairs: int) -> Path:
    """A project with a round of a tenth, every drawn pair labelled, a part of them twice."""
    project, shown, pairs = folder / "project", folder / "shown", folder / "pairs.jsonl"
    write_pairs(pairs, n_pairs)
    measured([*WORKBENCH, "init", str(project)], shown)
    at_project = ["--project", str(project)]
    measured([*WORKBENCH, "import", str(pairs), *at_project], shown)
    pairs.unlink()
    measured([*WORKBENCH, "audit", "draw", "--share", "0.1", "--yes", *at_project], shown)
    labels = folder / "labels.jsonl"
    rng = np.random.default_rng(SEED)
    with labels.open("w") as file:
        for number in range(n_pairs):
            for person in ("ana", "ben"):
                label = "A" if rng.random() < AGREEMENT else "B"
                row = {"pair_id": f"pair-{number:07d}", "annotator": person, "label": label}
                file.write(json.dumps(row) + "\n")
    measured([*WORKBENCH, "import", "--labels", str(labels), *at_project], shown)
    return project


def seconds_to_load(page: Page, url: str, name: str) -> float:
    """One visit: from the request to the page standing still."""
    start = time.perf_counter()
    page.goto(f"{url.rstrip(chr(47))}/{name}")
    page.wait_for_selector("h1", timeout=120_000)
    # Streamlit says on its root element whether the script still runs.
    page.wait_for_selector(
        "[data-testid=stApp][data-test-script-state=notRunning]", timeout=120_000
    )
    return time.perf_counter() - start


def cpu_seconds(server: Server) -> float:
    """What the server has used so far; other work on the machine does not change it."""
    assert server.process is not None
    times = psutil.Process(server.process.pid).cpu_times()
    return times.user + times.system


def benchmark(n_pairs: int) -> list[str]:
    """One size: a row of the table for each page."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="workbench-pages-") as folder:
        project = make_project(Path(folder), n_pairs)
        with serving(project) as server, sync_playwright() as playwright:
            browser = launch(playwright)
            context = enter(browser.new_context(viewport=DESKTOP), server, "reader")
            page = context.new_page()
            for name in PAGES:
                first = seconds_to_load(page, server.url, name)
                before = cpu_seconds(server)
                again = [seconds_to_load(page, server.url, name) for _ in range(VISITS)]
                cpu = (cpu_seconds(server) - before) / VISITS
                median = statistics.median(again)
                rows.append(f"| {n_pairs:,} | {name} | {first:.2f} | {median:.2f} | {cpu:.2f} |")
                print(rows[-1], file=sys.stderr)
            browser.close()
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=[10_000, 100_000])
    rows = [row for size in parser.parse_args().sizes for row in benchmark(size)]
    print(f"{machine()}\n")
    print(
        "| pairs | page | first visit, s | again, s | server CPU s a visit |\n|---|---|---|---|---|"
    )
    print("\n".join(rows))


if __name__ == "__main__":
    main()
