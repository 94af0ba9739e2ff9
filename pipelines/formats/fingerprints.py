"""Short hashes of a pair: of what a reader sees, of its prompt, and of the whole row."""

import hashlib
from dataclasses import dataclass

from pipelines.records import PreferencePair

# The texts, most of a row, are in its text hash already.
_NOT_AGAIN = {"id", "prompt", "response_a", "response_b"}


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Numbers are 64 bits (an accidental match among 1,000,000 rows has probability 3e-8)."""

    prompt_json: str
    prompt: int
    text: int  # first 64 bits of `PreferencePair.text_hash`
    row: bytes  # SHA-256 of the text hash and of every other field but the id
    has_text: bool  # False for a bare comparison of two models: no prompt, no responses

    def content_id(self) -> str:
        """The id of a row that has none: of its texts, or of the whole row when it has no texts."""
        return f"{self.text:016x}" if self.has_text else self.row[:8].hex()


def fingerprints(pair: PreferencePair) -> Fingerprints:
    """All hashes of one pair."""
    prompt_json = pair.prompt_json()
    text_hash = pair.text_hash()
    others = pair.__pydantic_serializer__.to_json(pair, exclude=_NOT_AGAIN)
    return Fingerprints(
        prompt_json=prompt_json,
        prompt=prompt_fingerprint(prompt_json),
        text=int(text_hash[:16], 16),
        row=hashlib.sha256(text_hash.encode() + others).digest(),
        has_text=has_text(pair),
    )


def prompt_fingerprint(prompt_json: str) -> int:
    """64 bits of the prompt's hash: pairs that share it are one cluster."""
    return int.from_bytes(hashlib.sha256(prompt_json.encode()).digest()[:8], "big")


def text_fingerprint(pair: PreferencePair) -> int:
    """64 bits of the hash of all that a reader sees: rows that share it are repeats."""
    return int(pair.text_hash()[:16], 16)


def has_text(pair: PreferencePair) -> bool:
    """Whether there is anything to read: a bare comparison of two models has nothing."""
    return bool(pair.prompt or pair.response_a or pair.response_b)


def is_identical(pair: PreferencePair) -> bool:
    """Whether both responses are the same text (a pair without texts is not said to be)."""
    return pair.response_a == pair.response_b and has_text(pair)


def is_empty(pair: PreferencePair) -> bool:
    """Whether a response holds nothing that a reader could see."""
    return not pair.response_a.strip() or not pair.response_b.strip()
