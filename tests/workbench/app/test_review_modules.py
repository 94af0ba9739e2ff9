"""The browser part's modules one by one, in a real Chromium."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route

from workbench.app.review.component import ASSETS, bundle

pytestmark = pytest.mark.browser
HOST = "http://assets.test"


@pytest.fixture(scope="module")
def page(chromium: Browser) -> Iterator[Page]:
    """A blank page that can import the modules one by one."""

    def serve(route: Route) -> None:
        name = route.request.url.removeprefix(f"{HOST}/")
        if name.endswith(".js"):
            body = bundle() if name == "bundle.js" else (ASSETS / name).read_text(encoding="utf-8")
            route.fulfill(body=body, content_type="text/javascript")
        else:
            route.fulfill(body="<!doctype html><body></body>", content_type="text/html")

    context = chromium.new_context()
    page = context.new_page()
    page.route(f"{HOST}/**", serve)
    page.goto(f"{HOST}/")
    yield page
    context.close()


def changed(page: Page, left: str, right: str) -> dict[str, object]:
    return page.evaluate(
        """async ([left, right]) => {
             const { changedWords } = await import('/difference.js');
             const words = (text) => text.split(' ').filter(Boolean);
             const [a, b] = [words(left), words(right)];
             const flags = changedWords(a, b);
             const pick = (list, on) => list.filter((_, i) => on[i]).join(' ');
             return { left: pick(a, flags.left), right: pick(b, flags.right), exact: flags.exact };
           }""",
        [left, right],
    )


def test_the_words_that_one_side_lacks_are_found_by_hand(page: Page) -> None:
    found = changed(page, "the cat sat on the mat today", "the dog sat on the mat")
    assert found == {"left": "cat today", "right": "dog", "exact": True}
    same = changed(page, "no word differs", "no word differs")
    assert same == {"left": "", "right": "", "exact": True}
    assert changed(page, "", "all new")["right"] == "all new"


def test_a_lone_shared_word_between_changes_is_marked_as_well(page: Page) -> None:
    found = changed(page, "start here p q the r s end", "start here x y the z w end")
    assert found["left"] == "p q the r s"


def test_the_common_words_are_as_many_as_the_slow_definition_says(page: Page) -> None:
    wrong = page.evaluate(
        """async () => {
             const { changedWords, commonSubsequence } = await import('/difference.js');
             let seed = 7;
             const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
             const lcs = (a, b) => {
               const row = () => new Array(b.length + 1).fill(0);
               const t = Array.from({ length: a.length + 1 }, row);
               for (let i = 1; i <= a.length; i++)
                 for (let j = 1; j <= b.length; j++)
                   t[i][j] = a[i-1] === b[j-1] ? t[i-1][j-1] + 1 : Math.max(t[i-1][j], t[i][j-1]);
               return t[a.length][b.length];
             };
             let wrong = 0;
             for (let trial = 0; trial < 300; trial++) {
               const make = () => Array.from({ length: random(25) }, () => 'abcd'[random(4)]);
               const [a, b] = [make(), make()];
               const flags = changedWords(a, b);
               const keptA = a.filter((_, i) => !flags.left[i]).join('');
               const keptB = b.filter((_, i) => !flags.right[i]).join('');
               const pairs = commonSubsequence(a, b);
               const after = (k) => pairs[k][0] > pairs[k-1][0] && pairs[k][1] > pairs[k-1][1];
               const rising = pairs.every(([i, j], k) => a[i] === b[j] && (!k || after(k)));
               if (keptA !== keptB || !rising || pairs.length !== lcs(a, b)) wrong++;
             }
             return wrong;
           }"""
    )
    assert wrong == 0


def test_chinese_signs_are_words_and_tags_do_not_join_words(page: Page) -> None:
    words = page.evaluate(
        """async () => {
             const { wordsOf } = await import('/difference.js');
             const box = document.createElement('div');
             box.innerHTML = '<p>水沸腾 don\\'t</p><p>stop.</p>';
             return wordsOf(box).words.map(({ word }) => word);
           }"""
    )
    assert words == ["水", "沸", "腾", "don't", "stop", "."]


def test_a_text_of_five_megabytes_is_compared_within_a_second(page: Page) -> None:
    found = page.evaluate(
        """async () => {
             const { changedWords, wordsOf } = await import('/difference.js');
             const box = document.createElement('div');
             const text = (word) => Array.from({ length: 900_000 }, (_, i) => word(i)).join(' ');
             box.textContent = text((i) => 'w' + (i * 7919) % 1000);
             const other = document.createElement('div');
             other.textContent = text((i) => 'v' + (i * 31) % 999);
             const start = performance.now();
             const [a, b] = [wordsOf(box), wordsOf(other)];
             const flags = changedWords(a.words.map((w) => w.word), b.words.map((w) => w.word));
             return { ms: performance.now() - start, exact: flags.exact, whole: a.whole };
           }"""
    )
    assert found["ms"] < 1000
    assert not found["exact"]
    assert not found["whole"]


def test_marks_wrap_the_words_and_change_no_text(page: Page) -> None:
    html = page.evaluate(
        """async () => {
             const { markWords, wordsOf } = await import('/difference.js');
             const box = document.createElement('div');
             box.innerHTML = '<p>one two <b>three four</b> five</p>';
             const { words } = wordsOf(box);
             markWords(words, [0, 1, 1, 0, 1]);
             return box.innerHTML;
           }"""
    )
    assert html == ("<p>one <mark>two</mark> <b><mark>three</mark> four</b> <mark>five</mark></p>")


def test_the_clock_counts_no_idle_time(page: Page) -> None:
    seconds = page.evaluate(
        """async () => {
             const { ActiveClock } = await import('/clock.js');
             let now = 0;
             const clock = new ActiveClock(60_000, () => now);
             const told = [];
             now = 40_000; clock.input();           // 40 s of reading count
             now = 400_000; clock.input();          // six minutes away count as one
             told.push(clock.seconds());
             clock.hide(); now = 500_000; clock.show();   // a hidden tab does not count
             now = 510_000;
             told.push(clock.seconds(), clock.active);
             now = 900_000;
             told.push(clock.seconds(), clock.active);
             clock.restart();
             told.push(clock.seconds());
             return told;
           }"""
    )
    assert seconds == [100, 110, True, 160, False, 0]


def test_keys_are_known_by_letter_and_else_by_place(page: Page) -> None:
    names = page.evaluate(
        """async () => {
             const { keyName } = await import('/keys.js');
             const name = (key, code, shiftKey = false) => keyName({ key, code, shiftKey });
             return [name('1', 'Digit1'), name('&', 'Digit1'), name('!', 'Digit1', true),
                     name('D', 'KeyD', true), name('в', 'KeyD'), name('?', 'Slash', true),
                     name('1', 'Numpad1'), name('Escape', 'Escape')];
           }"""
    )
    assert names == ["1", "1", "!", "d", "d", "?", "1", "Escape"]


def test_a_good_bye_is_sent_even_if_the_answers_do_not_fit(page: Page) -> None:
    """Of 15 notes of 4,000 Chinese signs, 12,000 bytes each, no message may hold six."""
    sent: list[dict[str, Any]] = []
    page.on("request", lambda request: sent.append(request.post_data_json))
    told = page.evaluate(
        """async () => {
             const { Sync } = await import('/sync.js');
             const op = (n) => ({ id: `op-${n}`, seq: n, comment: '水'.repeat(4000) });
             const ops = Array.from({ length: 15 }, (_, n) => op(n));
             const desk = { request: () => ({ token: 't', want: 9 }) };
             const sync = new Sync('beacon', { list: () => ops }, desk);
             const batch = sync.batch().length;
             sync.farewell();              // takes most of what the browser has room for
             sync.farewell();              // the answers no longer fit
             return batch;
           }"""
    )
    page.wait_for_timeout(200)
    assert told == 3
    beacons = [body for body in sent if body]
    assert [len(body["ops"]) for body in beacons] == [3, 0]
    assert all((body["want"], body["have"]) == (0, []) for body in beacons)


def test_the_joined_modules_are_one_module_with_one_default_export(page: Page) -> None:
    kinds = page.evaluate(
        """async () => {
             const joined = await import('/bundle.js');
             return [Object.keys(joined), typeof joined.default];
           }"""
    )
    assert kinds == [["default"], "function"]


def test_the_bundle_holds_every_module_once_after_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("export const a = 1;\n")
    (tmp_path / "b.js").write_text('import { a } from "./a.js";\nexport const b = a;\n')
    (tmp_path / "main.js").write_text(
        'import { b } from "./b.js";\nimport { a } from "./a.js";\nexport default () => a + b;\n'
    )
    joined = bundle("main.js", tmp_path)
    assert joined.count("const a = 1") == 1
    assert joined.index("const a") < joined.index("const b") < joined.index("export default")
    assert "import" not in joined
