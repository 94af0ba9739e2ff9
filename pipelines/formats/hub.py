"""Data sets of the Hugging Face hub, streamed by name: `hf:ORG/NAME[/CONFIG][:SPLIT]`."""

import re
from collections.abc import Iterator
from typing import Any

from pipelines.errors import BadInput, ServiceFailed

PREFIX = "hf:"
_NAME = re.compile(r"hf:(?P<name>[\w.-]+/[\w.-]+)(/(?P<config>[\w.-]+))?(:(?P<split>[\w.-]+))?")


def hub_rows(reference: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number, row) of a hub data set, in its order; numbers count from 1, the split is "train".

    Raises:
        BadInput: The reference is malformed, the library `datasets` is not installed, or the hub
            has no such data set, configuration or split.
        ServiceFailed: The hub cannot be reached.
    """
    match = _NAME.fullmatch(reference)
    if match is None:
        raise BadInput(
            f"{reference}: not a hub data set; write hf:ORG/NAME, hf:ORG/NAME/CONFIG or "
            "hf:ORG/NAME:SPLIT"
        )
    try:
        from datasets import load_dataset
        from datasets.exceptions import DatasetNotFoundError
    except ImportError as error:
        raise BadInput(
            f"{reference}: reading from the hub needs the library `datasets`; "
            'install it with pip install "rlaif-workbench[train]"'
        ) from error
    try:
        rows = load_dataset(
            match["name"], match["config"], split=match["split"] or "train", streaming=True
        )
        yield from enumerate(rows, start=1)
    except (DatasetNotFoundError, ValueError) as error:
        raise BadInput(f"{reference}: {_first_line(error)}; check the name on the hub") from error
    except OSError as error:
        raise ServiceFailed(
            f"{reference}: the hub cannot be reached ({_first_line(error)}); try again later, or "
            "download the file elsewhere and import that"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
