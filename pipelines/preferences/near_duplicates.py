"""Near-duplicates by MinHash: pairs that ask and answer almost the same words.

MinHash and its index are those of the library `datasketch`; a candidate counts only when the
Jaccard similarity estimated from the two signatures reaches the threshold.
"""

import re
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
from datasketch import MinHash, MinHashLSH

from pipelines.errors import BadInput
from pipelines.preferences.text_features import prompt_text
from pipelines.records import PreferencePair

N_HASHES = 128
_SHINGLE = 5  # characters
_SEED = 1
_CHUNK = 256
_SPACE = re.compile(r"\W+")


def shingles(text: str) -> list[bytes]:
    """Runs of five characters of a text, letters in lower case, everything else one space."""
    plain = _SPACE.sub(" ", text.lower()).strip()
    if len(plain) <= _SHINGLE:
        return [plain.encode("utf-8", "replace")]
    return [
        run.encode("utf-8", "replace")
        for run in {plain[k : k + _SHINGLE] for k in range(len(plain) - _SHINGLE + 1)}
    ]


def near_duplicates(
    pairs: Iterable[tuple[int, PreferencePair]], n_pairs: int, threshold: float
) -> npt.NDArray[np.int64]:
    """For each pair the row of an earlier one that it nearly repeats, or -1. Shape (n_pairs,).

    A pair's text is its prompt and both responses, the responses in alphabetical order, so that
    swapping them changes nothing. The first of a group stays, and only pairs that stay are
    compared with.

    Args:
        pairs: (row, pair), rows rising; others are not looked at.
        n_pairs: Of the store.
        threshold: Least Jaccard similarity of the shingles, above 0 and up to 1.
    """
    if not 0.0 < threshold <= 1.0:
        raise BadInput(f"near_duplicates {threshold} is not above 0 and up to 1; 0.8 is usual")
    index = MinHashLSH(threshold=threshold, num_perm=N_HASHES)
    kept: dict[int, MinHash] = {}
    repeats = np.full(n_pairs, -1, dtype=np.int64)
    for row, signature in _signatures(pairs):
        earlier = [
            other for other in index.query(signature) if kept[other].jaccard(signature) >= threshold
        ]
        if earlier:
            repeats[row] = min(earlier)
        else:
            index.insert(row, signature, check_duplication=False)
            kept[row] = signature
    return repeats


def _signatures(pairs: Iterable[tuple[int, PreferencePair]]) -> Iterator[tuple[int, MinHash]]:
    rows: list[int] = []
    texts: list[list[bytes]] = []
    for row, pair in pairs:
        rows.append(row)
        answers = sorted((pair.response_a, pair.response_b))
        texts.append(shingles("\n".join([prompt_text(pair), *answers])))
        if len(rows) == _CHUNK:
            yield from zip(rows, _bulk(texts), strict=True)
            rows, texts = [], []
    yield from zip(rows, _bulk(texts), strict=True)


def _bulk(texts: list[list[bytes]]) -> list[MinHash]:
    return list(MinHash.bulk(texts, num_perm=N_HASHES, seed=_SEED)) if texts else []
