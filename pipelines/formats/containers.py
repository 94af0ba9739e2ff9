"""Files as streams of rows: JSON Lines, a JSON array, CSV, Parquet, each plain or gzipped.

A text row comes out as bytes (JSON) so that a format may parse it straight into a record; rows of
CSV and Parquet come out as dicts. Nothing here holds more than one row, or one small batch.
"""

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from pipelines.errors import BadInput
from pipelines.formats.hub import PREFIX, hub_rows

Container = Literal["jsonl", "json", "csv", "tsv", "parquet", "hub"]
RawRow = bytes | dict[str, Any]
OnBytes = Callable[[int], None]

_BOM = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"
_CHUNK = 1 << 20
_PARQUET_BATCH_ROWS = 512
_REPORT_EVERY_ROWS = 200
_INDEX = "__index_level_"  # a column that pandas adds, and nobody's data


@dataclass(frozen=True)
class Source:
    """A file, or a data set of the hub, and how its bytes are laid out."""

    path: Path
    container: Container
    gzipped: bool
    n_bytes: int


def open_source(path: Path) -> Source:
    """Look at a file's first bytes and its name; no row is read. `hf:...` names a hub data set.

    Raises:
        BadInput: No such file, an empty file, UTF-16, or gzipped Parquet.
    """
    if str(path).startswith(PREFIX):
        return Source(path, "hub", False, 0)
    try:
        with path.open("rb") as file:
            gzipped = file.read(2) == b"\x1f\x8b"
        n_bytes = path.stat().st_size
        with _opened(path, gzipped) as (stream, _):
            start = stream.read(4096)
    except OSError as error:
        reason = error.strerror or str(error)
        hint = "check the path"
        if len(path.parts) == 2 and isinstance(error, FileNotFoundError):
            hint += f", or write hf:{path} for a data set of the Hugging Face hub"
        raise BadInput(f"{path}: cannot be read ({reason}); {hint}") from error
    except (EOFError, zlib.error) as error:
        raise BadInput(f"{path}: the gzip data are damaged; make the file again") from error
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if start[:4] == b"PAR1":
        if gzipped:
            raise BadInput(f"{path}: Parquet inside gzip is not read; gunzip it first")
        return Source(path, "parquet", False, n_bytes)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise BadInput(f"{path}: the text is UTF-16; save it as UTF-8")
    start = start.removeprefix(_BOM).lstrip(_SPACE)
    if not start:
        raise BadInput(f"{path}: the file is empty; there is nothing to read")
    if start[:1] == b"[":
        return Source(path, "json", gzipped, n_bytes)
    if start[:1] != b"{" and ".tsv" in suffixes:
        return Source(path, "tsv", gzipped, n_bytes)
    if start[:1] != b"{" and ".csv" in suffixes:
        return Source(path, "csv", gzipped, n_bytes)
    return Source(path, "jsonl", gzipped, n_bytes)


def iter_rows(
    source: Source, on_bytes: OnBytes | None = None
) -> Generator[tuple[int, RawRow], None, None]:
    """(line, row) for every row, in order; lines count from 1, blank lines are not rows.

    Args:
        source: From `open_source`.
        on_bytes: Called now and then with the number of bytes of the file read so far.

    Raises:
        BadInput: The file cannot be read to its end as what it is.
    """
    if source.container == "hub":
        yield from hub_rows(str(source.path))
        return
    if source.container == "parquet":
        yield from _parquet_rows(source, on_bytes)
        return
    with _opened(source.path, source.gzipped) as (stream, position):
        rows: Generator[tuple[int, RawRow], None, None]
        if source.container == "json":
            rows = split_array(stream)
        elif source.container == "jsonl":
            rows = _lines(stream)
        else:
            rows = _csv_rows(source, stream)
        try:
            with closing(rows):  # before the stream under it
                for number, row in enumerate(rows):
                    if on_bytes is not None and number % _REPORT_EVERY_ROWS == 0:
                        on_bytes(position())
                    yield row
        except (OSError, EOFError, zlib.error) as error:
            raise BadInput(
                f"{source.path}: reading stopped before the end ({error}); make the file again"
            ) from error
        if on_bytes is not None:
            on_bytes(source.n_bytes)


@contextmanager
def _opened(path: Path, gzipped: bool) -> Iterator[tuple[IO[bytes], Callable[[], int]]]:
    """The unpacked stream, and a function that says how many bytes of the file were read."""
    with path.open("rb", buffering=_CHUNK) as raw:
        if not gzipped:
            yield raw, raw.tell
            return
        with gzip.GzipFile(fileobj=raw) as unpacked:
            yield io.BufferedReader(unpacked, _CHUNK), raw.tell


def _lines(stream: IO[bytes]) -> Generator[tuple[int, RawRow], None, None]:
    for number, line in enumerate(stream, start=1):
        if number == 1:
            line = line.removeprefix(_BOM)
        if line := line.strip(_SPACE):
            yield number, line


# A whole string, a quote whose string does not end in the buffer, or a bracket.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|"|[{}\[\]]', re.DOTALL)


def split_array(stream: IO[bytes], chunk: int = _CHUNK) -> Generator[tuple[int, bytes], None, None]:
    """The elements of one top-level JSON array, as (line, bytes), without parsing them.

    Read in pieces of `chunk` bytes, or of an element's size when that is larger. Whatever stands
    between two objects and is no comma comes out as a row too, so that it is counted as a bad one.
    """
    buffer = stream.read(chunk).removeprefix(_BOM)
    line = 1
    depth = 0  # 1: inside the array, between elements
    start = 0  # where the present element, or the gap before it, starts
    at = 0  # everything before has been scanned
    while True:
        for token in _TOKEN.finditer(buffer, at):
            text = token.group()
            if text == b'"':
                at = token.start()  # the rest of this string is not here yet
                break
            at = token.end()
            if text in (b"{", b"["):
                if depth == 0:
                    start = at
                elif depth == 1:
                    yield from _gap(line, buffer[start : token.start()])
                    line += buffer.count(b"\n", start, token.start())
                    start = token.start()
                depth += 1
            elif text in (b"}", b"]"):
                depth -= 1
                if depth == 1:
                    yield line, buffer[start:at]
                    line += buffer.count(b"\n", start, at)
                    start = at
                elif depth == 0:
                    yield from _gap(line, buffer[start : token.start()])
                    start = at
        else:
            # A number or a word may be cut at the end of the buffer, but no token is.
            at = len(buffer)
        more = stream.read(max(chunk, len(buffer) - start))
        if not more:
            break
        line += buffer.count(b"\n", 0, start) if depth == 0 else 0
        buffer = buffer[start:] + more
        at -= start
        start = 0
    yield from _gap(line, buffer[start:])


def _gap(line: int, text: bytes) -> Iterator[tuple[int, bytes]]:
    """What stands between two objects: nothing but a comma, or elements that are no objects."""
    junk = text.lstrip(_SPACE + b",")
    line += text.count(b"\n", 0, len(text) - len(junk))
    junk = junk.rstrip(_SPACE + b",")
    if not junk:
        return
    try:
        elements = json.loads(b"[" + junk + b"]")
    except (ValueError, RecursionError):
        yield line, junk
        return
    for element in elements:
        yield line, json.dumps(element).encode()


def _csv_rows(source: Source, stream: IO[bytes]) -> Generator[tuple[int, RawRow], None, None]:
    csv.field_size_limit(2**31 - 1)  # responses of many megabytes are simply read
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.DictReader(
        text, delimiter="\t" if source.container == "tsv" else ",", restkey="", strict=True
    )
    try:
        line = 1
        for row in reader:
            if _is_text(row):
                yield line + 1, row
            else:
                # Its own bytes, for the parser to say what is wrong with them.
                yield line + 1, ",".join(map(str, row.values())).encode(errors="surrogateescape")
            line = reader.line_num
    except csv.Error as error:
        raise BadInput(
            f"{source.path}:{reader.line_num}: broken quoting ({error}); write the file again"
        ) from error
    finally:
        text.detach()


def _is_text(row: dict[str, Any]) -> bool:
    try:
        "".join(map(str, row.values())).encode()
    except UnicodeEncodeError:
        return False
    return True


def _parquet_rows(source: Source, on_bytes: OnBytes | None) -> Iterator[tuple[int, RawRow]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(source.path, buffer_size=_CHUNK, pre_buffer=False) as file:
            number = 0
            names = [name for name in file.schema_arrow.names if not name.startswith(_INDEX)]
            for batch in file.iter_batches(
                batch_size=_PARQUET_BATCH_ROWS, columns=names, use_threads=False
            ):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
                if on_bytes is not None:
                    on_bytes(source.n_bytes * number // max(1, file.metadata.num_rows))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        first_line = str(error).splitlines()[0]
        raise BadInput(
            f"{source.path}: the Parquet data cannot be read ({first_line}); make the file again"
        ) from error
