"""A pair's texts on their way to Argilla: shown as they are, and the same again on the way back."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.annotate import mapping
from workbench.annotate.mapping import as_text, from_text, record_fields

# As many beginnings of tags and entities, and invisible joiners, as ten letters can hold.
MARKUP = st.text(alphabet="<>&/!?#;ab1 \u2060", max_size=10)
TEXTS = st.one_of(MARKUP, st.text(), st.text(alphabet="<&\u2060"))


class _Reader(HTMLParser):
    """What a browser shows of a text, and whether it finds any markup in it."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.shown, self.n_tags = "", 0

    def handle_data(self, data: str) -> None:
        self.shown += data

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.n_tags += 1

    handle_endtag = handle_comment = handle_decl = handle_pi = unknown_decl = (  # type: ignore[assignment]  # each only counts
        lambda self, said: self.handle_starttag(said, ())
    )


def _as_a_browser_shows(text: str) -> tuple[str, int]:
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return reader.shown, reader.n_tags


@given(TEXTS)
def test_a_text_comes_back_as_it_was(text: str) -> None:
    assert from_text(as_text(text)) == text


@given(TEXTS, TEXTS)
def test_two_texts_never_become_one(one: str, other: str) -> None:
    assert (as_text(one) == as_text(other)) == (one == other)


@given(TEXTS)
def test_a_browser_finds_no_markup_and_every_character(text: str) -> None:
    assert _as_a_browser_shows(as_text(text)) == (as_text(text), 0)


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("kill <pid>", "kill <\u2060pid>"),
        ("&lt;b&gt;", "&\u2060lt;b&\u2060gt;"),
        ("</p><!-- x -->", "<\u2060/p><\u2060!-- x -->"),
        ("a < b && c <= d & e", "a < b && c <= d & e"),
        ("&#8212;", "&\u2060#8212;"),
        ("<\u2060b>", "<\u2060\u2060b>"),  # it held a joiner of its own
    ],
)
def test_only_what_begins_markup_is_changed(text: str, sent: str) -> None:
    assert as_text(text) == sent


def test_without_it_a_browser_would_show_something_else() -> None:
    assert _as_a_browser_shows("kill <pid> &lt;") == ("kill  <", 1)


@pytest.mark.parametrize("text", ["<b" * 8, "a<b" * 8, "&a<\u2060" * 8, "x" * 23])
def test_a_long_turn_is_cut_where_its_pieces_come_back(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping, "MAX_MESSAGE", 5)
    fields = record_fields("A", f'"{text}"', "a", "b")
    pieces = [turn["content"] for turn in fields["prompt"]]
    assert "".join(from_text(piece) for piece in pieces) == text
    assert all(0 < len(piece) <= 5 for piece in pieces)
    assert not any(re.match("\u2060", piece) for piece in pieces if "\u2060" not in text)


@pytest.mark.parametrize("text", ["", "a", "&lt;", "<"])
def test_an_empty_response_says_so_and_is_empty_again(text: str) -> None:
    fields = record_fields("B", '""', text, text)
    assert fields["left"]
    assert mapping.original(fields["left"]) == text
    assert mapping.original(fields["prompt"][0]["content"]) == ""
