"""The browser's pages: who is here, and which pages they may open. Streamlit runs this file."""

from dataclasses import dataclass
from functools import partial
from html import escape
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import streamlit as st

from pipelines.errors import WorkbenchError
from workbench.app.access import Viewer, project_dir, remember_name, viewer_here
from workbench.project import Project

# A file of ours: Streamlit fetches the picture of an icon's name from another site.
ICON = Path(__file__).with_name("icon.svg")


@dataclass(frozen=True)
class View:
    """One page: a module of `workbench.app.views` that has `render(project)`.

    The review page is about one person: its `render` takes the viewer too.
    """

    module: str
    title: str
    icon: str


REVIEW = View("review", "Review", ":material/rule:")
VIEWS = (
    REVIEW,
    View("agreement", "Agreement", ":material/handshake:"),
    View("disagreements", "Disagreements", ":material/compare_arrows:"),
    View("adjudication", "Adjudication", ":material/gavel:"),
    View("rounds", "Rounds", ":material/casino:"),
    View("export", "Export", ":material/download:"),
    View("project", "Project", ":material/folder:"),
)


@st.cache_resource(show_spinner=False)
def opened(folder: Path) -> Project:
    """The project of that folder, opened once per server."""
    return Project.open(folder)


def listed(viewer: Viewer) -> list[View]:
    """The pages that this person may open; a page that is not installed is simply not there."""
    return [
        view
        for view in VIEWS
        if (viewer.role == "owner" or view is REVIEW)
        and find_spec(f"workbench.app.views.{view.module}") is not None
    ]


def show(view: View, project: Project, viewer: Viewer) -> None:
    """Draw one page. Its module is loaded only now: the review page needs no chart library."""
    module = import_module(f"workbench.app.views.{view.module}")
    if view is REVIEW:
        module.render(project, viewer)
    else:
        module.render(project)


def main() -> None:
    """One run of the script."""
    st.set_page_config(page_title="Workbench", page_icon=str(ICON), layout="wide")
    project = opened(project_dir())
    viewer = viewer_here(project)
    if viewer is None:
        # Whichever page was asked for: it is shown after the name is known.
        welcome = [st.Page(_nothing, title="Welcome", url_path=view.module) for view in VIEWS]
        st.navigation(welcome, position="hidden").run()
        return
    remember_name()
    pages = [
        st.Page(
            partial(_guarded, view, project, viewer),
            title=view.title,
            icon=view.icon,
            url_path=view.module,
            default=view is REVIEW,
        )
        for view in listed(viewer)
    ]
    st.navigation(pages, position="top").run()


def _nothing() -> None:
    """The page of somebody who is not known yet: what asks who they are is drawn already."""


def _guarded(view: View, project: Project, viewer: Viewer) -> None:
    try:
        show(view, project, viewer)
    except WorkbenchError as error:
        st.error(str(error))
    if view is not REVIEW:
        st.divider()
        st.html(
            f"<small>You are {escape(viewer.name)}. "
            '<a href="leave" target="_self" style="color: inherit">Not you?</a></small>'
        )


main()
