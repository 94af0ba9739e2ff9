"""What the commands that describe a file share: reading it once, counting what was left out."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.agreement.annotations import Annotations
    from pipelines.records import PreferencePair

_LINES_SHOWN = 3


@dataclass(frozen=True)
class FileContent:
    """The verdicts in a file (or project), and the rows that could not be taken."""

    annotations: "Annotations"
    format: str
    n_rejected: int
    rejected: str  # one sentence on the rows left out, "" when there are none


def read_annotations(
    path: Path,
    format: str | None = None,
    visit: "Callable[[PreferencePair], None] | None" = None,
) -> FileContent:
    """All verdicts of a file of preferences, or of the pairs imported into a project folder.

    Args:
        path: A file in any supported format, or a project's folder.
        format: The file's format; detected when None.
        visit: Called with every pair of a file.

    Raises:
        BadInput: Nothing there can be read as a preference pair.
    """
    from pipelines.errors import BadInput
    from pipelines.formats.reading import Reject, file_format, read_pairs
    from pipelines.preferences.annotations import AnnotationsBuilder
    from workbench.cli.progress import byte_progress
    from workbench.project import Project

    if path.is_dir():
        annotations = Project.open(path).annotations()
        if annotations.n_pairs == 0:
            raise BadInput(f"{path}: the project has no pairs yet; run `workbench import FILE`")
        return FileContent(annotations, "project", 0, "")
    builder = AnnotationsBuilder()
    n_pairs = 0
    reasons: Counter[str] = Counter()
    first: dict[str, list[Reject]] = {}
    name = file_format(path, format)
    with byte_progress(path) as on_bytes:
        for row in read_pairs(path, name, on_bytes=on_bytes):
            if isinstance(row, Reject):
                reasons[row.reason] += 1
                if reasons[row.reason] <= _LINES_SHOWN:
                    first.setdefault(row.reason, []).append(row)
                continue
            n_pairs += 1
            builder.add(row)
            if visit is not None:
                visit(row)
    if n_pairs == 0:
        told = next((rows[0] for rows in first.values()), None)
        why = "" if told is None else f"; line {told.line}: {told.detail}"
        raise BadInput(f"{path}: none of its rows is a preference pair{why}")
    n_rejected = sum(reasons.values())
    parts = []
    for reason, count in reasons.most_common():
        lines = ", ".join(str(row.line) for row in first[reason])
        more = ", ..." if count > _LINES_SHOWN else ""
        parts.append(f"{count:,} {reason} (line{'s' if count > 1 else ''} {lines}{more})")
    rejected = (
        f"Left out {n_rejected:,} of {n_pairs + n_rejected:,} rows: {'; '.join(parts)}."
        if parts
        else ""
    )
    return FileContent(builder.build(), name, n_rejected, rejected)


def counted(number: int, noun: str) -> str:
    """`1 judge`, `2 judges`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
