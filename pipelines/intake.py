"""New parts of a store while they are being written: rows in, files out, everything counted."""

import json
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import pyarrow.parquet as pq

from pipelines.disk import sync
from pipelines.formats.fingerprints import is_empty, is_identical
from pipelines.formats.ids import Admission, Standing
from pipelines.formats.rejects import Reject
from pipelines.manifest import Counts, Part
from pipelines.records import PreferencePair
from pipelines.store import PairStore
from pipelines.tables import DICTIONARY_COLUMNS, SCHEMAS, TABLES, PartBuffer

PART_ROWS = 65_536
GROUP_ROWS = 2_048
GROUP_CHARS = 16_000_000  # long responses make shorter row groups, so that memory stays flat
N_REJECTS_SHOWN = 5


class PartWriter:
    """The three Parquet files of one part."""

    def __init__(self, store: PairStore, number: int):
        self.number = number
        self.rows = dict.fromkeys(TABLES, 0)
        self._paths = {name: store.part_path(name, number) for name in TABLES}
        self._writers = {
            name: pq.ParquetWriter(
                path,
                SCHEMAS[name],
                compression="zstd",
                compression_level=1,
                use_dictionary=DICTIONARY_COLUMNS[name],
            )
            for name, path in self._paths.items()
        }

    def write(self, buffer: PartBuffer) -> None:
        """One row group in each file."""
        for name, table in buffer.tables().items():
            self._writers[name].write_table(table, row_group_size=max(1, table.num_rows))
            self.rows[name] += table.num_rows

    def close(self) -> Part:
        """Finish the files and wait until the disk has them."""
        for writer in self._writers.values():
            writer.close()
        for path in self._paths.values():
            sync(path)
        return Part(
            number=self.number,
            n_pairs=self.rows["pairs"],
            n_verdicts=self.rows["verdicts"],
            n_labels=self.rows["labels"],
        )

    def abandon(self) -> None:
        """Close and remove the files."""
        for writer in self._writers.values():
            writer.close()
        for path in self._paths.values():
            path.unlink(missing_ok=True)


class Intake:
    """Takes the rows of one file. Leaving the block without `commit` removes what was written."""

    def __init__(self, store: PairStore, file_name: str):
        manifest = store.manifest()
        self._store = store
        self._next_part = len(manifest.parts)
        self._next_row = sum(part.n_pairs for part in manifest.parts)
        self._writer: PartWriter | None = None
        self._buffer = PartBuffer(self._next_row)
        # Compression runs beside parsing; one row group may be on its way, not more.
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._writing: Future[None] | None = None
        self._parts: list[Part] = []
        self._rejects = RejectsFile(store.folder / "rejects", file_name)
        self._number = len(manifest.imports)
        self._tally: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._verdicts: Counter[str] = Counter()
        self._labels: Counter[str] = Counter()
        self._kept = False
        self.first_rejects: list[Reject] = []

    def __enter__(self) -> Self:
        self._store.parts_folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=True)
        self._rejects.close()
        if not self._kept:
            if self._writer is not None:
                self._writer.abandon()
            for part in self._parts:
                for name in TABLES:
                    self._store.part_path(name, part.number).unlink(missing_ok=True)

    def reject(self, reject: Reject) -> None:
        """A row that is not taken."""
        self._rejected[reject.reason] += 1
        if len(self.first_rejects) < N_REJECTS_SHOWN:
            self.first_rejects.append(reject)
        self._rejects.write(reject)

    def admit(self, line: int, admission: Admission) -> None:
        """A row that the register has looked at."""
        if admission.standing is Standing.REFUSED:
            self.reject(Reject(line, admission.reason, admission.detail))
        elif admission.standing is Standing.KNOWN:
            self._tally["known"] += 1
        elif admission.standing is Standing.REPEATED:
            self._tally["repeated"] += 1
        else:
            self._count(admission.pair, admission.duplicate)
            self._buffer.add(admission)
            if len(self._buffer) >= GROUP_ROWS or self._buffer.n_chars >= GROUP_CHARS:
                self._flush()

    def finish(self) -> tuple[Part, ...]:
        """Everything on disk; the new parts, which nobody can see yet."""
        self._flush()
        self._close_part()
        sync(self._store.parts_folder)
        return tuple(self._parts)

    def keep(self) -> None:
        """The manifest names the new parts now: leave them where they are."""
        self._kept = True

    def keep_rejects(self, refused: bool) -> Path | None:
        """Give the file of rejects its final name; None when there is none."""
        return self._rejects.keep("refused" if refused else f"{self._number:05d}")

    def counts(self) -> Counts:
        """What became of the rows so far."""
        return Counts(
            taken=self._tally["taken"],
            known=self._tally["known"],
            repeated=self._tally["repeated"],
            rejected=dict(self._rejected.most_common()),
            identical=self._tally["identical"],
            empty=self._tally["empty"],
            duplicate=self._tally["duplicate"],
            verdicts=dict(sorted(self._verdicts.items())),
            labels=dict(sorted(self._labels.items())),
        )

    def _count(self, pair: PreferencePair, duplicate: bool) -> None:
        self._tally["taken"] += 1
        self._tally["identical"] += is_identical(pair)
        self._tally["empty"] += is_empty(pair)
        self._tally["duplicate"] += duplicate
        for judgment in pair.ai:
            self._verdicts[judgment.label or "failed"] += 1
        for label in pair.human:
            self._labels[label.label] += 1

    def _flush(self) -> None:
        self._wait()
        if len(self._buffer) == 0:
            return
        if self._writer is not None and self._writer.rows["pairs"] >= PART_ROWS:
            self._close_part()
        if self._writer is None:
            self._writer = PartWriter(self._store, self._next_part)
            self._next_part += 1
        self._next_row += len(self._buffer)
        self._writing = self._pool.submit(self._writer.write, self._buffer)
        self._buffer = PartBuffer(self._next_row)

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def _close_part(self) -> None:
        self._wait()
        if self._writer is not None:
            self._parts.append(self._writer.close())
            self._writer = None


class RejectsFile:
    """JSON Lines of `line`, `reason`, `detail`; there is no file before the first bad row."""

    def __init__(self, folder: Path, file_name: str):
        self._folder = folder
        self._file_name = file_name
        self._partial = folder / "partial.jsonl"
        self._file: IO[str] | None = None

    def write(self, reject: Reject) -> None:
        """One bad row."""
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = self._partial.open("w", encoding="utf-8")
        row = {"line": reject.line, "reason": reject.reason, "detail": reject.detail}
        self._file.write(json.dumps(row) + "\n")

    def keep(self, prefix: str) -> Path | None:
        """Give the file its name; None when there was no bad row."""
        if self._file is None:
            return None
        self._file.close()
        self._file = None
        path = self._folder / f"{prefix}-{self._file_name}.rejects.jsonl"
        self._partial.replace(path)
        sync(path)
        return path

    def close(self) -> None:
        """Remove what was not kept."""
        if self._file is not None:
            self._file.close()
            self._partial.unlink(missing_ok=True)
