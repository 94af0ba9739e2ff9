"""Short hashes of a pair: of what a reader sees, of its prompt, and of the whole row."""

import hashlib
from dataclasses import dataclass

from pipelines.records import PreferencePair

N_ID_CHARS = 16  # a content id is the first 64 bits of the text hash, in hexadecimal


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """64-bit numbers (an accidental match among 1,000,000 rows has probability 3e-8)."""

    text: int  # first 64 bits of `PreferencePair.text_hash`
    prompt: int
    row: int  # everything but the id
    has_text: bool  # False for a bare comparison of two models: no prompt, no responses

    def content_id(self) -> str:
        """The id of a row that has none: of its texts, or of the whole row when it has no texts."""
        return f"{self.text if self.has_text else self.row:0{N_ID_CHARS}x}"


def fingerprints(pair: PreferencePair) -> Fingerprints:
    """All hashes of one pair."""
    row = pair.__pydantic_serializer__.to_json(pair, exclude={"id"})
    return Fingerprints(
        text=int(pair.text_hash()[:N_ID_CHARS], 16),
        prompt=prompt_fingerprint(pair),
        row=int.from_bytes(hashlib.sha256(row).digest()[:8], "big"),
        has_text=bool(pair.prompt or pair.response_a or pair.response_b),
    )


def prompt_fingerprint(pair: PreferencePair) -> int:
    """64 bits of the prompt's hash: pairs that share it are one cluster."""
    return int.from_bytes(hashlib.sha256(pair.prompt_json().encode()).digest()[:8], "big")


def is_empty(pair: PreferencePair) -> bool:
    """Whether a response holds nothing that a reader could see."""
    return not pair.response_a.strip() or not pair.response_b.strip()


def is_identical(pair: PreferencePair) -> bool:
    """Whether both responses are the same text (a pair without texts is not said to be)."""
    return pair.response_a == pair.response_b and bool(pair.response_a or pair.prompt)
