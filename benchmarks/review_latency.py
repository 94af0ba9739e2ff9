"""How fast is the review page? Key to next pair, vote to commit, memory, choices in view.

Run: python benchmarks/review_latency.py [--votes 60] [--data ../shared/data]

One annotator is a real Chromium. Of twenty, one is the browser and nineteen speak the page's
protocol at one vote a second each. A vote is committed before it is answered, so that the time to
the answer bounds the time to the commit from above. Prints a Markdown table.
"""

import argparse
import http.client
import json
import random
import sys
import tempfile
import threading
import time
import uuid
from itertools import islice
from pathlib import Path
from typing import Any

import review_lab as lab
from playwright.sync_api import Browser, Page, sync_playwright

OTHERS = 19
FILES = ["pandalm", "llmbar-natural-small", "hh-harmless-test", "tulu-human-eval"]

# From the key to the end of the first answer to a request that began after it.
ANSWERED = """() => {
  const offset = performance.timeOrigin;
  const answers = performance.getEntriesByType('resource')
    .filter((entry) => entry.name.endsWith('/api/review/sync'));
  return window.watched.votes.map((vote) => {
    const sent = answers.find((entry) => offset + entry.startTime >= vote.at);
    return sent ? offset + sent.responseEnd - vote.at : null;
  }).filter((ms) => ms !== null);
}"""


class Voter(threading.Thread):
    """One annotator without a browser: asks for pairs and votes about once a second."""

    def __init__(self, server: lab.Server, token: str, n_votes: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.server, self.token, self.n_votes = server, token, n_votes
        self.rng = random.Random(seed)
        self.answered_ms: list[float] = []
        self.queue: list[str] = []
        self.want = 12

    def run(self) -> None:
        """Vote until done."""
        line = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        self._exchange(line, [])
        for seq in range(self.n_votes):
            time.sleep(self.rng.uniform(0.6, 1.4))
            vote = {"kind": "vote", "id": str(uuid.uuid4()), "lease": self.queue.pop(0)}
            vote |= {"label": "left", "seconds": 1.0, "client_at": time.time() * 1000, "seq": seq}
            started = time.perf_counter()
            self._exchange(line, [vote])
            self.answered_ms.append(1000 * (time.perf_counter() - started))
        line.close()

    def _exchange(self, line: http.client.HTTPConnection, ops: list[dict[str, Any]]) -> None:
        body = {"token": self.token, "ops": ops, "want": self.want, "have": self.queue}
        headers = {"content-type": "application/json"}
        line.request("POST", "/api/review/sync", json.dumps(body), headers)
        answer = json.loads(line.getresponse().read())
        assert all(status == "stored" for _, status in answer["acks"]), answer["acks"]
        self.queue += [item["id"] for item in answer["items"]]
        self.want = answer["want"]


def tokens(project: Path, n_people: int) -> list[str]:
    """Tokens of open pages for that many people."""
    from sqlalchemy import select

    from workbench.audit.people import enter
    from workbench.audit.queue import mint_token
    from workbench.db.models import Round
    from workbench.db.session import writing
    from workbench.project import Project

    opened = Project.open(project)
    with writing(opened.engine) as session:
        round_id = session.scalars(select(Round.id)).one()
        people = [enter(session, f"voter {number}").id for number in range(n_people)]
        made = [mint_token(session, round_id, person) for person in people]
    opened.engine.dispose()
    return made


def measured(page: Page, n_votes: int, per_second: float) -> tuple[list[float], list[float]]:
    """Milliseconds from key to painted pair, and from key to the server's answer."""
    page.evaluate("performance.setResourceTimingBufferSize(5000)")
    before = len(lab.watched(page))
    lab.press(page, n_votes, per_second)
    lab.wait_saved(page)
    page.wait_for_timeout(200)
    painted = [vote["paint_ms"] for vote in lab.watched(page)[before:] if vote["paint_ms"]]
    return painted, list(page.evaluate(ANSWERED))[before:]


def speed(browser: Browser, n_votes: int) -> dict[str, Any]:
    """Latencies with one annotator and with twenty."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="review-latency-") as base:
        pairs = lab.plain_pairs(60 * (OTHERS + 1) + 40 * n_votes)
        project = lab.make_project(Path(base) / "project", pairs, ["ana"])
        with lab.serving(project) as server:
            context = browser.new_context(viewport=lab.DESKTOP)
            page = lab.open_page(lab.enter(context, server, "ana"), server.url)
            lab.press(page, 5, 4)  # everything has been used once
            found["painted"], found["one"] = measured(page, n_votes, 4)
            found["burst"], _ = measured(page, n_votes, 20)
            found["memory_one"] = server.memory_mb
            voters = [
                Voter(server, token, n_votes // 2, seed)
                for seed, token in enumerate(tokens(project, OTHERS))
            ]
            for voter in voters:
                voter.start()
            time.sleep(1)
            found["painted_twenty"], twenty = measured(page, n_votes // 2, 1)
            for voter in voters:
                voter.join()
            found["twenty"] = twenty + [ms for voter in voters for ms in voter.answered_ms]
            found["memory_twenty"] = server.memory_mb
            context.close()
    return found


def real_pairs(data: Path) -> list[dict[str, Any]]:
    """Ten pairs of each real file, from all over it."""
    chosen = []
    for name in FILES:
        with (data / f"{name}.jsonl").open(encoding="utf-8") as lines:
            for line in islice(lines, 0, 100, 10):
                pair = json.loads(line)
                wanted = {"id", "prompt", "response_a", "response_b"}
                chosen.append({key: pair[key] for key in wanted})
    for pair in chosen:
        pair["ai"] = [{"judge": "bench", "label": "A"}]
    return chosen


IN_VIEW = """() => [...window.reviewRoot().querySelectorAll('.rv-choice')].every((button) => {
  const { left, right, top, bottom } = button.getBoundingClientRect();
  return left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight && right > left;
})"""


def choices_in_view(browser: Browser, data: Path) -> dict[str, tuple[int, int]]:
    """On how many real pairs all four choices are in the window, unscrolled: (pairs, of)."""
    found = {}
    pairs = real_pairs(data)
    for name, viewport in {"1280x720": lab.DESKTOP, "390x844": lab.PHONE}.items():
        with tempfile.TemporaryDirectory(prefix="review-latency-") as base:
            project = lab.make_project(Path(base) / "project", pairs, ["ana"])
            with lab.serving(project) as server:
                context = browser.new_context(viewport=viewport)
                page = lab.open_page(lab.enter(context, server, "ana"), server.url)
                n_in_view = 0
                for number in range(len(pairs)):
                    n_in_view += bool(page.evaluate(IN_VIEW))
                    page.keyboard.press("2")
                    if number < len(pairs) - 1:
                        lab.wait_shown(page)
                found[name] = (n_in_view, len(pairs))
                context.close()
    return found


def row(what: str, values: list[float]) -> str:
    """One line of the table."""
    middle, high = lab.quantile(values, 0.5), lab.quantile(values, 0.95)
    return f"| {what} | {middle:.1f} | {high:.1f} | {max(values):.1f} | {len(values)} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--votes", type=int, default=60)
    data = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=data, help="folder of real pairs files")
    chosen = parser.parse_args()
    print(f"{lab.machine()}\n")
    with sync_playwright() as playwright:
        browser = lab.launch(playwright)
        found = speed(browser, chosen.votes)
        print("| milliseconds | p50 | p95 | max | n |\n|---|---:|---:|---:|---:|")
        print(row("key to next pair painted, 4 keys a second", found["painted"]))
        print(row("key to next pair painted, 20 keys a second", found["burst"]))
        print(row("the same with 20 annotators at once", found["painted_twenty"]))
        print(row("key to vote committed and answered, 1 annotator", found["one"]))
        print(row("vote committed and answered, 20 annotators", found["twenty"]))
        memory = f"{found['memory_one']:.0f} MB with 1, {found['memory_twenty']:.0f} MB with 20"
        print(f"\nServer memory: {memory} annotators.")
        if chosen.data.is_dir():
            for size, (n_in_view, n_pairs) in choices_in_view(browser, chosen.data).items():
                print(f"Choices in view at {size}: {n_in_view} of {n_pairs} real pairs.")
        else:
            print(f"Choices in view: not measured, {chosen.data} is not there.", file=sys.stderr)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
