"""Where the files of `data/` lie: beside the packages in a checkout, inside ours in a wheel."""

from pathlib import Path

from pipelines.errors import BadInput


def data_dir() -> Path:
    """The folder `data/` of this installation.

    Raises:
        BadInput: It is in neither place.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "data", package.parent / "data"):
        if (folder / "sample").is_dir():
            return folder
    raise BadInput(
        f"{package / 'data'}: the program's own data files are missing; install it again"
    )
