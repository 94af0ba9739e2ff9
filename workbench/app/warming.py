"""Makes the first visit of a research page as quick as the later ones.

Chart and table libraries take seconds to load and 100 MB to keep, so a server that only
annotators use never loads them: this begins when an owner is known to be near.
"""

import logging
import threading
from importlib import import_module

from sqlalchemy.exc import SQLAlchemyError

from pipelines.errors import WorkbenchError
from workbench.app.listing import listed, path_of
from workbench.project import Project

_log = logging.getLogger(__name__)
_begun = threading.Event()


def warm_up(project: Project) -> None:
    """Load the pages and read the newest round on a thread of its own, once per process."""
    if _begun.is_set():
        return
    _begun.set()
    threading.Thread(target=_load, args=(project,), name="warm-up", daemon=True).start()


def _load(project: Project) -> None:
    for view in listed("owner"):
        import_module(path_of(view))
    from workbench.app.findings import warm

    try:
        warm(project)
    except (WorkbenchError, SQLAlchemyError) as error:  # the page that needs it will say so
        _log.info("nothing was read in advance: %s", error)
