"""One file of preferences into the store of a project: all of it, or nothing.

Rows go to new Parquet parts; the manifest that names them is replaced at the very end, by one
atomic rename. Killed before that, the store is as it was, and the next import removes the files
that the manifest does not name.
"""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.config import RunConfig
from pipelines.disk import sole
from pipelines.errors import BadInput
from pipelines.formats.containers import OnBytes
from pipelines.formats.ids import Register
from pipelines.formats.options import ReadOptions
from pipelines.formats.reading import Row, file_format, read_rows
from pipelines.formats.rejects import Reject
from pipelines.intake import Intake
from pipelines.manifest import Counts, ImportRun
from pipelines.provenance import git_revision, program_version
from pipelines.store import PairStore
from pipelines.tables import TABLES


@dataclass(frozen=True)
class ImportSummary:
    """What an import did, or with `committed` False, would have done."""

    file: str
    format: str
    counts: Counts
    committed: bool
    earlier: bool  # this very file came before, so it was not read again
    rejects_path: Path | None
    first_rejects: tuple[Reject, ...]
    seconds: float
    n_pairs: int  # in the project, afterwards


def import_file(
    store: PairStore,
    path: Path,
    config: RunConfig,
    format: str | None = None,
    options: ReadOptions | None = None,
    strict: bool = False,
    dry_run: bool = False,
    on_bytes: OnBytes | None = None,
    now: float | None = None,
) -> ImportSummary:
    """Take a file's pairs into the store; importing the same file again changes nothing.

    Args:
        store: The project's pairs.
        path: Any supported file.
        config: Kept in the manifest with the run.
        format: One of `detect.FORMATS`; None looks at the first rows.
        options: How a foreign format becomes pairs.
        strict: One bad row refuses the whole file.
        dry_run: Read and count everything, keep nothing.
        on_bytes: Called now and then with the number of bytes read so far.
        now: The time to record, Unix seconds; the clock's where None.

    Raises:
        BadInput: The file cannot be read; another import is running; or `strict` and a bad row.
    """
    started_at, start = time.time() if now is None else now, time.perf_counter()
    options = options or ReadOptions()
    name = file_format(path, format)
    said = path.name if path.is_file() else str(path)  # the whole name of a hub data set
    with _locked(store.folder):
        _remove_orphans(store)
        sha256 = _sha256(path)
        earlier = _earlier_run(store, sha256, name, options)
        if earlier is not None:
            return ImportSummary(
                file=said,
                format=name,
                counts=earlier.counts,
                committed=True,
                earlier=True,
                rejects_path=store.folder / earlier.rejects if earlier.rejects else None,
                first_rejects=(),
                seconds=time.perf_counter() - start,
                n_pairs=len(store),
            )
        with Intake(store, path.name) as intake:
            _take_rows(intake, store, read_rows(path, name, options, on_bytes))
            parts = intake.finish()
            counts = intake.counts()
            refused = strict and bool(counts.rejected)
            committed = bool(parts) and not refused and not dry_run
            rejects = None if dry_run else intake.keep_rejects(refused=not committed)
            if committed:
                run = ImportRun(
                    file=said,
                    sha256=sha256,
                    n_bytes=path.stat().st_size if sha256 else 0,
                    format=name,
                    options=asdict(options),
                    config=config.model_dump(mode="json"),
                    counts=counts,
                    rejects=str(rejects.relative_to(store.folder)) if rejects else None,
                    started_at=started_at,
                    seconds=time.perf_counter() - start,
                    version=program_version(),
                    git_revision=git_revision(),
                )
                store.commit(parts, run)
                intake.keep()
    if refused:
        raise BadInput(_refusal(path, intake.first_rejects, counts, rejects))
    return ImportSummary(
        file=said,
        format=name,
        counts=counts,
        committed=committed,
        earlier=False,
        rejects_path=rejects,
        first_rejects=tuple(intake.first_rejects),
        seconds=time.perf_counter() - start,
        n_pairs=len(store),
    )


def _take_rows(intake: Intake, store: PairStore, rows: Iterator[Row | Reject]) -> None:
    """Every row of the file, seen beside what the store holds already."""
    register = Register()
    for pair_id, row_hash, text in store.iter_identities():
        register.remember(pair_id, row_hash, text)
    for row in rows:
        if isinstance(row, Reject):
            intake.reject(row)
        else:
            intake.admit(row.line, register.admit(row.pair))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One import at a time.

    A disk that is full or read-only is told as such; what was written is removed by then.
    """

    def busy(process: str) -> BadInput:
        return BadInput(
            f"{folder}: another import is running (process {process}); wait until it is done"
        )

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("a+", encoding="utf-8") as file, sole(file, busy):
            yield
    except OSError as error:
        raise BadInput(
            f"{folder}: cannot be written ({error.strerror or error}); nothing was imported"
        ) from error


def _remove_orphans(store: PairStore) -> None:
    """Remove what an interrupted import left behind."""
    manifest = store.manifest()
    known = {store.part_path(name, part.number) for part in manifest.parts for name in TABLES}
    for path in store.parts_folder.glob("*.parquet"):
        if path not in known:
            path.unlink()
    kept = {run.rejects for run in manifest.imports}
    for path in (store.folder / "rejects").glob("*.jsonl"):
        if str(path.relative_to(store.folder)) not in kept and not path.name.startswith("refused-"):
            path.unlink()
    store.manifest_path.with_suffix(".partial").unlink(missing_ok=True)


def _sha256(path: Path) -> str | None:
    """The hash of a file; None for a data set of the hub, which has no bytes of its own."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _earlier_run(
    store: PairStore, sha256: str | None, format: str, options: ReadOptions
) -> ImportRun | None:
    """The run that took this very file in this very way, if there was one."""
    if sha256 is None:
        return None
    wanted = (sha256, format, asdict(options), program_version())
    for run in store.manifest().imports:
        if (run.sha256, run.format, run.options, run.version) == wanted:
            return run
    return None


def _refusal(path: Path, first: list[Reject], counts: Counts, rejects: Path | None) -> str:
    n_bad = sum(counts.rejected.values())
    what = "row is" if n_bad == 1 else "rows are"
    return (
        f"{path}:{first[0].line}: {first[0].detail}; {n_bad:,} {what} bad, so --strict took nothing"
        f" (all of them are listed in {rejects})"
    )
