"""Differences between two texts, word by word; Chinese and other unspaced scripts by the letter."""

import difflib
import re
from dataclasses import dataclass
from typing import Literal

# A word, a letter of a script without spaces, a run of white space, or any other sign.
_TOKEN = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+|\s+|."
)
# Past this, difflib's time grows out of hand; the texts are then shown as one change.
_MOST_TOKENS = 6000


@dataclass(frozen=True)
class Piece:
    """A stretch of text that both have, or that one of them has."""

    kind: Literal["same", "removed", "added"]
    text: str


def word_differences(old: str, new: str) -> list[Piece]:
    """What to take out of `old` and put in to get `new`, in reading order."""
    before, after = _TOKEN.findall(old), _TOKEN.findall(new)
    if len(before) + len(after) > _MOST_TOKENS and old != new:
        return [Piece("removed", old), Piece("added", new)]
    pieces = list[Piece]()
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for kind, low_1, high_1, low_2, high_2 in matcher.get_opcodes():
        if kind == "equal":
            pieces.append(Piece("same", "".join(before[low_1:high_1])))
            continue
        if high_1 > low_1:
            pieces.append(Piece("removed", "".join(before[low_1:high_1])))
        if high_2 > low_2:
            pieces.append(Piece("added", "".join(after[low_2:high_2])))
    return _joined(pieces)


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Changes that only a space parts read as one."""
    joined = list[Piece]()
    place = 0
    while place < len(pieces):
        removed = added = ""
        while place < len(pieces):
            piece = pieces[place]
            later = pieces[place + 1].kind if place + 1 < len(pieces) else "same"
            bridge = (removed or added) and later != "same" and not piece.text.strip(" ")
            if piece.kind == "same" and not bridge:
                break
            removed += piece.text if piece.kind != "added" else ""
            added += piece.text if piece.kind != "removed" else ""
            place += 1
        if removed:
            joined.append(Piece("removed", removed))
        if added:
            joined.append(Piece("added", added))
        if place < len(pieces):
            joined.append(pieces[place])
            place += 1
    return joined


def marked(pieces: list[Piece]) -> str:
    """As a line of text: [-taken out-]{+put in+}."""
    form = {"same": "{}", "removed": "[-{}-]", "added": "{{+{}+}}"}
    return "".join(form[piece.kind].format(piece.text) for piece in pieces)
