"""Is any vote lost, doubled or put on another pair? Faults at random moments, in a real Chromium.

Run: python benchmarks/review_faults.py [--repeats 50] [--outage 30] [--only NAME] [--seed 0]

Each fault strikes `repeats` times at a moment drawn at random within a burst of keys. Votes are
written down from outside the page (which texts stood on the screen when the key was pressed) and
compared with the database at the end. Prints a Markdown table; exit code 1 if a vote went wrong.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import review_lab as lab
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

WHO = "ana"
AT_ONCE = 10  # pages that share one outage
Seen = list[dict[str, Any]]


@dataclass(frozen=True)
class Bench:
    """What every fault needs."""

    playwright: Playwright
    browser: Browser
    server: lab.Server
    rng: random.Random
    outage_s: float
    folder: Path

    @contextmanager
    def page(self) -> Iterator[tuple[BrowserContext, Page]]:
        """The review page in a browser context of its own."""
        context = self.browser.new_context(viewport=lab.DESKTOP)
        yield context, lab.open_page(lab.enter(context, self.server, WHO), self.server.url)
        context.close()


def burst(bench: Bench, repeats: int) -> Seen:
    """50 keys at 20 per second."""
    seen: Seen = []
    for _ in range(repeats):
        with bench.page() as (_, page):
            lab.press(page, 50, 20, keys="1234")
            lab.wait_saved(page)
            seen += lab.watched(page)
    return seen


def server_killed(bench: Bench, repeats: int) -> Seen:
    """SIGKILL within 40 keys at 20 per second, restart after up to 3 s, then 5 keys more."""
    seen: Seen = []
    for _ in range(repeats):
        with bench.page() as (_, page):
            lab.press(page, 10, 10)
            moment = bench.rng.randrange(40)
            wait_s = bench.rng.uniform(0, 0.05)

            def during(k: int, moment: int = moment, wait_s: float = wait_s) -> None:
                if k == moment:
                    time.sleep(wait_s)
                    bench.server.kill()

            lab.press(page, 40, 20, during=during)
            time.sleep(bench.rng.uniform(0, 3))
            bench.server.start()
            lab.wait_saved(page, 60)
            lab.wait_shown(page, 60)
            lab.press(page, 5, 5)
            lab.wait_saved(page, 60)
            seen += lab.watched(page)
    return seen


def tab_closed(bench: Bench, repeats: int) -> Seen:
    """The tab is closed 0 to 50 ms after the last key, and opened again."""
    seen: Seen = []
    for _ in range(repeats):
        with bench.page() as (context, page):
            lab.press(page, bench.rng.randrange(1, 8), 10)
            lab.wait_shown(page)
            seen += lab.watched(page)
            last = page.evaluate(
                """() => { const rv = window.reviewRoot();
                     const seen = (side) =>
                       rv.querySelector(`[data-body=${side}]`).textContent.slice(0, 40);
                     return { lease: rv.dataset.item, label: 'right',
                              left: seen('left'), right: seen('right') } }"""
            )
            page.keyboard.press("3")
            time.sleep(bench.rng.uniform(0, 0.05))
            page.close()
            seen.append(last)
            lab.wait_saved(lab.open_page(context, bench.server.url))
    return seen


def network_dropped(bench: Bench, repeats: int) -> Seen:
    """No network for the time of the outage, from a random key of 20 on."""
    seen: Seen = []
    for start in range(0, repeats, AT_ONCE):
        pages = []
        for _ in range(min(AT_ONCE, repeats - start)):
            context = bench.browser.new_context(viewport=lab.DESKTOP)
            page = lab.open_page(lab.enter(context, bench.server, WHO), bench.server.url)
            pages.append((context, page, bench.rng.randrange(10)))
        gone_at = {}
        for k in range(20):
            for number, (context, page, moment) in enumerate(pages):
                if k == moment:
                    context.set_offline(True)
                    gone_at[number] = time.monotonic()
                page.bring_to_front()
                page.keyboard.press("123"[k % 3])
        for number, (context, _, _) in enumerate(pages):
            time.sleep(max(0.0, gone_at[number] + bench.outage_s - time.monotonic()))
            context.set_offline(False)
        for context, page, _ in pages:
            lab.wait_saved(page, 60)
            seen += lab.watched(page)
            context.close()
    return seen


def two_tabs(bench: Bench, repeats: int) -> Seen:
    """Two tabs of one person, keys in one or the other at random."""
    seen: Seen = []
    for _ in range(repeats):
        with bench.page() as (context, first):
            tabs = [first, lab.open_page(context, bench.server.url)]
            for _ in range(20):
                tab = bench.rng.choice(tabs)
                tab.bring_to_front()
                lab.press(tab, 1, 15)
            for tab in tabs:
                lab.wait_saved(tab)
                seen += lab.watched(tab)
    return seen


def browser_killed(bench: Bench, repeats: int) -> Seen:
    """Server down, and a second after the last key the whole browser is killed (SIGKILL)."""
    seen: Seen = []
    for number in range(repeats):
        profile = bench.folder / f"profile-{number}"
        context = lab.launch_profile(bench.playwright, profile)
        page = lab.open_page(lab.enter(context, bench.server, WHO), bench.server.url)
        moment = bench.rng.randrange(8)

        def during(k: int, moment: int = moment) -> None:
            if k == moment:
                bench.server.kill()

        lab.press(page, 10, 10, during=during)
        seen += lab.watched(page)
        time.sleep(1)
        lab.kill_browser(profile)
        bench.server.start()
        context = lab.launch_profile(bench.playwright, profile)
        page = lab.open_page(lab.enter(context, bench.server, WHO), bench.server.url)
        lab.wait_saved(page, 60)
        context.close()
    return seen


FAULTS: dict[str, Callable[[Bench, int], Seen]] = {
    "burst": burst,
    "server": server_killed,
    "tab": tab_closed,
    "network": network_dropped,
    "tabs": two_tabs,
    "browser": browser_killed,
}


def run(name: str, repeats: int, seed: int, outage_s: float) -> lab.Tally:
    """One fault, `repeats` times, on a project of its own."""
    with tempfile.TemporaryDirectory(prefix="review-faults-") as base:
        folder = Path(base)
        n_pairs = 70 * repeats + 400
        project = lab.make_project(folder / "project", lab.plain_pairs(n_pairs), [WHO])
        with sync_playwright() as playwright, lab.serving(project) as server:
            browser = lab.launch(playwright)
            bench = Bench(playwright, browser, server, random.Random(seed), outage_s, folder)
            seen = FAULTS[name](bench, repeats)
            browser.close()
        return lab.tally(project, WHO, seen)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--outage", type=float, default=30.0, help="seconds without a network")
    parser.add_argument("--only", choices=FAULTS, action="append", help="only these faults")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    print(f"{lab.machine()}; {chosen.repeats} random moments each\n")
    print("| fault | votes accepted | stored | lost | doubled | misplaced |")
    print("|---|---:|---:|---:|---:|---:|", flush=True)
    perfect = True
    for name in chosen.only or FAULTS:
        tally = run(name, chosen.repeats, chosen.seed, chosen.outage)
        what = (FAULTS[name].__doc__ or "").splitlines()[0].rstrip(".")
        print(
            f"| {what} | {tally.accepted} | {tally.stored} | {tally.lost} | {tally.doubled} "
            f"| {tally.misplaced} |",
            flush=True,
        )
        for detail in tally.details[:5]:
            print(f"  {detail}", file=sys.stderr)
        perfect = perfect and tally.perfect
    return 0 if perfect else 1


if __name__ == "__main__":
    sys.exit(main())
