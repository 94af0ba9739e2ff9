"""Untrusted text becomes HTML that runs nothing, loads nothing, leads nowhere and hides nothing."""

import json
import re
import time
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.app.review.render import prompt_html, render_markdown, visible

ALLOWED_TAGS = {"p", "ul", "ol", "li", "blockquote", "br", "hr", "em", "strong", "s", "code", "pre"}
ALLOWED_TAGS |= {"table", "thead", "tbody", "tr", "th", "td", "h4", "h5", "h6", "span", "div"}
ALLOWED_ATTRIBUTES = {"dir", "start", "tabindex", "data-lang", "class"}


class Outline(HTMLParser):
    """What a browser would make of the HTML: its tags, its attributes and its text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def shown(text: str) -> str:
    return Outline(render_markdown(text)).text


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<style>* { display: none }</style>",
    "<iframe src='https://evil.example'></iframe>",
    "<!-- --><a href='javascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt&colon;alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](https://evil.example/?a=1)",
    "![x](https://evil.example/pixel.png)",
    '![x](https://evil.example/p.png "onmouseover=alert(1)")',
    '<https://evil.example/"onmouseover=alert(1)>',
    '```"onmouseover=alert(1)\n</code></pre><script>alert(1)</script>\n```',
    "| a | <b onclick=alert(1)> |\n|---|---|\n| <script>x</script> | [y](javascript:z) |",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<div style='position:fixed;inset:0'>",
    "\x00<scr\x00ipt>alert(1)</scr\x00ipt>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_markup_is_only_text(text: str) -> None:
    outline = Outline(render_markdown(text))
    assert outline.tags <= ALLOWED_TAGS
    assert outline.attributes <= ALLOWED_ATTRIBUTES
    for word in ("alert(1)", "evil.example"):
        if word in text:
            assert word in outline.text, "hidden instead of shown"


@given(st.text(max_size=400) | st.text("<>&\"'`*_[]()!#|>-~\\ \nax:/", max_size=400))
def test_no_text_reaches_beyond_the_allowed_tags(text: str) -> None:
    outline = Outline(render_markdown(text))
    assert outline.tags <= ALLOWED_TAGS
    assert outline.attributes <= ALLOWED_ATTRIBUTES


@given(st.text(max_size=300))
def test_every_word_stays_readable(text: str) -> None:
    rendered = shown(text)
    for word in re.findall(r"\w+", visible(text)):
        assert word in rendered


def test_ten_thousand_nested_quotes_are_shown_as_written_and_fast() -> None:
    started = time.process_time()
    text = ">" * 10_000 + " deep down"
    assert shown(text) == text
    lists = "".join("  " * depth + f"- item {depth}\n" for depth in range(200))
    assert "item 199" in shown(lists)
    assert time.process_time() - started < 20  # quadratic: minutes


@pytest.mark.parametrize(
    "text",
    ["[" * 50_000, "*a" * 25_000, "![" * 20_000, "`" * 59_999, "|a" * 20_000, "> - " * 10_000],
    ids=["brackets", "stars", "pictures", "ticks", "cells", "quoted lists"],
)
def test_pathological_markdown_takes_no_time(text: str) -> None:
    started = time.process_time()
    render_markdown(text)
    assert time.process_time() - started < 20  # quadratic: minutes


def test_a_text_of_five_megabytes_is_cut_into_blocks_and_loses_nothing() -> None:
    text = "A sentence of some words.\n" * 200_000
    html = render_markdown(text)
    assert html.count('<div class="rv-plain"') > 1_000
    assert Outline(html).text.replace("\n", "") == text.replace("\n", "")


def test_markdown_is_rendered() -> None:
    html = render_markdown("# Head\n\nSome *words*, `code`.\n\n| a | b |\n|--|--:|\n| 1 | 2 |")
    # The page's own headings are h1 to h3.
    assert '<h4 dir="auto">Head</h4>' in html
    assert "<em>words</em>" in html
    assert '<code dir="ltr">code</code>' in html
    assert '<td class="rv-end" dir="auto">2</td>' in html


def test_code_keeps_its_spaces_its_language_and_can_be_reached_by_keyboard() -> None:
    html = render_markdown("```python\nif a < b:\n    pass\n```")
    assert html.startswith('<pre dir="ltr" tabindex="0" data-lang="python">')
    assert "if a &lt; b:\n    pass" in html


def test_links_and_pictures_show_their_address_instead_of_leading_there() -> None:
    html = render_markdown("[here](https://a.example/x) ![cat](https://a.example/c.png)")
    assert "href" not in html
    assert "src" not in html
    assert shown("[here](https://a.example/x)").strip() == "here (https://a.example/x)"
    assert "[picture: cat] (https://a.example/c.png)" in unescape(html)


def test_what_markdown_would_swallow_stays() -> None:
    assert r"\[ x^2 \]" in shown(r"\[ x^2 \] and \(y\)")
    assert "[note]: https://a.example" in shown("[note]: https://a.example\n\nSee [note].")
    assert shown("Title\n---").strip() == "Title"
    assert render_markdown("one\ntwo").count("<br>") == 1


def test_control_characters_become_visible() -> None:
    assert visible("\x00a\x1b[31m\x7f\x85\r\nb\rc\td") == "␀a␛[31m␡\ufffd\nb\nc\td"
    assert "\x1b" not in render_markdown("\x1b[2J")


def test_every_block_finds_its_own_direction() -> None:
    html = render_markdown("שלום\n\nhello\n\n- مرحبا")
    assert html.count('dir="auto"') == 4


def test_code_and_addresses_amid_right_to_left_words_keep_their_order() -> None:
    html = render_markdown("الماء `kettle.boil()` [هنا](https://a.example/x?y)")
    assert '<code dir="ltr">kettle.boil()</code>' in html
    assert '<span class="rv-url" dir="ltr">(https://a.example/x?y)</span>' in html


def test_an_empty_text_renders_to_nothing() -> None:
    assert render_markdown("") == ""
    assert render_markdown(" \n\t") == ""


def test_a_prompt_is_a_list_of_turns() -> None:
    turns = [{"role": "system", "content": "*Be* kind."}, {"role": "user", "content": "Hi"}]
    assert [turn["role"] for turn in prompt_html(json.dumps(turns))] == ["system", "user"]
    assert prompt_html(json.dumps("Hi")) == [{"role": "user", "html": '<p dir="auto">Hi</p>\n'}]


def test_a_transcript_is_split_into_its_turns() -> None:
    transcript = "\n\nHuman: One\n\nstill one\n\nAssistant: Two\n\nHuman: Three\n\nAssistant:"
    turns = prompt_html(json.dumps(transcript))
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert "still one" in turns[0]["html"]


def test_a_prompt_that_only_mentions_a_human_is_no_transcript() -> None:
    prompt = "Complete the dialogue.\n\nHuman: hello\n\nAssistant: hi"
    assert len(prompt_html(json.dumps(prompt))) == 1
