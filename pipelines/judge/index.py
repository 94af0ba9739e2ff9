"""What a judge's log says about each pair of the store: judged, failed or still to do.

A few bytes a judgment: a million of them are known in the memory of a few hundred.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.judge.log import KINDS, judgment_of
from pipelines.models.engine import Reply
from pipelines.preferences.annotations import FAILURE_CODES
from pipelines.records import Failure, Judgment, Order
from pipelines.stages.log import Spend, iter_lines, reply_of
from pipelines.store import PairStore

PENDING, JUDGED, FAILED = 0, 1, 2  # from FAILED on: FAILED + the code of the failure

_STRAYS = 8_192
_ROWS = 4_096

Saved = dict[tuple[int, int], Reply]  # by round and place


@dataclass
class LogIndex:
    """The state of every wanted judgment, under one question.

    `state` and `offset` have shape (n_pairs, n_orders); `steps` holds the replies to judgments
    that were cut off half-way.
    """

    orders: tuple[Order | None, ...]
    texts: npt.NDArray[np.uint64]  # (n_pairs,)
    state: npt.NDArray[np.uint8]
    offset: npt.NDArray[np.int64]  # of the line that counts, -1 for none
    steps: dict[tuple[int, int], Saved] = field(default_factory=dict)
    spent: Spend = field(default_factory=Spend)  # by the whole log, under any question
    n_damaged: int = 0
    n_asked: int = 0  # requests under this question
    tokens: tuple[int, int] = (0, 0)  # in and out, of those
    wanted: npt.NDArray[np.bool_] | None = None  # (n_pairs,) asked about; all when None
    out: npt.NDArray[np.bool_] | None = None  # as `state`: in a batch that is not back

    @classmethod
    def empty(cls, store: PairStore, orders: tuple[Order | None, ...]) -> "LogIndex":
        """Nothing is judged."""
        texts = store.text_hashes()
        shape = (len(texts), len(orders))
        return cls(orders, texts, np.zeros(shape, np.uint8), np.full(shape, -1, np.int64))

    def pending(self, retry_failed: bool) -> npt.NDArray[np.bool_]:
        """Which judgments are to do; shape (n_pairs, n_orders)."""
        todo: npt.NDArray[np.bool_] = self.state == PENDING
        if retry_failed:
            todo |= self.state >= FAILED
        if self.out is not None:
            todo &= ~self.out
        return self._wanted(todo)

    @property
    def n_wanted(self) -> int:
        """How many there are in all."""
        if self.wanted is None:
            return self.state.size
        return int(np.count_nonzero(self.wanted)) * len(self.orders)

    @property
    def n_todo(self) -> int:
        """How many were never judged."""
        return int(np.count_nonzero(self._wanted(self.state == PENDING)))

    @property
    def n_judged(self) -> int:
        """How many have a label."""
        return int(np.count_nonzero(self._wanted(self.state == JUDGED)))

    @property
    def n_out(self) -> int:
        """How many are in a batch that is not back."""
        return 0 if self.out is None else int(np.count_nonzero(self._wanted(self.out)))

    def failed(self) -> dict[str, int]:
        """How many failed, by reason; only reasons that occur."""
        counts = {
            name: int(np.count_nonzero(self._wanted(self.state == FAILED + code)))
            for name, code in FAILURE_CODES.items()
            if name is not None
        }
        return {name: n for name, n in counts.items() if n}

    def _wanted(self, here: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        return here if self.wanted is None else here & self.wanted[:, None]

    def note(self, row: int, column: int, failure: Failure | None, offset: int) -> None:
        """A judgment was written at this offset."""
        self.state[row, column] = JUDGED if failure is None else FAILED + FAILURE_CODES[failure]
        self.offset[row, column] = offset
        self.steps.pop((row, column), None)

    def text(self, row: int) -> str:
        """The text hash of a pair, as the log writes it."""
        return f"{int(self.texts[row]):016x}"


def read_index(
    path: Path, spec_hash: str, store: PairStore, orders: tuple[Order | None, ...]
) -> LogIndex:
    """The log of a judge as it concerns one question and the pairs of a store.

    A line whose pair is no longer at its row, or no longer has its text, counts for the pair that
    has its id and text now; without one it counts for nothing.
    """
    index = LogIndex.empty(store, orders)
    columns = {order: column for column, order in enumerate(orders)}
    strays: list[tuple[int, dict[str, Any]]] = []
    for offset, line in iter_lines(path, KINDS):
        if line is None:
            index.n_damaged += 1
            continue
        index.spent.add_line(line)
        if line["spec"] != spec_hash or line["order"] not in columns:
            continue
        index.n_asked += line["used"][0]
        index.tokens = (
            index.tokens[0] + line["used"][2],
            index.tokens[1] + line["used"][3],
        )
        row = line["row"]
        if row < len(index.texts) and index.text(row) == line["text"]:
            _take(index, row, columns[line["order"]], offset, line)
            continue
        strays.append((offset, line))
        if len(strays) >= _STRAYS:
            _place(index, store, columns, strays)
            strays.clear()
    _place(index, store, columns, strays)
    return index


def iter_judgments(path: Path, index: LogIndex, judge: str) -> Iterator[tuple[int, Judgment]]:
    """The judgments that count, with their pairs' rows, in row order."""
    with path.open("rb") as file:
        for first in range(0, len(index.offset), _ROWS):
            for row, offsets in enumerate(index.offset[first : first + _ROWS].tolist(), first):
                for offset in offsets:
                    if offset >= 0:
                        file.seek(offset)
                        yield row, judgment_of(json.loads(file.readline()), judge)


def _take(index: LogIndex, row: int, column: int, offset: int, line: dict[str, Any]) -> None:
    if line["kind"] == "judged":
        index.note(row, column, line.get("failure"), offset)
    else:
        number, place = line["step"]
        index.steps.setdefault((row, column), {})[number, place] = reply_of(line)


def _place(
    index: LogIndex,
    store: PairStore,
    columns: dict[Order | None, int],
    strays: list[tuple[int, dict[str, Any]]],
) -> None:
    """Lines of pairs that have moved, as after importing the same files in another order."""
    if not strays:
        return
    rows = store.rows_of([line["pair"] for _, line in strays])
    for row, (offset, line) in zip(rows.tolist(), strays, strict=True):
        if row >= 0 and index.text(row) == line["text"]:
            column = columns[line["order"]]
            # A line that was at its place is newer than one of an earlier store.
            if index.state[row, column] == PENDING:
                _take(index, row, column, offset, line)
