"""A pair on a research page: the prompt above its two responses, made safe, long ones in a box."""

from typing import Literal

import streamlit as st

from workbench.app.review.render import prompt_html, render_markdown

_LONG_CHARS, _BOX_HEIGHT = 1_200, 420


def show_pair(prompt_json: str, left: tuple[str, str], right: tuple[str, str]) -> None:
    """Show a pair.

    Args:
        prompt_json: As `PreferencePair.prompt_json` writes it.
        left: Title and text of the response on the left.
        right: The same of the one on the right.
    """
    with st.container(border=True, height=_height(prompt_json)):
        for turn in prompt_html(prompt_json):
            st.caption(turn["role"].capitalize())
            st.html(turn["html"])
    height = _height(max(left[1], right[1], key=len))
    for column, (title, text) in zip(st.columns(2), (left, right), strict=True):
        with column, st.container(border=True, height=height):
            st.caption(title)
            st.html(render_markdown(text))


def _height(text: str) -> int | Literal["stretch"]:
    return _BOX_HEIGHT if len(text) > _LONG_CHARS or text.count("\n") > 14 else "stretch"
