"""The browser's pages: who is here, and which pages they may open. Streamlit runs this file."""

from functools import partial
from html import escape
from importlib import import_module
from pathlib import Path

import streamlit as st

from pipelines.errors import WorkbenchError
from workbench.app.access import Viewer, project_dir, remember_name, viewer_here
from workbench.app.frame import dress
from workbench.app.listing import REVIEW, VIEWS, View, listed, path_of
from workbench.app.warming import warm_up
from workbench.project import Project

# A file of ours: Streamlit fetches the picture of an icon's name from another site.
ICON = Path(__file__).with_name("icon.svg")


@st.cache_resource(show_spinner=False)
def opened(folder: Path) -> Project:
    """The project of that folder, opened once per server."""
    return Project.open(folder)


def show(view: View, project: Project, viewer: Viewer) -> None:
    """Draw one page. Its module is loaded only now: the review page needs no chart library."""
    module = import_module(path_of(view))
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
    if viewer.role == "owner":
        warm_up(project)
    pages = [
        st.Page(
            partial(_guarded, view, project, viewer),
            title=view.title,
            icon=view.icon,
            url_path=view.module,
            default=view is REVIEW,
        )
        for view in listed(viewer.role)
    ]
    st.navigation(pages, position="top").run()


def _nothing() -> None:
    """The page of somebody who is not known yet: what asks who they are is drawn already."""


def _guarded(view: View, project: Project, viewer: Viewer) -> None:
    if view is not REVIEW:
        dress()
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
