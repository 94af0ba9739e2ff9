"""Nothing that could sway a reviewer reaches the browser; hostile texts do nothing there."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import review_lab as lab
from playwright.sync_api import Browser, BrowserContext, Page, Response, Route, WebSocket
from playwright.sync_api import Error as PlaywrightError

from workbench.audit.people import make_link
from workbench.db.models import Item, Round
from workbench.db.session import writing
from workbench.project import Project

pytestmark = pytest.mark.browser

SECRET = "SENTINEL"
PROBABILITY = 0.8371935
N_PAIRS = 30


def secret_pairs() -> Iterator[dict[str, Any]]:
    """Pairs that carry an unmistakable mark on everything a reviewer must not know."""
    for pair in lab.plain_pairs(N_PAIRS):
        yield pair | {
            "id": f"{SECRET}-id-{pair['id']}",
            "model_a": f"{SECRET}-model-a",
            "model_b": f"{SECRET}-model-b",
            "source": f"{SECRET}-source",
            "subset": f"{SECRET}-subset",
            "meta": {"note": f"{SECRET}-meta"},
            "ai": [
                {
                    "judge": f"{SECRET}-judge",
                    "order": "ab",
                    "label": "A",
                    "p_a": PROBABILITY,
                    "confidence": 0.9182736,
                    "rationale": f"{SECRET}-rationale",
                    "raw": f"{SECRET}-raw",
                }
            ],
            "human": [
                {"annotator": f"{SECRET}-expert", "label": "B", "comment": f"{SECRET}-comment"}
            ],
        }


FORBIDDEN = [SECRET.encode(), str(PROBABILITY).encode(), b"9182736"]
ITEM_KEYS = {"id", "prompt_html", "left_html", "right_html"}
PAST_KEYS = {"id", "kind", "label", "comment", "details", "item"}


class Wire:
    """Everything that the browser receives: bodies of all responses, all websocket frames."""

    def __init__(self, page: Page) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        self.requests: list[str] = []
        self._answers: list[Response] = []
        page.on("response", lambda response: self._answers.append(response))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("websocket", self._websocket)
        page.route("**/api/review/sync", self._relay)

    def _relay(self, route: Route) -> None:
        """Pass the votes' route on, and keep what it answered: a browser forgets such bodies."""
        try:
            answer = route.fetch()
            body = answer.body()
        except PlaywrightError:  # the page went away meanwhile, so nothing reached it
            return
        self.bodies.append((route.request.url, body))
        route.fulfill(response=answer, body=body)

    def collect(self) -> None:
        """Read what has arrived; before the page moves on, when bodies are forgotten."""
        answers, self._answers[:] = list(self._answers), []
        for answer in answers:
            # A beacon's answer reaches nobody: no script can read it.
            if answer.request.resource_type == "ping" or answer.status != 200:
                continue
            if answer.url.endswith("/api/review/sync"):
                continue  # heard by _relay
            try:
                self.bodies.append((answer.url, answer.body()))
            except PlaywrightError:
                # The browser forgets preloaded files of Streamlit's package; nothing else.
                assert "/static/" in answer.url

    def _websocket(self, socket: WebSocket) -> None:
        def received(payload: str | bytes) -> None:
            data = payload.encode() if isinstance(payload, str) else payload
            self.bodies.append((socket.url, data))

        socket.on("framereceived", received)

    def replies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for url, body in self.bodies if url.endswith("/api/review/sync")]


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(viewport=lab.DESKTOP)
    context.add_init_script(lab.WATCH)
    yield context
    context.close()


def test_nothing_the_browser_receives_tells_what_judges_models_or_others_said(
    tmp_path: Path, context: BrowserContext
) -> None:
    folder = lab.make_project(tmp_path / "project", secret_pairs(), ["other"], overlap=1.0)
    project = Project.open(folder)
    with writing(project.engine) as session:
        link = make_link(session, "blind", "annotator")
        assert f"{SECRET}-judge" in json.dumps(session.query(Round).one().design)
        assert session.query(Item).first().ai_label == "A"
    project.engine.dispose()
    with lab.serving(folder) as server:
        # Somebody else votes first, and says so in words.
        other = lab.open_page(lab.enter(context, server, "other"), server.url)
        other.keyboard.press("n")
        other.keyboard.type(f"{SECRET} of a colleague")
        other.keyboard.press("Escape")
        lab.press(other, 10, 10)
        lab.wait_saved(other)
        other.close()
        context.clear_cookies()

        page = context.new_page()
        wire = Wire(page)
        page.goto(f"{server.url}?invite={link}")
        lab.wait_shown(page)
        lab.press(page, 12, 10)
        page.keyboard.press("u")
        lab.wait_saved(page)
        wire.collect()
        page.reload()
        lab.wait_shown(page)
        page.keyboard.press("g")
        page.wait_for_timeout(300)
        wire.collect()

        replies = wire.replies()
        assert sum(len(reply["items"]) for reply in replies) > 12
        for reply in replies:
            assert all(set(entry) == PAST_KEYS for entry in reply.get("history", []))
            past = [entry["item"] for entry in reply.get("history", [])]
            for item in [*reply["items"], *past]:
                assert set(item) <= ITEM_KEYS
            assert set(reply["progress"]) == {"mine", "everyone", "asked"}
        # The wire was really heard: the pairs came by the route, the page by the websocket.
        assert any(b"Answer 0" in body for url, body in wire.bodies if "review/sync" in url)
        assert any(b"Guidelines" in body for url, body in wire.bodies if url.startswith("ws"))
        leaks = [(url, word) for url, body in wire.bodies for word in FORBIDDEN if word in body]
        assert leaks == []
        stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
        html = page.evaluate("document.documentElement.outerHTML + window.reviewRoot().outerHTML")
        assert SECRET not in stored + html
        # An annotator's link opens the review page and no other one.
        assert page.get_by_role("link", name="Agreement").count() == 0


HOSTILE = {
    "script": "<script>window.pwned = 1</script> after script",
    "handler": "<img src=x onerror='window.pwned = 1'> <b onclick='window.pwned = 1'>bold</b>",
    "link": "[click](javascript:window.pwned=1) <a href='javascript:window.pwned=1'>x</a>",
    "remote": "![pixel](http://evil.example/pixel.png) <img src='http://evil.example/p.gif'>",
    "style": "<style>.rv { display: none !important }</style> <p style='position:fixed'>over</p>",
    "frame": "<iframe src='http://evil.example'></iframe><object data='http://evil.example'>",
    "quotes": ">" * 10_000 + " deep down",
    "controls": "\x1b[2J\x00\x07 bell \u202e reversed \u200b",
    "nul": "before \x00 <scr\x00ipt>window.pwned = 1</scr\x00ipt> after",
    "css": "<p style='background: url(http://evil.example/c.png)'>x</p> @import 'http://evil.example/c.css';",
    "close": "</div></section></template><script>window.pwned = 1</script>",
    "svg": "<svg><animate onbegin='window.pwned=1' attributeName=x dur=1s></svg>",
    "entities": "&lt;script&gt;window.pwned=1&lt;/script&gt;",
    "zalgo": "Z" + "\u0300" * 3000 + " end",
}


def test_hostile_texts_are_inert_and_readable(
    tmp_path: Path, context: BrowserContext, database_url: str
) -> None:
    pairs = [
        {
            "id": name,
            "prompt": f"{name}: {text}",
            "response_a": text,
            "response_b": f"plain {name}",
            "ai": [{"judge": "judge-one", "order": "ab", "label": "A"}],
        }
        for name, text in HOSTILE.items()
    ]
    folder = lab.make_project(tmp_path / "project", pairs, ["ana"], database_url=database_url)
    with lab.serving(folder) as server:
        lab.enter(context, server, "ana")
        page = context.new_page()
        wire = Wire(page)
        opened: list[str] = []
        page.on("dialog", lambda dialog: (opened.append(dialog.message), dialog.dismiss()))
        context.on("page", lambda new: opened.append(new.url))
        page.goto(server.url)
        lab.wait_shown(page)
        opened.clear()
        seen = set()
        for _ in HOSTILE:
            prompt = page.locator("[data-body=prompt]").text_content() or ""
            name = prompt.split(":")[0].strip()
            seen.add(name)
            texts = "".join(
                page.locator(f"[data-body={side}]").text_content() or ""
                for side in ("left", "right")
            )
            assert f"plain {name}" in texts
            assert _readable(name) in texts
            # Nothing in it can be clicked away or lies over the page.
            assert (
                page.locator(".rv-pane a, .rv-pane img, .rv-pane iframe, .rv-pane style").count()
                == 0
            )
            assert page.locator("[data-choice=left]").is_visible()
            page.locator("[data-body=left]").click()
            page.keyboard.press("2")
            if len(seen) < len(HOSTILE):
                lab.wait_shown(page)
        assert seen == set(HOSTILE)
        assert page.evaluate("window.pwned") is None
        assert opened == []
        foreign = [url for url in wire.requests if not _is_ours(url, server)]
        assert foreign == []


def _readable(name: str) -> str:
    return {
        "script": "<script>window.pwned = 1</script> after script",
        "handler": "onerror='window.pwned = 1'",
        "link": "javascript:window.pwned=1",
        "remote": "http://evil.example/pixel.png",
        "style": ".rv { display: none !important }",
        "frame": "<iframe src='http://evil.example'></iframe>",
        "quotes": ">" * 500,
        "controls": "␛[2J�␇ bell",
        "nul": "before � <scr�ipt>window.pwned = 1</scr�ipt> after",
        "css": "<p style='background: url(http://evil.example/c.png)'>",
        "close": "</div></section></template>",
        "svg": "<svg>",
        "entities": "<script>window.pwned=1</script>",
        "zalgo": "end",
    }[name]


def _is_ours(url: str, server: lab.Server) -> bool:
    return url.startswith((server.url, f"ws://127.0.0.1:{server.port}/", "blob:", "data:"))
