"""The review page's browser part, registered with Streamlit once per process.

The JavaScript is written as small ES modules. Streamlit loads a component's own script from a blob,
where modules cannot import each other, so they are joined here into one. The joined text travels
with the page and is cached by its content: a new version is used as soon as the server has it.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

ASSETS = Path(__file__).parent / "assets"
ENTRY = "main.js"

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?!default)", re.MULTILINE)


def bundle(entry: str = ENTRY, assets: Path = ASSETS) -> str:
    """The entry module and all it imports as one module, each after those it needs.

    Works for what our modules use: named imports of sibling files without renaming, one per line.
    Top-level names therefore have to differ between files (a test runs the bundle).
    """
    parts: dict[str, str] = {}

    def add(name: str) -> None:
        if name in parts:
            return
        source = (assets / name).read_text(encoding="utf-8")
        parts[name] = ""  # a circle of imports ends here
        for needed in _IMPORT.findall(source):
            add(needed)
        body = _EXPORT.sub("", _IMPORT.sub("", source))
        del parts[name]
        parts[name] = f"// --- {name} ---\n{body}"

    add(entry)
    return "\n".join(parts.values())


def styles(*names: str) -> str:
    """Style sheets of ours as one."""
    return "\n".join((ASSETS / name).read_text(encoding="utf-8") for name in names)


@cache
def _mount() -> Callable[..., Any]:
    return st.components.v2.component(
        "workbench_review",
        html='<div class="rv" data-state="fetching"></div>',
        css=styles("review.css", "text.css"),
        js=bundle(),
        isolate_styles=True,
    )


def review_component(data: Mapping[str, Any], on_renew: Callable[[], None]) -> None:
    """Put the review page's component on the page.

    Args:
        data: What the browser part works with:
            `token`, `api` (path of the sync route), `scope` (round and person: unsent answers are
            kept under it), `who`, `round` {"name"}, `want` (pairs to fetch ahead),
            `guidelines_html` (sanitised), `criteria`, `error_tags` (lists of names) and `practice`
            (list of {"prompt_html", "left_html", "right_html", "answer", "why"}).
        on_renew: Called when the server no longer takes the token; put a new one into `data`.
    """
    _mount()(data=dict(data), key="review", on_renew_change=on_renew)
