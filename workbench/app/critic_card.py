"""The card on which a person judges a critique: what is shown, and what comes back from it.

A Streamlit page arrives in pieces, so a key pressed meanwhile would meet the buttons of the
critique before. The card is one component: text and keys change together.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import streamlit as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.constitution.records import Principle
from pipelines.constitution.trajectory import Critique, Trajectory
from pipelines.records import PreferencePair
from workbench.app.review.component import bundle, styles
from workbench.app.review.render import prompt_html, render_markdown
from workbench.audit.critiques import Opinion


class Said(BaseModel):
    """What a person said of a critique, as the card sent it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    n: str = Field(pattern=r"^[0-9a-f]{32}$")  # names this saying
    critique: str
    opinion: Opinion
    why: str = Field(max_length=2_000)  # the card takes no more


@dataclass(frozen=True)
class Undo:
    """The critique that was judged last, and what the button says of it."""

    critique: str
    words: str


@cache
def _mount() -> Callable[..., Any]:
    return st.components.v2.component(
        "workbench_critic",
        html='<div class="cr"></div>',
        css=styles("critic.css", "text.css"),
        js=bundle("critic.js"),
        isolate_styles=True,
    )


def critic_card(shown: dict[str, Any], undo: Undo | None, done: str) -> Said | None:
    """Put the card on the page.

    Args:
        shown: `count` (a sentence), and where a critique is left what `card_data` makes of it.
        undo: What can be taken back.
        done: The newest saying that was kept.

    Returns:
        The newest thing that was said on it, which may have been kept already.
    """
    data = {
        "id": None,
        **shown,
        "undo": undo and {"id": undo.critique, "text": undo.words},
        "done": done,
    }
    result = _mount()(data=data, key="critic", default={"said": None}, on_said_change=lambda: None)
    return read_said(result.said)


def card_data(
    id: str, one: Trajectory, text: str, critique: Critique, principle: Principle | None
) -> dict[str, Any]:
    """What stands on the card; untrusted text as safe HTML."""
    pair = PreferencePair(prompt=one.response.prompt, response_a="", response_b="")
    said = f"Verdict: {critique.verdict}\n\n{critique.why}"
    if critique.improve and critique.verdict == "violated":
        said += f"\n\nImprove: {critique.improve}"
    name = critique.principle if principle is None else principle.name
    return {
        "id": id,
        "title": f"{name}: {critique.verdict}?",
        "about": "" if principle is None else principle.description,
        "prompt": prompt_html(pair.prompt_json()),
        "response_html": render_markdown(text),
        "critic_html": render_markdown(said),
    }


def read_said(value: object) -> Said | None:
    """What the browser sent, if it is something that the card sends."""
    try:
        return Said.model_validate(value)
    except ValidationError:
        return None
