"""Untrusted text to HTML that is safe to show beside the vote buttons.

A prompt or a response may hold anything: scripts, CSS, tracking images, ten thousand nested quotes.
Two fences stand between it and the annotator's page: the Markdown parser never lets raw HTML
through, and what it makes is cleaned again against a short list of tags and attributes. Links and
pictures become text with their address, so that nothing is loaded and nothing leads away.
Nothing of the text is dropped: what cannot be rendered is shown as it was written.
"""

import json
import re
from collections.abc import MutableMapping, Sequence
from functools import lru_cache
from html import escape
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

# Beyond these a text is shown as written. The parser drops what is nested deeper than its limit;
# longer or more bracketed texts take it seconds.
MAX_MARKDOWN_CHARS = 60_000
MAX_NESTING = 20
MAX_OPENERS = 2_000
_OPENERS = re.compile(r"[\[\]*_`~<!|]")

# A plain text is cut into blocks of about this many characters, so that a browser lays out only
# those in sight.
BLOCK_CHARS = 4_000
CACHED_CHARS = 20_000

_BLOCKS = {"p", "ul", "ol", "li", "blockquote", "table", "th", "td", "h4", "h5", "h6"}
_TAGS = _BLOCKS | {"br", "hr", "em", "strong", "s", "code", "pre", "thead", "tbody", "tr"}
_ATTRIBUTES = {
    **{tag: {"dir"} for tag in _BLOCKS},
    "ol": {"dir", "start"},
    "pre": {"dir", "tabindex", "data-lang"},
    "code": {"dir"},
    "span": {"dir"},
}
_CLASSES = {
    "span": {"rv-link", "rv-url", "rv-image"},
    "div": {"rv-plain", "rv-table"},
    "th": {"rv-end", "rv-center"},
    "td": {"rv-end", "rv-center"},
}
_CLEANER = nh3.Cleaner(
    tags=_TAGS | {"span", "div"},
    attributes={**_ATTRIBUTES, "div": {"dir", "tabindex"}},
    allowed_classes=_CLASSES,
    url_schemes=set(),
    link_rel=None,
    strip_comments=False,
)

# Control characters become their visible pictures (U+2400 and on); tab and line feed stay.
_CONTROLS = {code: 0x2400 + code for code in range(0x20) if code not in (0x09, 0x0A)} | {
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
}
_HH_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):[ \n]?")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def visible(text: str) -> str:
    """The text with line ends as line feeds and every other control character made visible."""
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_CONTROLS)


def render_markdown(text: str) -> str:
    """Sanitised HTML of one untrusted Markdown text; an empty text gives an empty string."""
    return _cached(text) if len(text) <= CACHED_CHARS else _render(text)


def prompt_html(prompt_json: str) -> list[dict[str, str]]:
    """The turns of a prompt as `[{"role", "html"}]`, sanitised.

    Args:
        prompt_json: `PreferencePair.prompt_json()`: a JSON string, or a JSON list of messages. A
            string that is an Anthropic HH transcript is split into its turns.
    """
    prompt = json.loads(prompt_json)
    turns = _transcript(prompt) if isinstance(prompt, str) else prompt
    return [{"role": turn["role"], "html": render_markdown(turn["content"])} for turn in turns]


def _transcript(prompt: str) -> list[dict[str, str]]:
    starts = list(_HH_TURN.finditer(prompt))
    if not starts or prompt[: starts[0].start()].strip() or starts[0][1] != "Human":
        return [{"role": "user", "content": prompt}]
    ends = [start.start() for start in starts[1:]] + [len(prompt)]
    turns = [
        {"role": _ROLES[start[1]], "content": prompt[start.end() : end].strip()}
        for start, end in zip(starts, ends, strict=True)
    ]
    # A transcript ends where the response begins: its last "Assistant:" is empty and says nothing.
    if len(turns) > 1 and turns[-1] == {"role": "assistant", "content": ""}:
        turns.pop()
    return turns


@lru_cache(maxsize=1024)
def _cached(text: str) -> str:
    return _render(text)


def _render(text: str) -> str:
    text = visible(text)
    if not text.strip():
        return ""
    if len(text) > MAX_MARKDOWN_CHARS or _too_many_openers(text):
        return _plain(text)
    environment: dict[str, Any] = {}
    tokens = _MARKDOWN.parse(text, environment)
    if max((token.level for token in tokens), default=0) >= MAX_NESTING - 1:
        return _plain(text)
    return _CLEANER.clean(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, environment))


def _too_many_openers(text: str) -> bool:
    """Whether a paragraph holds so much punctuation that parsing it would be quadratic."""
    return any(
        len(_OPENERS.findall(paragraph)) > MAX_OPENERS
        for paragraph in text.split("\n\n")
        if len(paragraph) > MAX_OPENERS
    )


def _plain(text: str) -> str:
    """The text as it was written, in blocks that end at a line or a word where there is one."""
    blocks = []
    start = 0
    while start < len(text):
        end = min(start + BLOCK_CHARS, len(text))
        if end < len(text):
            cut = max(text.rfind("\n", start, end), text.rfind(" ", start, end))
            end = cut + 1 if cut > start else end
        # The break between two blocks stands for a line feed at the end of the first one.
        block = text[start:end].removesuffix("\n")
        blocks.append(f'<div class="rv-plain" dir="auto">{escape(block)}</div>')
        start = end
    return _CLEANER.clean("".join(blocks))


# --- Markdown, made harmless ----------------------------------------------------------------------


def _defuse(state: StateCore) -> None:
    """Before rendering: text direction per block, smaller headings, addresses beside link texts."""
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            # The page has its own headings above; h1 of a response is the fourth level of the page.
            token.tag = f"h{min(6, int(token.tag[1]) + 3)}"
        if token.nesting == 1 and token.tag in _BLOCKS:
            align = str(token.attrs.pop("style", ""))
            if align in ("text-align:right", "text-align:center"):
                token.attrSet("class", "rv-end" if align.endswith("right") else "rv-center")
            token.attrSet("dir", "auto")
        open_links: list[Token] = []
        for child in token.children or ():
            if child.type == "link_open":
                open_links.append(child)
            elif child.type == "link_close" and open_links:
                link = open_links.pop()
                # An autolink's text is its address.
                child.meta["address"] = "" if link.markup == "autolink" else _address(link, "href")


def _address(token: Token, attribute: str) -> str:
    """The address of a link or picture, with its title if it has one."""
    title = token.attrGet("title")
    return f"{token.attrGet(attribute) or ''}" + (f' "{title}"' if title else "")


def _link_open(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: object
) -> str:
    return '<span class="rv-link">'


def _link_close(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: object
) -> str:
    address = tokens[index].meta.get("address")
    shown = f' <span class="rv-url" dir="ltr">({escape(address)})</span>' if address else ""
    return f"</span>{shown}"


def _image(
    self: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    env: MutableMapping[str, Any],
) -> str:
    token = tokens[index]
    alt = self.renderInlineAsText(token.children or [], options, env)
    shown = f"[picture: {alt}] ({_address(token, 'src')})"
    return f'<span class="rv-image">{escape(shown)}</span>'


def _fence(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: object
) -> str:
    token = tokens[index]
    word = token.info.split(maxsplit=1)[0] if token.info.strip() else ""
    language = f' data-lang="{escape(word)}"' if re.fullmatch(r"[\w+#.-]{1,20}", word) else ""
    # Scrollable code must be reachable by keyboard, hence the tabindex.
    return f'<pre dir="ltr" tabindex="0"{language}><code>{escape(token.content)}</code></pre>\n'


def _code(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: object
) -> str:
    # Amid right-to-left words `f()` would else be shown as `()f`.
    return f'<code dir="ltr">{escape(tokens[index].content)}</code>'


def _table_open(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: object
) -> str:
    return '<div class="rv-table" tabindex="0"><table dir="auto">'


def _table_close(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: object
) -> str:
    return "</table></div>"


def _latex_escape(state: StateInline, silent: bool) -> bool:
    r"""Keeps `\[`, `\(`, `\{` and `\\` as written: in answers they are LaTeX, not escapes."""
    pair = state.src[state.pos : state.pos + 2]
    if len(pair) < 2 or pair[0] != "\\" or pair[1] not in "()[]{}\\":
        return False
    if not silent:
        state.pending += pair
    state.pos += 2
    return True


def _parser() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": MAX_NESTING})
    markdown.enable(["table", "strikethrough"])
    # A reference definition would vanish from the page, and a line of dashes under a sentence is
    # seldom meant as a heading.
    markdown.disable(["reference", "lheading"])
    markdown.inline.ruler.before("escape", "latex_escape", _latex_escape)
    markdown.core.ruler.push("defuse", _defuse)
    for name, rule in {
        "link_open": _link_open,
        "link_close": _link_close,
        "image": _image,
        "fence": _fence,
        "code_block": _fence,
        "code_inline": _code,
        "table_open": _table_open,
        "table_close": _table_close,
    }.items():
        markdown.add_render_rule(name, rule)
    return markdown


_MARKDOWN = _parser()
