"""Drives the real review page: a project, the real server, a real Chromium, and what was stored.

Shared by the browser tests and by the two benchmarks of the review page.
"""

import json
import os
import platform
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, Playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = {"width": 1280, "height": 720}
PHONE = {"width": 390, "height": 844}


# --- a project ------------------------------------------------------------------------------------


def plain_pairs(n_pairs: int) -> list[dict[str, Any]]:
    """Pairs whose texts name them, so that what stood on the screen is known from the screen."""
    filler = "The kettle sings before it boils, because small bubbles collapse on the way up. "
    return [
        {
            "id": f"pair-{k:04d}",
            "prompt": f"Question {k:04d}: why does the kettle sing?",
            "response_a": f"Answer {k:04d}-A. {filler * (1 + k % 5)}",
            "response_b": f"Answer {k:04d}-B. {filler * (1 + k % 3)}",
            "ai": [{"judge": "judge-one", "order": "ab", "label": "A", "p_a": 0.8}],
        }
        for k in range(n_pairs)
    ]


def make_project(
    folder: Path,
    pairs: Iterable[dict[str, Any]],
    people: Iterable[str] = ("ana",),
    database_url: str | None = None,
    **options: Any,
) -> Path:
    """A project with these pairs, one round that asks for all of them once, and its people."""
    from pipelines.importing import import_file
    from workbench.audit.draw import draw_round
    from workbench.audit.options import DrawOptions, StratumOptions
    from workbench.db.models import Annotator
    from workbench.db.session import writing
    from workbench.project import Project

    project = Project.create(folder)
    if database_url is not None:
        project.engine.dispose()
        file = folder / "project.toml"
        settings = file.read_text(encoding="utf-8")
        settings = settings.replace("sqlite:///workbench.db", database_url)
        file.write_text(settings, encoding="utf-8")
        project = Project.open(folder)
    file = folder / "pairs.jsonl"
    file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
    import_file(project.store, file, project.config)
    chosen: dict[str, Any] = {"name": "Bench", "overlap": 0.0, "main": StratumOptions(share=1.0)}
    draw_round(project, DrawOptions(**chosen | options))
    with writing(project.engine) as session:
        session.add_all([Annotator(name=name, created_at=time.time()) for name in people])
    project.engine.dispose()
    return folder


# --- the server -----------------------------------------------------------------------------------


@dataclass
class Server:
    """`workbench serve` as a process of its own, which can be killed and started again."""

    project: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        if not self.port:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = int(probe.getsockname()[1])

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> "Server":
        """Start it and wait until it answers."""
        command = [sys.executable, "-c", "from workbench.cli.main import main; main()", "serve"]
        command += ["--project", str(self.project), "--port", str(self.port), "--no-open"]
        with (self.project / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.url}_stcore/health", timeout=1).close()
                return self
            except (urllib.error.URLError, OSError):
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        raise RuntimeError(f"the server did not start: {(self.project / 'server.log').read_text()}")

    def kill(self) -> None:
        """SIGKILL: no time to write anything."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    @property
    def memory_mb(self) -> float:
        """Resident memory of the server."""
        import psutil

        assert self.process is not None
        return psutil.Process(self.process.pid).memory_info().rss / 2**20


@contextmanager
def serving(project: Path) -> Iterator[Server]:
    """A running server, gone afterwards."""
    server = Server(project).start()
    try:
        yield server
    finally:
        server.kill()


# --- the browser ----------------------------------------------------------------------------------


def find_chromium() -> str | None:
    """Path of a Chromium: $CHROMIUM, Debian's, or (empty string) Playwright's own."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if found:
        return found
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", Path.home() / ".cache/ms-playwright"))
    return "" if any(cache.glob("chromium*")) else None


def launch(playwright: Playwright) -> Browser:
    """A headless Chromium."""
    return playwright.chromium.launch(executable_path=find_chromium() or None, args=FLAGS)


def launch_profile(playwright: Playwright, profile: Path) -> BrowserContext:
    """A Chromium of its own that keeps its storage in a folder, and can be killed."""
    return playwright.chromium.launch_persistent_context(
        profile, executable_path=find_chromium() or None, args=FLAGS, viewport=DESKTOP
    )


# Runs before the page's own scripts, and only looks: which texts stood on the screen when a key was
# pressed, whether the page took the key (the pair changes within the key's own task), and when the
# next pair was painted.
WATCH = """
window.watched = { votes: [], dropped: 0 };
(() => {
  const LABELS = { 1: "left", 2: "tie", 3: "right", 4: "both_bad" };
  let root = null, pressed = null;
  const painted = (entry, event) => requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => { entry.paint_ms = performance.now() - event.timeStamp; };
    port2.postMessage(0);
  });
  const changes = new MutationObserver(() => {
    if (!pressed || root.dataset.item === pressed.entry.lease) return;
    window.watched.votes.push(pressed.entry);
    painted(pressed.entry, pressed.event);
    pressed = null;
  });
  window.reviewRoot = () => {
    if (root?.isConnected) return root;
    for (const host of document.querySelectorAll("[data-testid=stBidiComponentIsolated]")) {
      const found = host.shadowRoot?.querySelector(".rv");
      if (!found) continue;
      root = found;
      changes.disconnect();
      changes.observe(root, { attributes: true, attributeFilter: ["data-item"] });
      return root;
    }
    return null;
  };
  window.addEventListener("keydown", (event) => {
    const rv = window.reviewRoot();
    if (!rv || !LABELS[event.key] || rv.dataset.state !== "pair") return;
    if (rv.querySelector("dialog")) return;
    const seen = (side) => rv.querySelector(`[data-body=${side}]`).textContent.slice(0, 40);
    const entry = {
      lease: rv.dataset.item, label: LABELS[event.key], left: seen("left"), right: seen("right"),
      at: Date.now(), paint_ms: null,
    };
    const mine = (pressed = { entry, event });
    setTimeout(() => { if (pressed === mine) { pressed = null; window.watched.dropped++; } });
  }, true);
})();
"""


def kill_browser(profile: Path) -> None:
    """SIGKILL the Chromium of this profile and all its processes, as a power cut would."""
    import psutil

    mark = f"--user-data-dir={profile}"
    for process in psutil.process_iter(["cmdline"]):
        if mark in (process.info["cmdline"] or ()):
            process.kill()


def enter(context: BrowserContext, server: Server, who: str) -> BrowserContext:
    """The person has told their name in this browser before, and every page is watched."""
    cookie = {"name": "workbench_name", "value": who, "url": server.url}
    context.add_cookies([cookie])
    context.add_init_script(WATCH)
    return context


def open_page(context: BrowserContext, url: str, *, ready: bool = True) -> Page:
    """The review page in a new tab, with its first pair on the screen."""
    page = context.new_page()
    page.goto(url)
    if ready:
        wait_shown(page)
    return page


def wait_shown(page: Page, timeout_s: float = 30) -> None:
    """Wait until a pair is painted."""
    page.wait_for_function(
        "() => { const rv = window.reviewRoot(); return rv?.dataset.state === 'pair' "
        "&& rv.dataset.shown === rv.dataset.item }",
        timeout=timeout_s * 1000,
    )


def unsent(page: Page) -> int:
    """How many operations the page still holds."""
    return int(
        page.evaluate("+(window.reviewRoot().querySelector('.rv-saved').dataset.unsent ?? 0)")
    )


def wait_saved(page: Page, timeout_s: float = 30) -> float:
    """Wait until the server confirmed everything; the seconds it took."""
    started = time.monotonic()
    page.wait_for_function(
        "window.reviewRoot()?.querySelector('.rv-saved').dataset.unsent === '0'",
        timeout=timeout_s * 1000,
    )
    return time.monotonic() - started


def watched(page: Page) -> list[dict[str, Any]]:
    """Every vote that the page took, as it was seen from outside."""
    return list(page.evaluate("window.watched.votes"))


def press(
    page: Page,
    n_keys: int,
    per_second: float,
    keys: str = "123",
    during: Callable[[int], None] = lambda k: None,
) -> None:
    """Press voting keys in turn at a steady pace; `during(k)` runs before the k-th."""
    started = time.monotonic()
    for k in range(n_keys):
        during(k)
        page.keyboard.press(keys[k % len(keys)])
        ahead = started + (k + 1) / per_second - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)


AXE = "axe-core@4.14.1"


def axe_script() -> str | None:
    """The source of axe-core, fetched with npm into the temporary folder; None without npm."""
    folder = Path(tempfile.gettempdir()) / f"workbench-{AXE.replace('@', '-')}"
    script = folder / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        if shutil.which("npm") is None:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, AXE]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return None
    return script.read_text(encoding="utf-8")


def violations(page: Page, axe: str, rules: Sequence[str] | None = None) -> list[str]:
    """What axe finds wrong on the page as it stands: impact, rule, and the first elements.

    Args:
        page: The page.
        axe: The source of axe-core.
        rules: Only these rules; None for all.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe)
    options: dict[str, object] = {"resultTypes": ["violations"]}
    if rules is not None:
        options["runOnly"] = list(rules)
    found = page.evaluate(
        "(options) => axe.run(document, options).then((result) => result.violations)", options
    )
    return [
        f"{one['impact']}: {one['id']} ({one['help']}): "
        + "; ".join(str(node["target"]) for node in one["nodes"][:3])
        for one in found
    ]


# Expressions on a research page: the colour behind it, and by how many pixels it is too wide.
BACKGROUND = "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
OVER = """(() => { const m = document.querySelector('[data-testid=stMain]');
  return m.scrollWidth - m.clientWidth })()"""


# --- what was stored ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tally:
    """Votes that the page took, against what the database holds."""

    accepted: int
    stored: int
    lost: int
    doubled: int
    misplaced: int
    details: list[str] = field(default_factory=list)

    @property
    def perfect(self) -> bool:
        """Every vote is there, once, on the pair that was shown."""
        return self.lost == self.doubled == self.misplaced == 0 and self.stored == self.accepted

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.accepted + other.accepted,
            self.stored + other.stored,
            self.lost + other.lost,
            self.doubled + other.doubled,
            self.misplaced + other.misplaced,
            self.details + other.details,
        )


def stored_votes(project: Path, who: str) -> list[sqlite3.Row]:
    """The live votes of a person with the texts that their lease showed on the left and right."""
    address = f"file:{project / 'workbench.db'}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as database:
        database.row_factory = sqlite3.Row
        return database.execute(
            """SELECT vote.id, vote.lease_id, vote.label, vote.both_bad, vote.item_id,
                      vote.left AS side, vote.created_at, vote.client_at, vote.seconds,
                      vote.comment, vote.details, vote.counts,
                      item.response_a, item.response_b
                 FROM vote JOIN item ON item.id = vote.item_id
                 JOIN annotator ON annotator.id = vote.annotator_id
                WHERE annotator.name = ? AND vote.undone_at IS NULL
                ORDER BY vote.client_at""",
            (who,),
        ).fetchall()


def tally(project: Path, who: str, seen: list[dict[str, Any]]) -> Tally:
    """Compare the votes seen on a person's screens with those stored for them."""
    rows = stored_votes(project, who)
    by_lease = {row["lease_id"]: row for row in rows}
    lost, misplaced, details = 0, 0, []
    for vote in seen:
        row = by_lease.get(vote["lease"])
        if row is None:
            lost += 1
            details.append(f"lost: {vote}")
        elif not _as_seen(vote, row):
            misplaced += 1
            details.append(f"misplaced: {vote} is {dict(row)}")
    items = Counter(row["item_id"] for row in rows)
    doubled = sum(count - 1 for count in items.values())
    stored = sum(vote["lease"] in by_lease for vote in seen)
    extra = len(rows) - len({vote["lease"] for vote in seen} & set(by_lease))
    if extra:
        misplaced += extra
        details.append(f"{extra} stored votes that nobody gave")
    return Tally(len(seen), stored, lost, doubled, misplaced, details)


def _as_seen(vote: dict[str, Any], row: sqlite3.Row) -> bool:
    """Whether the stored verdict is the one given on the texts that were on the screen."""
    left, right = row["response_a"], row["response_b"]
    if row["side"] == "B":
        left, right = right, left
    # Rendering changes white space and signs, never the first word with its number.
    texts_agree = vote["left"][:13] == left[:13] and vote["right"][:13] == right[:13]
    label = {"A": "left", "B": "right"}[row["label"]] if row["label"] != "tie" else "tie"
    if row["side"] == "B" and label != "tie":
        label = "right" if label == "left" else "left"
    if row["both_bad"]:
        label = "both_bad"
    return texts_agree and label == vote["label"]


def machine() -> str:
    """The machine that a figure was measured on, and how busy it was."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":")[1].strip() if names else model
    load = os.getloadavg()[0]
    return f"{platform.system()}, {os.cpu_count()} cores ({model}), load {load:.1f} at the start"


def quantile(values: Iterable[float], q: float) -> float:
    """The q-quantile by nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]
