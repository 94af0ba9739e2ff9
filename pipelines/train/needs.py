"""Whether the trainers' packages are installed; no torch is imported to find out."""

import importlib.util

from pipelines.errors import BadInput

_NEEDED = ("torch", "transformers", "trl", "datasets", "accelerate", "peft", "tensorboardX")


def require_trainers() -> None:
    """Refuse to go on without the trainers' packages.

    Raises:
        BadInput: One is missing; the message says how to install them.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise BadInput(
            f"training needs {', '.join(missing)}; install them with "
            "`pip install 'rlaif-workbench[train]'`"
        )
