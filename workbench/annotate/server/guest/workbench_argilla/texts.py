"""What people type into the search box: words that must all occur, "phrases", -not, this|that."""

import re
from dataclasses import dataclass

_TOKEN = re.compile(r'(-?)(?:"([^"]*)"|(\S+))')
# Signs of Elasticsearch's query language that mean nothing here: parts of words are found anyway.
_SIGNS = "*()+~"
# `workbench argilla push` writes an invisible joiner where a browser would begin a tag or entity.
_MARKUP = re.compile("(<(?=[a-z!/?])|&(?=[a-z#]))")


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
        joined = [_MARKUP.sub("\\1\u2060", part) for part in parts]
        parts = [part for part in dict.fromkeys([*parts, *joined]) if part]
        if parts:
            terms.append(Term(tuple(parts), bool(sign)))
    return terms
