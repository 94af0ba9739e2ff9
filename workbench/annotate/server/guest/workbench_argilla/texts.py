"""What people type into the search box: words that must all occur, "phrases", -not, this|that."""

import re
from dataclasses import dataclass

_TOKEN = re.compile(r'(-?)(?:"([^"]*)"|(\S+))')
# Signs of Elasticsearch's query language that mean nothing here: parts of words are found anyway.
_SIGNS = "*()+~"


@dataclass(frozen=True)
class Term:
    """One of `parts` (lower-case) must occur, or none of them."""

    parts: tuple[str, ...]
    negated: bool


def parse(query: str) -> list[Term]:
    """The terms of a query; all must hold."""
    terms = []
    for sign, phrase, word in _TOKEN.findall(query.lower()):
        parts = [phrase] if phrase else word.strip(_SIGNS).split("|")
        parts = [part for part in parts if part]
        if parts:
            terms.append(Term(tuple(parts), bool(sign)))
    return terms
