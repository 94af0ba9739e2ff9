"""Who is at this page: a name on the owner's own machine, a personal link from anywhere else."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

import streamlit as st

from pipelines.errors import BadInput
from workbench.audit.people import Role, by_link, enter
from workbench.db.models import Annotator
from workbench.db.session import reading, writing
from workbench.project import Project

LINK_COOKIE, NAME_COOKIE = "workbench_link", "workbench_name"
COOKIE_DAYS = 180
# The server and the script are one process; the script has no other way to be told.
PROJECT_VARIABLE, TEAM_VARIABLE = "WORKBENCH_PROJECT", "WORKBENCH_TEAM"

# A cookie, because it outlives the tab and reaches the server with the next connection.
_REMEMBER = """export default function ({ data }) {
  document.cookie = data.cookie;
}"""


# The name is all there is to do here: the first key pressed should already be part of it.
_FOCUS = """export default function () {
  // The form may come a moment later than this.
  const until = performance.now() + 3000;
  const look = () => {
    const field = document.querySelector('[data-testid="stForm"] input');
    if (field) field.focus();
    else if (performance.now() < until) setTimeout(look, 50);
  };
  look();
}"""


@dataclass(frozen=True)
class Viewer:
    """The person at a page. An annotator sees the review page only."""

    annotator_id: int
    name: str
    role: Role


def project_dir() -> Path:
    """The folder that the server was started for, or the current one."""
    return Path(os.environ.get(PROJECT_VARIABLE, "."))


def is_team() -> bool:
    """Whether other machines may reach this server, so that everybody needs a personal link."""
    return os.environ.get(TEAM_VARIABLE) == "1"


def viewer_here(project: Project) -> Viewer | None:
    """The person at this page; when not known yet, the page asks, and the answer is None."""
    person = _by_link(project, _cookie(LINK_COOKIE))
    if person is not None:
        return person
    if is_team():
        st.header("Open your personal link")
        st.write(
            "This workbench knows people by a link of their own. Open the one that you were sent; "
            "if it does not work any more, ask whoever sent it for a new one."
        )
        return None
    remembered = st.session_state.get(NAME_COOKIE) or unquote(_cookie(NAME_COOKIE))
    refusal = None
    if remembered:
        try:
            viewer = _by_name(project, remembered)
        except BadInput as error:
            refusal = str(error)
        else:
            return viewer
    _ask(project, refusal)
    return None


def _cookie(name: str) -> str:
    value = st.context.cookies.get(name)
    return value if isinstance(value, str) else ""  # AppTest puts a stand-in here


def _ask(project: Project, refusal: str | None) -> None:
    """The form that asks for a name, once per browser."""
    st.title(project.name, anchor=False)
    st.write(
        "Who are you? Your name keeps your answers apart from other people's. "
        "It is asked once in this browser and stays on this computer."
    )
    with st.form("who"):
        name = st.text_input("Your name", max_chars=60, autocomplete="name")
        sent = st.form_submit_button("Start", type="primary")
    if sent:
        try:
            st.session_state[NAME_COOKIE] = _by_name(project, name).name
        except BadInput as error:
            refusal = str(error)
        else:
            st.rerun()
    st.components.v2.component("workbench_focus", js=_FOCUS)(key="focus")
    if refusal:
        st.error(refusal)


def remember_name() -> None:
    """Have the browser keep the name that was typed; once per run of the script."""
    name = st.session_state.get(NAME_COOKIE)
    if name is None:
        return
    cookie = f"{NAME_COOKIE}={quote(name)}; path=/; max-age={COOKIE_DAYS * 86_400}; samesite=strict"
    mount = st.components.v2.component("workbench_remember", js=_REMEMBER)
    mount(data={"cookie": cookie}, key="remember")


def _by_name(project: Project, name: str) -> Viewer:
    """On the owner's own machine everybody may see every page."""
    with writing(project.engine) as session:
        person = enter(session, name)
        return Viewer(person.id, person.name, "owner")


def _by_link(project: Project, token: str) -> Viewer | None:
    if not token:
        return None
    with reading(project.engine) as session:
        person = by_link(session, token)
        return None if person is None else _viewer(person)


def _viewer(person: Annotator) -> Viewer:
    return Viewer(person.id, person.name, "owner" if person.role == "owner" else "annotator")
