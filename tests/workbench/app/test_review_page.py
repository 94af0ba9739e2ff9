"""What a reviewer sees and does: keys, buttons, panels, empty states, at every size."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import review_lab as lab
from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = pytest.mark.browser

LONG = "A long line of thought that goes on and on, without ever coming to its point. " * 60
PAIRS: list[dict[str, Any]] = [
    {
        "id": "conversation",
        "prompt": [
            {"role": "system", "content": "You are brief."},
            {"role": "user", "content": "First question?"},
            {"role": "assistant", "content": "First answer."},
            {"role": "user", "content": "Second question?"},
        ],
        "response_a": "The quick brown fox.",
        "response_b": "The quick red fox.",
    },
    {"id": "long", "prompt": LONG, "response_a": f"{LONG}\n\n" * 8, "response_b": "Short."},
    {"id": "wide", "prompt": "Wide", "response_a": "w" * 5000, "response_b": "|a" * 300},
    {"id": "arabic", "prompt": "لماذا؟", "response_a": "يغلي الماء.", "response_b": "Because."},
    {"id": "empty", "prompt": "Empty?", "response_a": "", "response_b": "Not empty."},
    {"id": "same", "prompt": "Same?", "response_a": "Equal.", "response_b": "Equal."},
    {
        "id": "code",
        "prompt": "Code?",
        "response_a": "```python\n" + "x = 1  # a long comment " * 12 + "\n```",
        "response_b": "| a | b |\n|---|---|\n| 1 | 2 |",
    },
]
for pair in PAIRS:
    pair["ai"] = [{"judge": "judge-one", "order": "ab", "label": "A", "p_a": 0.8}]

PEOPLE = ["keys", "typing", "sizes", "phone", "texts", "notes", "skips", "empty", "axe", "buttons"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "project"
    # The queue deals a pair to one person, so everybody needs copies of their own.
    pairs = [
        pair | {"id": f"{pair['id']}-{copy}", "prompt": _numbered(pair["prompt"], copy)}
        for copy in range(150)
        for pair in PAIRS
    ]
    return lab.make_project(
        folder,
        pairs,
        PEOPLE,
        criteria=("helpful", "honest"),
        error_tags=("made up", "unsafe"),
        guidelines="# What better means\n\nBetter is **true** and does what was asked.",
    )


def _numbered(prompt: Any, copy: int) -> Any:
    if isinstance(prompt, str):
        return f"{prompt} (copy {copy})"
    return [*prompt[:-1], {**prompt[-1], "content": f"{prompt[-1]['content']} (copy {copy})"}]


@pytest.fixture(scope="module")
def server(project: Path) -> Iterator[lab.Server]:
    with lab.serving(project) as server:
        yield server


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(viewport=lab.DESKTOP)
    yield context
    context.close()


def enter(context: BrowserContext, server: lab.Server, who: str) -> Page:
    return lab.open_page(lab.enter(context, server, who), server.url)


def shown(page: Page, part: str) -> str:
    return page.locator(f"[data-body={part}]").inner_text()


def go_to(page: Page, pair: str, part: str = "prompt") -> None:
    """Vote until a pair with this text is on the screen."""
    for _ in range(40):
        if pair in shown(page, part):
            return
        page.keyboard.press("2")
        lab.wait_shown(page)
    raise AssertionError(f"no pair with {pair!r} came")


def rows(project: Path, query: str, *values: object) -> list[sqlite3.Row]:
    with closing(sqlite3.connect(f"file:{project / 'workbench.db'}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        return database.execute(query, values).fetchall()


def in_view(page: Page) -> bool:
    """All four choices, whole, in the window, under nothing else; and the page does not scroll."""
    return bool(
        page.evaluate(
            """() => {
                 const rv = window.reviewRoot();
                 const main = document.querySelector('[data-testid=stMain]');
                 const still = main.scrollTop === 0 && document.scrollingElement.scrollTop === 0;
                 return still && [...rv.querySelectorAll('.rv-choice')].every((button) => {
                   const { left, right, top, bottom } = button.getBoundingClientRect();
                   const middle = [(left + right) / 2, (top + bottom) / 2];
                   const hit = rv.getRootNode().elementFromPoint(...middle);
                   return left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight
                     && button.contains(hit);
                 });
               }"""
        )
    )


@pytest.mark.parametrize("size", ["desktop", "phone", "low"])
def test_the_choices_are_in_view_whatever_the_texts(
    server: lab.Server, chromium: Browser, size: str
) -> None:
    viewport = {"desktop": lab.DESKTOP, "phone": lab.PHONE, "low": {"width": 844, "height": 390}}
    context = chromium.new_context(viewport=viewport[size])
    page = enter(context, server, "phone" if size == "phone" else "sizes")
    kinds = set()
    for _ in range(12):
        assert in_view(page), shown(page, "prompt")[:80]
        page.keyboard.press("e")
        assert in_view(page), "expanded"
        kinds.add(shown(page, "prompt")[:8])
        page.keyboard.press("2")
        lab.wait_shown(page)
    assert len(kinds) > 3
    context.close()


def test_both_responses_are_equally_high_and_side_by_side(
    server: lab.Server, context: BrowserContext
) -> None:
    page = enter(context, server, "sizes")
    left, right = (page.locator(f".rv-pane[data-side={side}]").bounding_box() for side in SIDES)
    assert left is not None
    assert right is not None
    assert left["height"] == right["height"]
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] < right["x"]


SIDES = ("left", "right")


def test_every_key_of_the_help_does_what_it_says(
    server: lab.Server, context: BrowserContext, project: Path
) -> None:
    page = enter(context, server, "keys")
    go_to(page, "Second question")
    # D marks exactly the words that differ.
    page.keyboard.press("d")
    marks = [page.locator(f"[data-body={side}] mark").all_inner_texts() for side in SIDES]
    assert sorted(marks) == [["brown"], ["red"]]
    page.keyboard.press("d")
    assert page.locator("mark").count() == 0
    for key, name in {"y": "together", "t": "details"}.items():
        button = page.locator(f"[data-act={name}]")
        assert button.get_attribute("aria-pressed") == "false"
        page.keyboard.press(key)
        assert button.get_attribute("aria-pressed") == "true"
        page.keyboard.press(key)
    # T goes to the first mark of the strip; Escape leaves it, and the focus is where it was.
    page.keyboard.press("t")
    page.keyboard.press("Enter")
    assert page.locator(".rv-details button").first.get_attribute("aria-pressed") == "true"
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    assert page.locator(".rv-details").is_hidden()
    page.locator("[data-act=details]:focus").wait_for()
    page.keyboard.press("p")
    assert page.locator(".rv-fold").get_attribute("aria-expanded") == "false"
    page.keyboard.press("p")
    for key, title in {
        "?": "Keys",
        "g": "Guidelines",
        "n": "Note",
        "s": "Why skip this pair?",
    }.items():
        page.keyboard.press(key)
        assert page.locator("dialog h2").first.inner_text() == title
        page.keyboard.press("Escape")
        assert page.locator("dialog").count() == 0
    page.keyboard.press("g")
    assert "Better is true and does what was asked." in page.locator("dialog").inner_text()
    page.keyboard.press("Escape")
    before = len(lab.stored_votes(project, "keys"))
    for key in "1234":
        lab.wait_shown(page)
        page.keyboard.press(key)
    lab.wait_saved(page)
    votes = lab.stored_votes(project, "keys")[before:]
    assert [vote["label"] == "tie" for vote in votes] == [False, True, False, True]
    assert [bool(vote["both_bad"]) for vote in votes] == [False, False, False, True]
    page.keyboard.press("u")
    assert page.locator(".rv-before").get_attribute("data-choice") == "both_bad"


def test_everything_can_be_clicked(
    server: lab.Server, context: BrowserContext, project: Path
) -> None:
    page = enter(context, server, "buttons")
    for label in ("left", "tie", "right", "both_bad"):
        lab.wait_shown(page)
        page.wait_for_timeout(350)  # within that time a click is taken for half a double click
        page.locator(f"[data-choice={label}]").click()
    lab.wait_saved(page)
    assert len(lab.stored_votes(project, "buttons")) == 4
    page.locator("[data-act=undo]").click()
    lab.wait_saved(page)
    assert len(lab.stored_votes(project, "buttons")) == 3
    for name in ("difference", "expand", "together", "details"):
        button = page.locator(f".rv-tools [data-act={name}]")
        button.click()
        assert button.get_attribute("aria-pressed") == "true"
        button.click()
    for name in ("guidelines", "help", "note", "skip"):
        page.locator(f"[data-act={name}]").click()
        page.get_by_role("button", name="Close").click()
    lab.wait_shown(page)
    page.wait_for_timeout(350)
    page.locator("[data-choice=left]").dblclick()
    lab.wait_saved(page)
    assert len(lab.stored_votes(project, "buttons")) == 4, "a double click is one vote"


def test_no_key_fires_while_typing_and_the_note_goes_with_the_vote(
    server: lab.Server, context: BrowserContext, project: Path
) -> None:
    page = enter(context, server, "typing")
    page.keyboard.press("n")
    page.keyboard.type("123 us?gd 4 ")
    page.keyboard.press("Escape")
    assert lab.stored_votes(project, "typing") == []
    page.keyboard.press("t")
    page.get_by_role("group", name="Errors, left").get_by_role("button", name="made up").click()
    page.get_by_role("group", name="helpful, right").get_by_role("button", name="4").click()
    page.keyboard.press("3")
    lab.wait_saved(page)
    (vote,) = lab.stored_votes(project, "typing")
    assert vote["comment"] == "123 us?gd 4"
    details = json.loads(vote["details"])
    assert details["tags"]["left"] == ["made up"]
    assert details["criteria"] == {"helpful": {"right": 4}}
    assert vote["seconds"] > 0
    # The next pair starts clean, and taking the vote back brings the note back.
    assert page.locator(".rv-chip[aria-pressed=true]").count() == 0
    page.keyboard.press("u")
    assert page.locator(".rv-chip[aria-pressed=true]").count() == 2
    lab.wait_shown(page)
    page.keyboard.press("n")
    assert page.locator("textarea").input_value() == "123 us?gd 4"
    page.keyboard.press("Escape")
    page.keyboard.press("t")


def test_a_pair_is_skipped_with_a_reason_and_comes_back_by_undo(
    server: lab.Server, context: BrowserContext, project: Path
) -> None:
    page = enter(context, server, "skips")
    text = shown(page, "prompt")
    page.keyboard.press("s")
    page.wait_for_timeout(100)
    page.keyboard.press("2")
    lab.wait_shown(page)
    page.keyboard.press("s")
    page.locator("dialog input").fill("nothing 1 2 3")
    page.keyboard.press("Enter")
    lab.wait_saved(page)
    query = """SELECT reason FROM skip JOIN annotator ON annotator.id = annotator_id
               WHERE name = 'skips' AND undone_at IS NULL ORDER BY skip.created_at"""
    assert [row["reason"] for row in rows(project, query)] == [
        "I cannot read the language",
        "nothing 1 2 3",
    ]
    page.keyboard.press("u")
    page.keyboard.press("u")
    lab.wait_saved(page)
    assert rows(project, query) == []
    assert shown(page, "prompt") == text


def test_texts_are_shown_as_what_they_are(server: lab.Server, context: BrowserContext) -> None:
    page = enter(context, server, "texts")
    go_to(page, "Second question")
    roles = page.locator(".rv-role").all_inner_texts()
    assert roles == ["System", "User", "Assistant", "User"]
    go_to(page, "لماذا")
    paragraph = page.locator("[data-body=left] p, [data-body=right] p").filter(has_text="يغلي")
    assert paragraph.evaluate("e => getComputedStyle(e).direction") == "rtl"
    go_to(page, "Empty?")
    assert "(This response is empty.)" in shown(page, "left") + shown(page, "right")
    go_to(page, "A long line")
    side = "left" if page.locator("[data-body=left] .rv-more").count() else "right"
    # Not innerText: blocks far out of sight are laid out only when they come near.
    body = page.locator(f"[data-body={side}]")
    cut = len(body.text_content() or "")
    page.keyboard.press("e")
    assert len(body.text_content() or "") > 2 * cut > 0
    go_to(page, "Same?")
    page.keyboard.press("d")
    assert page.locator(".rv-toast").inner_text() == "Both responses are the same text."
    page.keyboard.press("d")


def test_synchronised_scrolling_moves_both_sides(
    server: lab.Server, context: BrowserContext
) -> None:
    page = enter(context, server, "texts")
    go_to(page, "A long line")
    side = "left" if page.locator("[data-body=left] .rv-more").count() else "right"
    assert page.locator(f"[data-body={side}]").evaluate("e => e.scrollTop") == 0
    page.keyboard.press(" ")
    assert page.locator(f"[data-body={side}]").evaluate("e => e.scrollTop") > 100


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [lab.DESKTOP, lab.PHONE], ids=["desktop", "phone"])
def test_axe_finds_no_serious_violation(
    server: lab.Server, chromium: Browser, size: dict[str, int], scheme: str, axe: str
) -> None:
    context = chromium.new_context(viewport=size, color_scheme=scheme)
    # Nothing but the colours differs in the dark.
    rules = None if scheme == "light" else ["color-contrast"]
    page = enter(context, server, "axe")
    found = lab.violations(page, axe, rules)
    page.keyboard.press("t")
    page.keyboard.press("d")
    found += lab.violations(page, axe, rules)
    page.keyboard.press("t")
    page.keyboard.press("d")
    for key in "?gns":
        page.keyboard.press(key)
        page.wait_for_timeout(50)
        found += lab.violations(page, axe, rules)
        page.keyboard.press("Escape")
    context.close()
    bad = [one for one in found if one.startswith(("serious", "critical")) and ".rv" in one]
    assert bad == []
