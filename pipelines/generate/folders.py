"""A folder as rows: a data set that the library `datasets` saved, or files of data."""

from collections.abc import Iterator
from pathlib import Path

from pipelines.errors import BadInput
from pipelines.formats.containers import RawRow, iter_rows, open_source

_SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".gz")
_ABOUT = ("dataset_info.json", "dataset_infos.json", "state.json", "dataset_dict.json")


def folder_rows(folder: Path) -> Iterator[tuple[int, RawRow]]:
    """(number, row), counted through all files in alphabetical order.

    A data set that was saved with splits gives its split "train", or else its only one.

    Raises:
        BadInput: There is nothing to read, or the library is missing.
    """
    if any((folder / name).is_file() for name in ("state.json", "dataset_dict.json")):
        yield from _saved(folder)
        return
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix.lower() in _SUFFIXES and path.name not in _ABOUT
    ]
    if not files:
        raise BadInput(f"{folder}: holds no data files; expected JSONL, CSV or Parquet")
    number = 0
    for path in files:
        for _, row in iter_rows(open_source(path)):
            number += 1
            yield number, row


def _saved(folder: Path) -> Iterator[tuple[int, RawRow]]:
    try:
        from datasets import DatasetDict, load_from_disk
    except ImportError as error:
        raise BadInput(
            f"{folder}: reading a saved data set needs the library `datasets`; "
            'install it with pip install "rlaif-workbench[train]"'
        ) from error
    try:
        found = load_from_disk(str(folder))
    except (OSError, ValueError) as error:
        first = (str(error).splitlines() or ["no reason"])[0]
        raise BadInput(f"{folder}: cannot be read as a saved data set ({first})") from error
    if isinstance(found, DatasetDict):
        names = list(found)
        if "train" not in names and len(names) != 1:
            raise BadInput(
                f"{folder}: has the splits {', '.join(names)}; name the folder of one of them"
            )
        found = found["train" if "train" in names else names[0]]
    yield from enumerate(found, start=1)
