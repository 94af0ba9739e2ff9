"""The imported pairs of a project on disk: append-only Parquet parts and one manifest.

`runs/imported/pairs/{pairs,verdicts,labels}-NNNNN.parquet` hold the rows. A part exists when
`manifest.json` names it: writing the manifest is the one atomic step of an import, so a reader
never sees half a file, and whatever an interrupted import left behind is invisible. The verdicts of
the project's own judges lie beside them (`pipelines.judged`), under the same manifest.

Arrow's compute functions take 9 MB, so they are imported where they are used: a run of judging, of
which many may share a machine, never needs them.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from pipelines.agreement.annotations import NONE, Annotations
from pipelines.disk import sync, write_whole
from pipelines.errors import BadInput
from pipelines.judged import put_by_id, put_by_row
from pipelines.manifest import ImportRun, JudgedFile, Manifest, Part
from pipelines.preferences.annotations import prompt_codes
from pipelines.records import Judgment, PreferencePair
from pipelines.tables import SCHEMAS, TABLES, TEXT_COLUMNS, bare_pairs_of, numbers, pairs_of

_TEXT_ROWS = 256
_FEATURE_NUMBERS = ("chars_prompt", "chars_a", "chars_b", "turns")
_FEATURE_FLAGS = ("identical", "empty", "duplicate")
_FEATURE_NAMES = ("source", "subset", "model_a", "model_b")


class PairStore:
    """Reads the imported pairs of a project; `pipelines.importing` writes them.

    A pair's row is its place over all parts, from 0; it never changes.
    """

    def __init__(self, project_dir: Path):
        self.folder = project_dir / "runs" / "imported"
        self.parts_folder = self.folder / "pairs"
        self.judged_folder = self.folder / "judged"
        self.manifest_path = self.folder / "manifest.json"

    def manifest(self) -> Manifest:
        """What has been imported so far; empty before the first import.

        Raises:
            BadInput: The manifest is damaged.
        """
        try:
            return Manifest.model_validate_json(self.manifest_path.read_bytes())
        except FileNotFoundError:
            return Manifest()
        except ValidationError as error:
            raise BadInput(
                f"{self.manifest_path}: damaged, or written by another version of the program; "
                "restore it from a copy, or move the folder away and import again"
            ) from error

    def commit(self, parts: Sequence[Part], run: ImportRun) -> None:
        """Make new parts, complete on disk already, part of the store: the one atomic step."""
        manifest = self.manifest()
        self._commit(
            manifest.model_copy(
                update={
                    "parts": (*manifest.parts, *parts),
                    "imports": (*manifest.imports, run),
                }
            )
        )

    def commit_judged(self, judged: Sequence[JudgedFile]) -> None:
        """Make these, complete on disk already, the verdicts of the project's own judges."""
        self._commit(self.manifest().model_copy(update={"judged": tuple(judged)}))

    def _commit(self, manifest: Manifest) -> None:
        write_whole(self.manifest_path, manifest.model_dump_json(indent=1))
        sync(self.folder)

    def __len__(self) -> int:
        return sum(part.n_pairs for part in self.manifest().parts)

    def part_path(self, table: str, number: int) -> Path:
        """Where one of the three files of a part is."""
        return self.parts_folder / f"{table}-{number:05d}.parquet"

    def put_judgments(self, judge: str, judgments: Iterable[tuple[str, Judgment]]) -> int:
        """Make these all the judgments of one of the project's own judges, in one step.

        Whatever it had before is replaced. Killed on the way, the store is as it was.

        Args:
            judge: The judge's name; the judgments are kept under it.
            judgments: The id of a pair and a judgment on it, in any order.

        Returns:
            How many there are.

        Raises:
            BadInput: No pair has such an id; imported verdicts have this judge's name; or the disk
                cannot be written.
        """
        return put_by_id(self, judge, judgments)

    def put_judgments_by_row(self, judge: str, judgments: Iterable[tuple[int, Judgment]]) -> int:
        """`put_judgments` for millions: by the pairs' rows, which must never decrease."""
        return put_by_row(self, judge, judgments)

    def check_judge_name(self, judge: str) -> None:
        """Whether one of the project's own judges may have this name.

        Raises:
            BadInput: Imported verdicts have it, and the two would be taken for one judge.
        """
        for part in self.manifest().parts:
            path = self.part_path("verdicts", part.number)
            with pq.ParquetFile(path, read_dictionary=["judge"]) as file:
                for batch in file.iter_batches(columns=["judge"]):
                    if judge in batch["judge"].dictionary.to_pylist():
                        raise BadInput(
                            f'the imported pairs already hold verdicts of a judge "{judge}"; '
                            "give the judge in project.toml another name"
                        )

    def annotations(self) -> Annotations:
        """Every verdict and label, from the narrow columns alone."""
        pairs = self._columns("pairs", ["prompt_hash", *_FEATURE_FLAGS])
        verdicts = self._columns(
            "verdicts", ["pair", "judge", "order", "label", "p_a", "failure"], ["judge"]
        )
        labels = self._columns("labels", ["pair", "annotator", "label"], ["annotator"])
        judges, verdict_judge = _coded(verdicts["judge"])
        annotators, label_annotator = _coded(labels["annotator"])
        return Annotations(
            n_pairs=len(pairs),
            prompt=prompt_codes(_numpy(pairs["prompt_hash"])),
            judges=judges,
            verdict_pair=_numpy(verdicts["pair"]),
            verdict_judge=verdict_judge,
            verdict_order=_numpy(verdicts["order"]),
            verdict_label=_numpy(verdicts["label"]),
            verdict_p_a=_numpy(verdicts["p_a"]),
            verdict_failure=_numpy(verdicts["failure"]),
            annotators=annotators,
            label_pair=_numpy(labels["pair"]),
            label_annotator=label_annotator,
            label_value=_numpy(labels["label"]),
            n_identical=int(_numpy(pairs["identical"]).sum()),
            n_duplicate=int(_numpy(pairs["duplicate"]).sum()),
            n_empty=int(_numpy(pairs["empty"]).sum()),
        )

    def features(self) -> dict[str, npt.NDArray[Any]]:
        """Columns about the pairs, each of shape (n_pairs,).

        `chars_prompt`, `chars_a`, `chars_b`, `turns`: int32; `identical`, `empty`, `duplicate`:
        bool; `source`, `subset`, `model_a`, `model_b`: objects, text or None.
        """
        names = [*_FEATURE_NUMBERS, *_FEATURE_FLAGS, *_FEATURE_NAMES]
        table = self._columns("pairs", names, list(_FEATURE_NAMES))
        found = {name: _numpy(table[name]) for name in (*_FEATURE_NUMBERS, *_FEATURE_FLAGS)}
        for name in _FEATURE_NAMES:
            values, codes = _coded(table[name])
            # Every row points at one of a few texts; code -1 (null) points at the last: None.
            found[name] = np.array([*values, None], dtype=object)[codes]
        return found

    def meta_values(self, key: str) -> npt.NDArray[np.object_]:
        """What each pair's `meta` holds under a key; None where it has no such key. (n_pairs,)."""
        from pyarrow import compute as pc

        column = self._columns("pairs", ["meta"])["meta"]
        found = np.full(len(column), None, dtype=object)
        # JSON is parsed only where the key can be.
        for row in np.flatnonzero(
            _numpy(
                pc.fill_null(pc.match_substring(column, json.dumps(key, ensure_ascii=False)), False)
            )
        ):
            found[row] = json.loads(column[int(row)].as_py()).get(key)
        return found

    def pair_ids(self) -> list[str]:
        """The id of every pair, in row order."""
        ids: list[str] = self._columns("pairs", ["id"])["id"].to_pylist()
        return ids

    def id_column(self) -> pa.Array:
        """The same as one Arrow array: a third of the memory."""
        return self._columns("pairs", ["id"])["id"].combine_chunks()

    def text_hashes(self) -> npt.NDArray[np.uint64]:
        """A hash of each pair's prompt and responses: shape (n_pairs,)."""
        parts = [np.zeros(0, dtype=np.uint64)]
        for part in self.manifest().parts:
            with pq.ParquetFile(self.part_path("pairs", part.number)) as file:
                table = file.read(columns=["text_hash"], use_threads=False)
            parts.append(numbers(table["text_hash"]))
        return np.concatenate(parts)

    def rows_of(self, ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """The row of each id, -1 for an id that is not here. Shape (len(ids),)."""
        from pyarrow import compute as pc

        rows = pc.index_in(pa.array(ids, pa.string()), value_set=self.id_column())
        return _numpy(pc.fill_null(rows, -1)).astype(np.int64)

    def pairs(self, rows: Sequence[int]) -> list[PreferencePair]:
        """The whole pairs at these rows, in this order.

        Raises:
            IndexError: A row that does not exist.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        if wanted.size and not 0 <= wanted.min() <= wanted.max() < len(self):
            raise IndexError(f"rows go from 0 to {len(self) - 1}")
        found: dict[int, PreferencePair] = {}
        needed = np.unique(wanted)
        with self._reader() as read:
            for place in self._row_groups():
                here = needed[(needed >= place.first) & (needed < place.last)]
                if here.size:
                    found.update(read(place, here - place.first))
        return [found[int(row)] for row in wanted]

    def iter_pairs(self) -> Iterator[PreferencePair]:
        """All pairs, whole, in row order; one row group in memory at a time."""
        with self._reader() as read:
            for place in self._row_groups():
                yield from read(place, np.arange(place.last - place.first)).values()

    def iter_texts(self, wanted: npt.NDArray[np.bool_]) -> Iterator[tuple[int, PreferencePair]]:
        """The wanted pairs with their rows, in row order, without verdicts and labels.

        Args:
            wanted: Shape (n_pairs,).
        """
        first = 0
        for part in self.manifest().parts:
            with pq.ParquetFile(self.part_path("pairs", part.number)) as file:
                for group in range(file.num_row_groups):
                    last = first + file.metadata.row_group(group).num_rows
                    if wanted[first:last].any():
                        yield from self._texts(file, group, first, wanted)
                    first = last

    def _texts(
        self, file: pq.ParquetFile, group: int, first: int, wanted: npt.NDArray[np.bool_]
    ) -> Iterator[tuple[int, PreferencePair]]:
        """The wanted pairs of one row group, a few hundred as Python objects at a time."""
        for batch in file.iter_batches(
            _TEXT_ROWS, row_groups=[group], columns=TEXT_COLUMNS, use_threads=False
        ):
            here = np.flatnonzero(wanted[first : first + len(batch)])
            for place, pair in zip(here.tolist(), bare_pairs_of(batch, here), strict=True):
                yield first + place, pair
            first += len(batch)

    def said_by(self, judge: str) -> Iterator[tuple[int, str | None]]:
        """Row and `raw` of each verdict without a failure of one of the project's own judges."""
        for file in self.manifest().judged:
            if file.judge == judge:
                with pq.ParquetFile(self.judged_folder / file.file) as opened:
                    for batch in opened.iter_batches(columns=["pair", "raw", "failure"]):
                        columns = (batch[name].to_pylist() for name in ("pair", "raw", "failure"))
                        for row, raw, failure in zip(*columns, strict=True):
                            if failure == NONE:
                                yield row, raw

    def group_ends(self) -> list[int]:
        """The row after the last of each row group, in order."""
        return [place.last for place in self._row_groups()]

    def iter_identities(self) -> Iterator[tuple[str, bytes, int]]:
        """(id, row hash, text hash) of every pair, in row order."""
        for part in self.manifest().parts:
            with pq.ParquetFile(self.part_path("pairs", part.number)) as file:
                for batch in file.iter_batches(columns=["id", "row_hash", "text_hash"]):
                    yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def content_hash(self) -> str:
        """SHA-256 of all ids and row contents in order: equal hashes, equal pairs and labels."""
        ids, contents, n_pairs = hashlib.sha256(), hashlib.sha256(), 0
        table = self._columns("pairs", ["id", "row_hash"])
        for batch in table.to_batches(max_chunksize=1 << 16):
            n_pairs += len(batch)
            ids.update("\n".join([*batch["id"].to_pylist(), ""]).encode())
            contents.update(b"".join(batch["row_hash"].to_pylist()))
        whole = f"{n_pairs} {ids.hexdigest()} {contents.hexdigest()}"
        for file in sorted(self.manifest().judged, key=lambda one: one.judge):
            whole += f" {file.judge!r} {file.sha256}"
        return hashlib.sha256(whole.encode()).hexdigest()

    def _columns(
        self, table: str, names: list[str], dictionaries: list[str] | None = None
    ) -> pa.Table:
        """Some columns of all parts; those in `dictionaries` stay dictionary-encoded."""
        parts = [
            pq.read_table(
                self.part_path(table, part.number),
                columns=names,
                read_dictionary=dictionaries,
                partitioning=None,
            )
            for part in self.manifest().parts
        ]
        if table == "verdicts":
            parts += [
                pq.read_table(
                    self.judged_folder / file.file, columns=names, read_dictionary=dictionaries
                )
                for file in self.manifest().judged
            ]
        if parts:
            return pa.concat_tables(parts).unify_dictionaries()
        schema = pa.schema([SCHEMAS[table].field(name) for name in names])
        return schema.empty_table()

    def _row_groups(self) -> Iterator["_RowGroup"]:
        """Every row group of the pairs, in order."""
        first = number = 0
        for part in self.manifest().parts:
            metadata = pq.read_metadata(self.part_path("pairs", part.number))
            for group in range(metadata.num_row_groups):
                last = first + metadata.row_group(group).num_rows
                yield _RowGroup(first, last, part.number, group, number)
                first, number = last, number + 1

    @contextmanager
    def _reader(self) -> Iterator["_Read"]:
        """A function that reads some pairs of one row group, whole, by row."""
        with ExitStack() as stack:
            judged = [
                stack.enter_context(pq.ParquetFile(self.judged_folder / file.file))
                for file in self.manifest().judged
            ]

            def read(place: _RowGroup, places: npt.NDArray[np.int64]) -> dict[int, PreferencePair]:
                tables = {}
                for name in TABLES:
                    with pq.ParquetFile(self.part_path(name, place.part)) as file:
                        tables[name] = file.read_row_group(place.group)
                for file in judged:
                    if place.number < file.num_row_groups:  # else imported after it was judged
                        more = file.read_row_group(place.number)
                        tables["verdicts"] = pa.concat_tables([tables["verdicts"], more])
                pairs = pairs_of(tables, place.first, places)
                return dict(zip((place.first + places).tolist(), pairs, strict=True))

            yield read


@dataclass(frozen=True)
class _RowGroup:
    """Rows `first` to `last` (not included): group `group` of a part, `number` over all parts."""

    first: int
    last: int
    part: int
    group: int
    number: int


_Read = Callable[[_RowGroup, npt.NDArray[np.int64]], dict[int, PreferencePair]]


def _numpy(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = column.to_numpy()
    return array


def _coded(column: pa.ChunkedArray) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
    """The distinct texts of a column, and each row's index among them (-1 for null)."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    if column.num_chunks == 0:
        return (), np.zeros(0, dtype=np.int32)
    from pyarrow import compute as pc

    codes = [pc.fill_null(chunk.indices, -1).to_numpy() for chunk in column.chunks]
    return tuple(column.chunk(0).dictionary.to_pylist()), np.concatenate(codes).astype(np.int32)
