"""Which id a row gets, and whether it is new: flat tables of 64-bit hashes, no strings kept.

A million rows take 48 MB here; a dict of their ids would take several times that.
"""

from array import array
from enum import Enum
from typing import NamedTuple

from pipelines.formats.fingerprints import Fingerprints, fingerprints
from pipelines.formats.rejects import DUPLICATE_ID, REPEATED_ROW
from pipelines.records import PreferencePair

_MASK = (1 << 64) - 1
_FROM_FILE = 1  # lowest bit of a stored row hash: the row stands in the file being read


class KeyTable:
    """A map from 64-bit keys to 64-bit values by open addressing, in two flat arrays."""

    def __init__(self, n_slots: int = 1 << 12):
        self._n_slots = n_slots  # a power of two
        self._keys = array("Q", bytes(8 * n_slots))
        self._values = array("Q", bytes(8 * n_slots))
        self._n_used = 0

    def __len__(self) -> int:
        return self._n_used

    def get(self, key: int) -> int | None:
        """The value of a key, or None."""
        slot = self._slot(key)
        return self._values[slot] if self._keys[slot] else None

    def set(self, key: int, value: int) -> None:
        """Give a key a value."""
        slot = self._slot(key)
        if not self._keys[slot]:
            if 3 * self._n_used >= 2 * self._n_slots:
                self._grow()
                slot = self._slot(key)
            self._keys[slot] = key or 1
            self._n_used += 1
        self._values[slot] = value

    def _slot(self, key: int) -> int:
        key = key or 1  # 0 marks a free slot
        keys, last = self._keys, self._n_slots - 1
        slot = (key ^ (key >> 32)) & last
        while (held := keys[slot]) and held != key:
            slot = (slot + 1) & last
        return slot

    def _grow(self) -> None:
        keys, values = self._keys, self._values
        self._n_slots *= 2
        self._keys = array("Q", bytes(8 * self._n_slots))
        self._values = array("Q", bytes(8 * self._n_slots))
        for key, value in zip(keys, values, strict=True):
            if key:
                slot = self._slot(key)
                self._keys[slot] = key
                self._values[slot] = value


class Standing(Enum):
    """What a row is to the rows before it."""

    NEW = "new"
    KNOWN = "known"  # the same row, under the same id, came with an earlier file
    REPEATED = "repeated"  # ... stood further up in this file
    REFUSED = "refused"


class Admission(NamedTuple):
    """The verdict on one row. `pair` has its id; `reason` says why it is refused or repeated."""

    standing: Standing
    pair: PreferencePair
    hashes: Fingerprints
    duplicate: bool  # prompt and responses stood in an earlier row
    reason: str = ""
    detail: str = ""


class Register:
    """Gives ids to rows that have none and recognises rows that came before.

    A missing id becomes the content hash of the texts, with -2, -3, ... for repeats in the same
    file: repeated rows are kept, and the same file read again gives the same ids.
    """

    def __init__(self) -> None:
        self._rows = KeyTable()  # hash of an id -> hash of its row
        self._texts = KeyTable()
        self._repeats = KeyTable()  # content id -> how often this file has it

    def remember(self, pair_id: str, row: bytes, text: int) -> None:
        """A row that came with an earlier file; `row` and `text` as in its `Fingerprints`."""
        self._rows.set(hash(pair_id) & _MASK, _number(row) & ~_FROM_FILE)
        self._texts.set(text, 1)

    def admit(self, pair: PreferencePair) -> Admission:
        """The next row of the file."""
        hashes = fingerprints(pair)
        if pair.id is None:
            pair = pair.model_copy(update={"id": self._free_id(hashes)})
        key = hash(pair.id) & _MASK  # keyed per process: nobody can prepare a collision
        row = _number(hashes.row) | _FROM_FILE
        held = self._rows.get(key)
        if held is not None:
            if held | _FROM_FILE != row:
                detail = f'id "{pair.id}" stood before with different content'
                return Admission(Standing.REFUSED, pair, hashes, False, DUPLICATE_ID, detail)
            if held & _FROM_FILE:
                detail = f'id "{pair.id}" stood before with the same content'
                return Admission(Standing.REPEATED, pair, hashes, True, REPEATED_ROW, detail)
            self._rows.set(key, row)
            return Admission(Standing.KNOWN, pair, hashes, False)
        self._rows.set(key, row)
        duplicate = hashes.has_text and self._texts.get(hashes.text) is not None
        self._texts.set(hashes.text, 1)
        return Admission(Standing.NEW, pair, hashes, duplicate)

    def _free_id(self, hashes: Fingerprints) -> str:
        content_id = hashes.content_id()
        key = int(content_id, 16)
        n_before = self._repeats.get(key) or 0
        self._repeats.set(key, n_before + 1)
        return content_id if n_before == 0 else f"{content_id}-{n_before + 1}"


def _number(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "big")
