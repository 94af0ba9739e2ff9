"""The review page: who reviews which round, handed to the component that does the rest.

This script runs when a page is opened, and again only when the page asks for a new token: votes go
past it, straight to the sync route.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st
from sqlalchemy import func, select

from pipelines.errors import BadInput
from pipelines.records import PreferencePair
from workbench.app.access import Viewer
from workbench.app.review.component import review_component
from workbench.app.review.render import prompt_html, render_markdown
from workbench.audit.queue import mint_token, open_rounds
from workbench.db.models import Round
from workbench.db.session import reading, writing
from workbench.project import Project

_log = logging.getLogger(__name__)

SYNC_ROUTE = "api/review/sync"
PRACTICE_NAME = "practice.jsonl"
FIRST_WANT = 12
_SIDES = {"A": "left", "B": "right", "tie": "tie"}

# The review page fills the window; Streamlit's own frame steps back around it.
_FRAME = """<style>
[data-testid="stMainBlockContainer"] { padding: VAR_TOP 1.25rem 0; max-width: none; }
[data-testid="stMain"] { overflow: hidden; }
[data-testid="stHeader"] { height: VAR_TOP; min-height: 0; overflow: hidden; }
[data-testid="stMainMenu"], [data-testid="stStatusWidget"], [data-testid="stAppDeployButton"],
[data-testid="stToolbarActions"] { display: none; }
@media (max-width: 760px) {
  [data-testid="stMainBlockContainer"] { padding: VAR_TOP 0.6rem 0; }
}
</style>"""
# Whoever sees other pages as well keeps the line that leads to them.
_LINE_OF_PAGES, _NO_LINE = "2.75rem", "0rem"


@dataclass(frozen=True)
class OpenRound:
    """What the page may know of a round: never its label, its gate or its strata."""

    id: int
    name: str
    design_hash: str
    guidelines: str
    criteria: tuple[str, ...]
    error_tags: tuple[str, ...]


def render(project: Project, viewer: Viewer) -> None:
    """Show one person's review page, for the newest open round or the one they pick."""
    with reading(project.engine) as session:
        rounds = [_public(found) for found in open_rounds(session)]
        n_rounds = session.scalar(select(func.count()).select_from(Round)) or 0
    if not rounds:
        _say_nothing_is_open(n_rounds)
        return
    chosen = rounds[0]
    if len(rounds) > 1:
        chosen = st.sidebar.radio("Round", rounds, format_func=lambda found: found.name)
    try:
        token = _token(project, chosen.id, viewer.annotator_id)
    except BadInput as refusal:
        st.error(str(refusal))
        return
    top = _LINE_OF_PAGES if viewer.role == "owner" else _NO_LINE
    st.html(_FRAME.replace("VAR_TOP", top))
    review_component(
        {
            "token": token,
            "api": SYNC_ROUTE,
            # Unsent answers are kept in the browser under this: another project on the same
            # address, or another person at the same computer, must not find them.
            "scope": f"{chosen.design_hash[:16]}-{viewer.annotator_id}",
            "who": viewer.name,
            "round": {"name": chosen.name},
            "want": FIRST_WANT,
            "guidelines_html": render_markdown(chosen.guidelines),
            "criteria": list(chosen.criteria),
            "error_tags": list(chosen.error_tags),
            "practice": practice_set(project.dir),
        },
        on_renew=_forget_tokens,
    )


def practice_set(project_dir: Path) -> list[dict[str, Any]]:
    """The pairs of the project's practice file, rendered; none where there is no such file.

    `practice.jsonl` is a pairs file. The first human label of a pair is the answer that the
    guidelines ask for, its comment the reason. A row that cannot be used is passed over and named
    in the server's log: practice must not keep anybody from the real pairs.
    """
    path = project_dir / PRACTICE_NAME
    return _practice(path, path.stat().st_mtime_ns) if path.is_file() else []


@st.cache_data(max_entries=4, show_spinner=False)
def _practice(path: Path, changed_ns: int) -> list[dict[str, Any]]:
    # Imported here: the readers load pyarrow, which a server without a practice set never needs.
    from pipelines.formats.reading import read_pairs

    try:
        rows = list(read_pairs(path))
    except BadInput as error:
        _log.error("there is no practice: %s", error)
        return []
    pairs = [row for row in rows if isinstance(row, PreferencePair) and row.human]
    if len(pairs) < len(rows):
        passed = len(rows) - len(pairs)
        _log.warning("%s: %d of %d rows are no pair with a label", path, passed, len(rows))
    return [
        {
            "prompt_html": prompt_html(pair.prompt_json()),
            "left_html": render_markdown(pair.response_a),
            "right_html": render_markdown(pair.response_b),
            "answer": _SIDES[pair.human[0].label],
            "why": pair.human[0].comment or "",
        }
        for pair in pairs
    ]


def _public(found: Round) -> OpenRound:
    design = found.design
    return OpenRound(
        id=found.id,
        name=found.name,
        design_hash=found.design_hash,
        guidelines=design.get("guidelines", ""),
        criteria=tuple(design.get("criteria", ())),
        error_tags=tuple(design.get("error_tags", ())),
    )


def _token(project: Project, round_id: int, annotator_id: int) -> str:
    """This browser page's token for the round; made once, so that re-runs change nothing."""
    tokens: dict[tuple[int, int], str] = st.session_state.setdefault("review_tokens", {})
    key = (round_id, annotator_id)
    if key not in tokens:
        with writing(project.engine) as session:
            tokens[key] = mint_token(session, round_id, annotator_id)
    return tokens[key]


def _forget_tokens() -> None:
    st.session_state.pop("review_tokens", None)


def _say_nothing_is_open(n_rounds: int) -> None:
    if n_rounds:
        st.header("This round is closed")
        st.write("Thank you for your work. When another round opens, it appears here on reload.")
    else:
        st.header("Nothing to review yet")
        st.write(
            "No round has been drawn. Whoever owns the project draws one with "
            "`workbench audit draw`; then reload this page."
        )
