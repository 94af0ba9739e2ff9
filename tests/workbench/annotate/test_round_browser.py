"""Argilla's own pages as an annotator has them: log in, label by keyboard, search; then certify."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from argilla_rounds import P_A, draw, make_project, pair_ids, votes
from argilla_world import World
from playwright.sync_api import Browser, Page, expect, sync_playwright

from workbench.annotate.client import KEY_VARIABLE, URL_VARIABLE
from workbench.annotate.pull import pull
from workbench.annotate.push import push
from workbench.audit.certificate import make_certificate
from workbench.project import Project

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))  # drives the same browser
import review_lab

pytestmark = pytest.mark.browser
PATIENCE_MS = 60_000
SHOTS = os.environ.get("WORKBENCH_SHOTS", "")  # a folder: leave screenshots there to look at


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if review_lab.find_chromium() is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium: install Debian's chromium, or run `playwright install`")
        pytest.skip("no Chromium on this machine: install chromium, or run `playwright install`")
    with sync_playwright() as playwright:
        browser = review_lab.launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def project(argilla: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setenv(URL_VARIABLE, argilla.url)
    monkeypatch.setenv(KEY_VARIABLE, argilla.key)
    made = make_project(tmp_path / "project", f"sqlite:///{tmp_path / 'w.db'}")
    yield made
    made.engine.dispose()


def shot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png")


def test_twenty_pairs_by_keyboard_then_search_filter_pull_certify(
    project: Project, chromium: Browser, argilla: World
) -> None:
    draw(project, n=20, guidelines="Read both.")
    # A workspace of its own: she sees no other test's datasets.
    member = push(project, workspace="browser", annotators=["Ana María"]).members[0]
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    hosts: set[str] = set()
    page.on("response", lambda answer: hosts.add(urlsplit(answer.url).netloc))
    page.goto(argilla.url)
    page.locator("input[type=password]").fill(member.password or "")
    page.locator("input").first.fill(member.username)
    page.keyboard.press("Enter")
    page.get_by_text("round-1", exact=True).first.click()
    page.get_by_text("Which response is better?").wait_for()
    shot(page, "record")

    fields = page.locator(".fields").first
    for number in range(20):
        # The better response is the good one, wherever it stands: read it as a person would.
        expect(fields).to_contain_text("good answer")
        shown = fields.inner_text()
        for secret in ("secret", "revealing", str(P_A)):
            assert secret not in shown
        key = "1" if shown.index("good answer") < shown.index("bad answer") else "3"
        with page.expect_response(lambda answer: answer.url.endswith("/responses")) as sent:
            page.keyboard.press(key)
            page.keyboard.press("Enter")
        assert sent.value.status == 201
        if number < 19:
            expect(fields).not_to_have_text(shown, use_inner_text=True)
    shot(page, "done")

    # What was answered is found again among the submitted, by words of its prompt.
    dataset = page.url.split("/dataset/")[1].split("/")[0]
    page.goto(f"{argilla.url}/dataset/{dataset}/annotation-mode?page=1&status=submitted")
    page.get_by_text("of 20", exact=True).wait_for()
    wanted = next(one.split("-")[2] for one in pair_ids(project) if len(one.split("-")[2]) == 2)
    page.locator(".search-area__icon").first.click()
    page.keyboard.type(f'"question {wanted}"')
    page.keyboard.press("Enter")
    page.get_by_text("of 1", exact=True).wait_for()
    expect(fields).to_contain_text(f"question {wanted}?")
    shot(page, "search")
    context.close()
    assert hosts == {urlsplit(argilla.url).netloc}

    pulled = pull(project)
    assert (pulled.counts["n_counted"], pulled.complete, pulled.n_read) == (20, True, 20)
    assert {vote.label for vote in votes(project)} == {"A"}
    assert {vote.left for vote in votes(project)} == {"A", "B"}
    certificate = make_certificate(project)
    assert (certificate.decision, certificate.trusted) == ("TRUST", True)
