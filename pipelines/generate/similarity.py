"""How alike two responses are: the Jaccard similarity of their word pairs.

Words in lower case, every Chinese, Japanese or Korean character a word, everything else ignored;
two words that follow each other are a word pair. 1 is the same words in the same order, 0 no pair
in common. (Broder 1997, "On the resemblance and containment of documents", with shingles of two.)
"""

import re
from collections.abc import Iterable

WordPairs = frozenset[tuple[str, str]]

_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"
)


def word_pairs(text: str) -> WordPairs:
    """The word pairs of a text; its end counts as a word, so a single word has a pair too."""
    words = _WORD.findall(text.lower()) or [text.strip()]
    return frozenset(zip(words, [*words[1:], ""], strict=True))


def similarity(first: WordPairs, second: WordPairs) -> float:
    """Jaccard similarity, from 0 to 1."""
    n_both = len(first & second)
    return n_both / (len(first) + len(second) - n_both)


def is_near(text: WordPairs, others: Iterable[WordPairs], threshold: float) -> bool:
    """Whether a text is at least this alike to one of the others; a threshold of 0 asks nothing."""
    return threshold > 0.0 and any(similarity(text, other) >= threshold for other in others)
