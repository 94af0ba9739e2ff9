"""What a judge's text says, strictly: a verdict, a rating, a check, a refusal, or nothing.

English and Chinese. A text that contradicts itself, or says something else where the answer should
stand, says nothing (None): no label is ever guessed.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

Winner = Literal["first", "second", "tie"]
Severity = Literal["none", "minor", "severe"]
Language = Literal["en", "zh"]

T = TypeVar("T")

# What the endings of the shipped templates ask for, and nothing looser.
_KEYS = {
    "winner": ("winner", "胜者", "获胜者"),
    "confidence": ("confidence", "信心", "置信度"),
    "rating": ("rating", "score", "评分"),
    "violation": ("violation", "违反"),
}
_ASKED = {
    ("winner", "en"): "Winner",
    ("winner", "zh"): "胜者",
    ("confidence", "en"): "Confidence",
    ("confidence", "zh"): "信心",
}
_KIND_OF = {word: kind for kind, words in _KEYS.items() for word in words}
# A key at the start of a line, or after a comma within one; decoration before and after it.
_FIELD = re.compile(
    r"(?:^|[,;|.。])[\s*_#>`\"'({\[\-•]*(?P<key>"
    + "|".join(sorted(_KIND_OF, key=len, reverse=True))
    + r")[\s*_`\"']*:",
    re.IGNORECASE | re.MULTILINE,
)
_DECORATION = " \t*_`\"'()[]{}<>“”‘’「」《》.。,;|"
_TIES = frozenset({"tie", "平局", "平手"})
_RESPONSE = re.compile(r"^(?:the\s+)?(?:response|answer|reply|summary|回答|回复|摘要)\s*")
_LEVELS = {
    "low": "low",
    "medium": "medium",
    "high": "high",
    "低": "low",
    "中": "medium",
    "中等": "medium",
    "高": "high",
}
_SEVERITIES: dict[str, Severity] = {
    "none": "none",
    "minor": "minor",
    "severe": "severe",
    "无": "none",
    "轻微": "minor",
    "严重": "severe",
}
_UNIT = re.compile(r"0?\.[0-9]{1,20}|0|1|1\.0{1,20}")
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,20})?) ?%")
_THINKING = re.compile(r"^\s*<think(?:ing)?>(.*?)(?:</think(?:ing)?>|\Z)", re.DOTALL)
_THOUGHT = re.compile(r"^(.*?)</think(?:ing)?>", re.DOTALL)


@dataclass(frozen=True)
class Verdict:
    """Who won, in the order shown, and how sure the judge says it is: 0 a coin toss, 1 certain."""

    winner: Winner
    confidence: float


@dataclass(frozen=True)
class ConfidenceWords:
    """Where medium and high begin; a word counts as the middle of its band."""

    medium_from: float = 0.5
    high_from: float = 0.8

    def value(self, word: str) -> float:
        """The confidence that low, medium or high stands for."""
        edges = {
            "low": (0.0, self.medium_from),
            "medium": (self.medium_from, self.high_from),
            "high": (self.high_from, 1.0),
        }
        low, high = edges[word]
        return round((low + high) / 2, 6)


def parse_verdict(
    text: str, answers: tuple[str, str], tie: str, words: ConfidenceWords
) -> Verdict | None:
    """Winner and confidence, each said at least once and always the same.

    Args:
        text: The judge's reply, without its thinking.
        answers: What the two responses were called, in the order shown.
        tie: What a tie was called.
        words: What low, medium and high stand for.
    """
    fields = _fields(text)
    names: dict[str, Winner] = {_plain(tie): "tie"}
    names |= dict.fromkeys(_TIES, "tie")
    names |= {_plain(answers[0]): "first", _plain(answers[1]): "second"}
    winners: list[Winner | None] = [_winner(value, names) for value in fields["winner"]]
    winner = _one(winners)
    confidence = _one([_confidence(value, words) for value in fields["confidence"]])
    if winner is None or confidence is None:
        return None
    return Verdict(winner, confidence)


def parse_rating(text: str, low: int, high: int) -> int | None:
    """A whole number from `low` to `high`, also as `4/5` when `high` is 5."""
    return _one([_rating(value, low, high) for value in _fields(text)["rating"]])


def parse_violation(text: str) -> Severity | None:
    """How badly a response breaks a principle; "none" where it does not."""
    said: list[Severity | None] = [
        _SEVERITIES.get(_plain(value)) for value in _fields(text)["violation"]
    ]
    return _one(said)


def write_verdict(language: Language, answers: tuple[str, str], tie: str, verdict: Verdict) -> str:
    """A verdict in the form that the endings ask for; `parse_verdict` reads it back."""
    name = {"first": answers[0], "second": answers[1], "tie": tie}[verdict.winner]
    colon = "：" if language == "zh" else ": "
    return (
        f"{_ASKED['winner', language]}{colon}{name}\n"
        f"{_ASKED['confidence', language]}{colon}{verdict.confidence:.6g}"
    )


def before_fields(text: str) -> str:
    """What stands before the first line that says a winner, a rating and so on: the reasons."""
    lines = text.splitlines()
    kept = next(
        (n for n, line in enumerate(lines) if _FIELD.search(unicodedata.normalize("NFKC", line))),
        len(lines),
    )
    return "\n".join(lines[:kept]).strip()


def split_thinking(text: str) -> tuple[str, str]:
    """What a reasoning model thought aloud, and what it then said (nothing, if it never ended)."""
    found = _THINKING.match(text) or _THOUGHT.match(text)
    if found is None:
        return "", text
    return found.group(1).strip(), text[found.end() :].strip()


def is_refusal(text: str) -> bool:
    """Whether a text declines to judge. Short texts that open with a refusal, nothing else.

    Ask only where no verdict was found: "I cannot fault response A" is an opinion.
    """
    if len(text) > _REFUSAL_CHARS:
        return False
    start = unicodedata.normalize("NFKC", text).strip().replace("’", "'")
    return _REFUSAL.match(start) is not None


_REFUSAL_CHARS = 600
_DECLINED = (
    r"(?:assist|help|comply|provide|do (?:that|this)|fulfil|engage|participate|judge|compare|"
    r"evaluate|rate|assess|choose|answer (?:that|this)|continue|discuss|respond)\b"
)
_REFUSAL = re.compile(
    r"[\s*_\"']*(?:"
    # Sorry, but I can't help with that. / I cannot assist. / As an AI, I am not able to judge.
    r"(?:(?:i'm|i am|we're|we are)?\s*(?:very |so )?sorry|i apologi[sz]e|apologies|unfortunately"
    r"|as an ai(?: \w+){0,3})?[,.;:!\s-]*(?:but\s+)?"
    r"(?:i|we)\s*(?:must|have to|will have to)?\s*"
    r"(?:can't|cannot|can not|won't|will not|'m unable to|am unable to|are unable to"
    r"|'m not able to|am not able to|decline to|refuse to)\s+(?:\w+\s+){0,3}?" + _DECLINED + r"|"
    r"(?:很|非常|十分)?(?:抱歉|对不起|遗憾)[^。!?\n]{0,20}?(?:无法|不能|不便|没法|不会)|"
    r"(?:作为(?:一个|一名)?(?:AI|人工智能)[^。!?\n]{0,15}?)?我?(?:无法|不能|不便|拒绝)(?:对此)?(?:进行)?"
    r"(?:协助|帮助|提供|评判|评价|评估|判断|比较|回答|回应|完成|满足|参与)"
    r")",
    re.IGNORECASE,
)


def _fields(text: str) -> dict[str, list[str]]:
    """What stands after each key, to the end of its line or the next key on it."""
    values: dict[str, list[str]] = {kind: [] for kind in _KEYS}
    for line in unicodedata.normalize("NFKC", text).splitlines():
        found = list(_FIELD.finditer(line))
        for place, here in enumerate(found):
            end = found[place + 1].start() if place + 1 < len(found) else len(line)
            kind = _KIND_OF[here.group("key").lower()]
            values[kind].append(line[here.end() : end])
    return values


def _one(values: Sequence[T]) -> T | None:
    """The value that all agree on; None if there is none, or one could not be read."""
    if not values or any(value is None or value != values[0] for value in values):
        return None
    return values[0]


def _plain(value: str) -> str:
    return unicodedata.normalize("NFKC", value).strip().strip(_DECORATION).strip().casefold()


def _winner(value: str, names: dict[str, Winner]) -> Winner | None:
    plain = _plain(value)
    return names.get(plain) or names.get(_RESPONSE.sub("", plain))


def _confidence(value: str, words: ConfidenceWords) -> float | None:
    plain = _plain(value)
    if plain in _LEVELS:
        return words.value(_LEVELS[plain])
    number = value.strip(" \t*_`\"'()[]").rstrip(".。,;| *_`")
    if _UNIT.fullmatch(number):
        return float(number)
    percent = _PERCENT.fullmatch(number)
    if percent is None or float(percent.group(1)) > 100.0:
        return None
    return float(percent.group(1)) / 100.0


def _rating(value: str, low: int, high: int) -> int | None:
    found = re.fullmatch(rf"([0-9]{{1,3}})(?:\s*/\s*{high})?", _plain(value))
    if found is None or not low <= int(found.group(1)) <= high:
        return None
    return int(found.group(1))
