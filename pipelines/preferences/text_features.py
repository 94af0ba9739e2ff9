"""Cheap features of two responses to one prompt, all odd: exchanging the responses negates them.

A column is f(prompt, a) - f(prompt, b), so a linear model of these columns without an intercept
cannot prefer a response for its place.
"""

import math
import re
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise

import numpy as np
from scipy import sparse

from pipelines.agreement.annotations import FloatArray
from pipelines.records import PreferencePair

N_WORD_COLUMNS = 1 << 14

# A word, or one character of a script that is written without spaces.
_WORD = re.compile(r"[^\W_\u3040-\u30ff\u3400-\u9fff]+(?:'[a-z]+)?|[\u3040-\u30ff\u3400-\u9fff]")
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s", re.MULTILINE)
_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) (?:sorry|afraid|not able|unable)|i can(?:'t|not| not)|i won't|"
    r"as an ai|not comfortable|not appropriate|unable to)\b|抱歉|无法|不能",
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"\b(?:maybe|perhaps|might|could|possibly|i think|not sure|i don't know)\b", re.IGNORECASE
)
_TERMINAL = tuple(".!?。！？\"'”)`]}>")

TEXT_COLUMNS = (
    "log characters",
    "log words",
    "log lines",
    "list items",
    "code",
    "mean word length",
    "distinct words",
    "repeated trigrams",
    "digits",
    "questions",
    "exclamations",
    "refusal",
    "hedging",
    "speaks of I",
    "speaks to you",
    "words from the prompt",
    "prompt words used",
    "ends mid-sentence",
    "empty",
    "link",
)


def prompt_text(pair: PreferencePair) -> str:
    """The prompt as one text; the turns of a conversation stand on lines of their own."""
    if isinstance(pair.prompt, str):
        return pair.prompt
    return "\n".join(f"{turn.role}: {turn.content}" for turn in pair.prompt)


def words_of(text: str) -> list[str]:
    """The words of a text in lower case; Chinese and Japanese characters one by one."""
    return _WORD.findall(text.lower().replace("’", "'"))


def text_columns(pairs: Sequence[PreferencePair]) -> FloatArray:
    """The columns `TEXT_COLUMNS` of each pair, shape (n_pairs, n_columns)."""
    found = np.empty((len(pairs), len(TEXT_COLUMNS)))
    for row, pair in enumerate(pairs):
        asked = frozenset(words_of(prompt_text(pair)))
        found[row] = np.subtract(
            _describe(pair.response_a, asked), _describe(pair.response_b, asked)
        )
    return found


def word_columns(pairs: Sequence[PreferencePair]) -> "sparse.csr_array[np.float64]":
    """Which words and pairs of words stand in a and not in b (+), in b and not in a (-).

    Words are hashed into `N_WORD_COLUMNS` columns; rows have length 1 (0 for responses of the same
    words), so that long answers do not weigh more. Shape (n_pairs, N_WORD_COLUMNS).
    """
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.preprocessing import normalize

    hashing = HashingVectorizer(
        analyzer=_terms, n_features=N_WORD_COLUMNS, norm=None, binary=False, alternate_sign=True
    )
    if not pairs:
        return sparse.csr_array((0, N_WORD_COLUMNS), dtype=np.float64)
    first = hashing.transform(pair.response_a for pair in pairs)
    second = hashing.transform(pair.response_b for pair in pairs)
    return sparse.csr_array(normalize(first - second))


def log_length_gap(pairs: Iterable[PreferencePair]) -> FloatArray:
    """log((1 + characters of a) / (1 + characters of b)), shape (n_pairs,)."""
    return np.array(
        [math.log1p(len(pair.response_a)) - math.log1p(len(pair.response_b)) for pair in pairs]
    )


def _terms(text: str) -> Iterable[str]:
    """The distinct words of a text and the distinct pairs of neighbours."""
    words = words_of(text)
    return set(chain(words, (f"{one} {two}" for one, two in pairwise(words))))


def _describe(text: str, asked: frozenset[str]) -> tuple[float, ...]:
    """`TEXT_COLUMNS` of one response; `asked` holds the words of its prompt."""
    words = words_of(text)
    n_words = len(words)
    distinct = set(words)
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    stripped = text.strip()
    return (
        math.log1p(len(text)),
        math.log1p(n_words),
        math.log1p(text.count("\n")),
        math.log1p(len(_BULLET.findall(text))),
        float("```" in text),
        len(stripped) / max(1, n_words) / 10.0,
        len(distinct) / max(1, n_words),
        1.0 - len(set(trigrams)) / max(1, len(trigrams)) if trigrams else 0.0,
        sum(character.isdigit() for character in text) / max(1, len(text)),
        math.log1p(text.count("?") + text.count("？")),
        math.log1p(text.count("!") + text.count("！")),
        float(_REFUSAL.search(text.replace("’", "'")) is not None),
        math.log1p(len(_HEDGE.findall(text.replace("’", "'")))),
        (words.count("i") + words.count("my")) / max(1, n_words),
        (words.count("you") + words.count("your")) / max(1, n_words),
        sum(word in asked for word in words) / max(1, n_words),
        len(distinct & asked) / max(1, len(asked)),
        float(bool(stripped) and not stripped.endswith(_TERMINAL)),
        float(not stripped),
        float("http://" in text or "https://" in text),
    )
