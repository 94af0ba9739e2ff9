"""Which pages there are, in the order of the line at the top."""

from dataclasses import dataclass
from importlib.util import find_spec

from workbench.audit.people import Role


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
    View("constitution", "Constitution", ":material/balance:"),
    View("training", "Training", ":material/show_chart:"),
    View("win_rates", "Win rates", ":material/leaderboard:"),
    View("export", "Export", ":material/download:"),
    View("project", "Project", ":material/folder:"),
)


def path_of(view: View) -> str:
    """The module of a page, as it is imported."""
    return f"workbench.app.views.{view.module}"


def listed(role: Role) -> list[View]:
    """The pages that a role may open; a page that is not installed is simply not there."""
    return [
        view
        for view in VIEWS
        if (role == "owner" or view is REVIEW) and find_spec(path_of(view)) is not None
    ]
