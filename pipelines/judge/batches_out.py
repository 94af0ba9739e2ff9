"""Which judgments are out in a batch: `runs/judge/<judge>/batches-out.txt`, a judgment a line.

What was exported is asked of nobody else until its answers are imported, or the owner gives it up.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.disk import write_whole
from pipelines.errors import BadInput
from pipelines.judge.desk import Ticket
from pipelines.judge.index import PENDING, LogIndex

NAME = "batches-out.txt"


def name_of(ticket: Ticket) -> str:
    """Names a judgment: its question, pair, order and the pair's text."""
    mark = ticket.mark
    return f"{mark.spec[:12]}_{mark.row}_{mark.order or '-'}_{mark.text[:8]}"


def write_out(folder: Path, names: Iterable[str]) -> None:
    """Add judgments that are out now.

    Raises:
        BadInput: The file cannot be written.
    """
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="ascii") as file:
            file.writelines(f"{name}\n" for name in names)
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror}); make room") from error


def read_out(folder: Path, spec_hash: str, index: LogIndex) -> npt.NDArray[np.bool_]:
    """Which judgments of a question are out, shape (n_pairs, n_orders); answered ones are not."""
    out = np.zeros(index.state.shape, dtype=np.bool_)
    for _, place in _places(folder, spec_hash, index):
        if place is not None:
            out[place] = True
    still: npt.NDArray[np.bool_] = out & (index.state == PENDING)
    return still


def take_back(
    folder: Path, spec_hash: str, index: LogIndex, answered: Iterable[tuple[int, int]]
) -> None:
    """Judgments whose answers came, or that are written down, are not out any more.

    Args:
        folder: The judge's folder.
        spec_hash: Of the question that was answered.
        index: What the log says now.
        answered: Row and column of judgments of which a file of answers spoke.
    """
    path = folder / NAME
    if not path.exists():
        return
    back = set(answered)
    left = [
        line
        for line, place in _places(folder, spec_hash, index)
        if place is None or (place not in back and index.state[place] == PENDING)
    ]
    write_whole(path, "".join(f"{line}\n" for line in left))


def _places(
    folder: Path, spec_hash: str, index: LogIndex
) -> list[tuple[str, tuple[int, int] | None]]:
    """Each line, and the row and column that it names under this question."""
    try:
        lines = (folder / NAME).read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return []
    columns = {order or "-": column for column, order in enumerate(index.orders)}
    found: list[tuple[str, tuple[int, int] | None]] = []
    for line in lines:
        parts = line.split("_")
        place = None
        if len(parts) == 4 and parts[0] == spec_hash[:12] and parts[1].isdigit():
            row = int(parts[1])
            here = row < len(index.texts) and index.text(row)[:8] == parts[3]
            if here and parts[2] in columns:
                place = (row, columns[parts[2]])
        found.append((line, place))
    return found
