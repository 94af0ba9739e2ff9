"""No vote is lost, doubled or put on another pair, whatever happens: real browser, real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import review_lab as lab
from playwright.sync_api import Browser, BrowserContext, Page, Playwright

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    people = ["burst", "killed", "closed", "offline", "tabs", "browser", "undo", "reload"]
    folder = tmp_path_factory.mktemp("durability") / "project"
    # Enough pairs that nobody runs dry, however the hash deals them.
    return lab.make_project(folder, lab.plain_pairs(1600), people)


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


def test_fifty_keys_at_twenty_a_second_are_fifty_votes_on_the_pairs_shown(
    project: Path, server: lab.Server, context: BrowserContext
) -> None:
    page = enter(context, server, "burst")
    # A key that came before its pair was painted is no vote: the missing ones come slower.
    for keys_per_s in (20, 4, 2, 1):
        lab.press(page, 50 - len(lab.watched(page)), keys_per_s, keys="1234")
    lab.wait_saved(page)
    tally = lab.tally(project, "burst", lab.watched(page))
    assert tally.accepted == 50
    assert tally.perfect, tally


def test_a_server_killed_in_mid_burst_loses_nothing(
    project: Path, server: lab.Server, context: BrowserContext
) -> None:
    page = enter(context, server, "killed")
    # The queue grows with the pace: a fast reader has enough pairs for an outage.
    lab.press(page, 16, 10)

    def during(k: int) -> None:
        if k == 10:
            server.kill()

    lab.press(page, 30, 20, during=during)
    assert lab.unsent(page) > 0
    page.wait_for_timeout(1500)
    assert "No connection" in page.locator(".rv-banner").inner_text()
    server.start()
    lab.wait_saved(page)
    # Streamlit reconnects and mounts the component anew; reviewing goes on where it was.
    page.wait_for_timeout(1500)
    lab.wait_shown(page)
    lab.press(page, 5, 5)
    lab.wait_saved(page)
    seen = lab.watched(page)
    assert len(seen) >= 40
    tally = lab.tally(project, "killed", seen)
    assert tally.perfect, tally


def test_a_tab_closed_right_after_the_last_key_loses_nothing(
    project: Path, server: lab.Server, context: BrowserContext
) -> None:
    page = enter(context, server, "closed")
    seen = []
    for _ in range(3):
        lab.press(page, 4, 10)
        lab.wait_shown(page)
        seen += lab.watched(page)
        before = page.evaluate("window.reviewRoot().dataset.item")
        left, right = (
            page.locator(f"[data-body={side}]").inner_text()[:40] for side in ("left", "right")
        )
        page.keyboard.press("1")
        page.close()
        seen.append({"lease": before, "label": "left", "left": left, "right": right})
        page = lab.open_page(context, server.url)
    lab.wait_saved(page)
    tally = lab.tally(project, "closed", seen)
    assert tally.accepted >= 12
    assert tally.perfect, tally


def test_votes_given_without_a_network_arrive_when_it_is_back(
    project: Path, server: lab.Server, context: BrowserContext
) -> None:
    page = enter(context, server, "offline")
    lab.press(page, 3, 5)
    lab.wait_saved(page)
    context.set_offline(True)
    lab.press(page, 6, 5)
    page.wait_for_timeout(2000)
    n_kept = lab.unsent(page)
    assert n_kept > 0
    assert f"{n_kept} answers kept on this device" in page.locator(".rv-banner").inner_text()
    context.set_offline(False)
    lab.wait_saved(page)
    tally = lab.tally(project, "offline", lab.watched(page))
    assert tally.accepted >= n_kept
    assert tally.perfect, tally
    page.wait_for_function("window.reviewRoot().querySelector('.rv-banner').hidden")


def test_two_tabs_of_one_person_share_no_pair(
    project: Path, server: lab.Server, context: BrowserContext
) -> None:
    first = enter(context, server, "tabs")
    second = lab.open_page(context, server.url)
    for _ in range(8):
        for page in (first, second):
            page.bring_to_front()
            lab.wait_shown(page)
            lab.press(page, 1, 15)
    lab.wait_saved(first)
    lab.wait_saved(second)
    seen = lab.watched(first) + lab.watched(second)
    tally = lab.tally(project, "tabs", seen)
    assert tally.accepted == 16
    assert tally.perfect, tally


def test_a_browser_killed_while_the_server_is_down_keeps_its_votes(
    project: Path, server: lab.Server, playwright: Playwright, tmp_path: Path
) -> None:
    context = lab.launch_profile(playwright, tmp_path)
    page = enter(context, server, "browser")
    lab.press(page, 4, 10)
    lab.wait_saved(page)
    server.kill()
    lab.press(page, 5, 10)
    seen = lab.watched(page)
    assert lab.unsent(page) > 0
    page.wait_for_timeout(1000)
    lab.kill_browser(tmp_path)
    server.start()
    context = lab.launch_profile(playwright, tmp_path)
    page = enter(context, server, "browser")
    lab.wait_saved(page)
    context.close()
    tally = lab.tally(project, "browser", seen)
    assert tally.accepted > 4
    assert tally.perfect, tally


def test_the_last_answers_can_be_taken_back_also_after_a_reload(
    project: Path, server: lab.Server, context: BrowserContext
) -> None:
    page = enter(context, server, "undo")
    shown = []
    page.keyboard.press("n")
    page.keyboard.type("the first")
    page.keyboard.press("Escape")
    for key in "1231":
        shown.append(page.locator("[data-body=left]").inner_text())
        lab.press(page, 1, 4, keys=key)
    lab.wait_saved(page)
    page.reload()
    lab.wait_shown(page)
    for text in reversed(shown):
        page.keyboard.press("u")
        page.wait_for_function(
            "text => window.reviewRoot().querySelector('[data-body=left]').innerText === text",
            arg=text,
        )
    lab.wait_saved(page)
    assert lab.stored_votes(project, "undo") == []
    # What was noted on an earlier page comes back with its pair, and is stored with the new vote.
    lab.wait_shown(page)
    page.keyboard.press("n")
    assert page.locator("textarea").input_value() == "the first"
    page.keyboard.press("Escape")
    lab.press(page, 2, 5, keys="3")
    lab.wait_saved(page)
    assert [vote["comment"] for vote in lab.stored_votes(project, "undo")] == ["the first", None]
    assert lab.tally(project, "undo", lab.watched(page)).perfect


def test_a_key_pressed_before_the_pair_was_painted_is_dropped(
    project: Path, server: lab.Server, context: BrowserContext
) -> None:
    page = enter(context, server, "reload")
    # Two keys within one frame: the second one saw the first one's pair.
    page.evaluate(
        """() => { for (const key of ['1', '1'])
             window.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true })) }"""
    )
    lab.wait_saved(page)
    assert len(lab.stored_votes(project, "reload")) == 1
