"""What a request asks for, read from its text alone, as a real model would have to.

Critiques and revisions are known by the lines that end them (`pipelines.constitution.prompts`),
judges' questions by the fences around the responses and by the form that they ask for
(`pipelines.judge.question`). Anything else is a conversation to go on with.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipelines.constitution.prompts import CRITIQUE_MARK, REVISION_MARK
from pipelines.judge.parse import Language
from pipelines.records import Message
from pipelines.sandbox.grammar import Situation, find_situation

# probability: the answers' log-probabilities. reasons: free text before the question. verdict:
# winner and confidence. rating, check: one response alone.
Form = Literal["probability", "reasons", "verdict", "rating", "check"]

_BLOCK = re.compile(
    r"^<(?P<name>\S+)(?: (?P<label>\S+))? (?P<code>[0-9a-f]{6,})>\n"
    r"(?P<text>.*?)\n"
    r"</(?P=name)(?: (?P=label))? (?P=code)>$",
    re.DOTALL | re.MULTILINE,
)
_PRINCIPLE = re.compile(r"^Principle: *(\S+)", re.MULTILINE)
_FORMS: tuple[tuple[Form, tuple[str, ...]], ...] = (
    ("verdict", ("Winner:", "胜者：")),
    ("rating", ("Rating:", "评分：")),
    ("check", ("Violation:", "违反：")),
)
_SCALE = re.compile(r"(?:from|从) *(\d+) *[（(][^()（）]*[)）] *(?:to|到) *(\d+)")
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


@dataclass(frozen=True)
class Generate:
    """A conversation to go on with; the situation is None where nobody writes to the help desk."""

    situation: Situation | None


@dataclass(frozen=True)
class Critique:
    """Whether a response keeps a principle."""

    situation: Situation | None
    response: str
    principle: str


@dataclass(frozen=True)
class Revise:
    """A response that keeps a principle."""

    situation: Situation | None
    response: str
    principle: str


@dataclass(frozen=True)
class Compare:
    """Which of two responses is better; `question` is what stands after them, all of it."""

    situation: Situation | None
    first: str
    second: str
    answers: tuple[str, str]
    form: Form
    question: str
    language: Language
    with_reasons: bool = False


@dataclass(frozen=True)
class Alone:
    """A grade or a check of one response."""

    situation: Situation | None
    response: str
    form: Form
    question: str
    language: Language
    scale: tuple[int, int] = (1, 10)
    with_reasons: bool = False


Task = Generate | Critique | Revise | Compare | Alone


def read_task(messages: Sequence[Message], *, logprobs: bool) -> Task:
    """What these messages ask for.

    Args:
        messages: The conversation.
        logprobs: Whether the request wants log-probabilities of its first token.
    """
    users = [turn.content for turn in messages if turn.role == "user"]
    last = users[-1] if users else ""
    ending = last.rstrip().rsplit("\n", 1)[-1]
    if ending.startswith((CRITIQUE_MARK, REVISION_MARK)):
        asked = next((text for text in reversed(users) if "### Response" in text), last)
        blocks = list(_BLOCK.finditer(asked))
        found = _PRINCIPLE.search(asked)
        if len(blocks) >= 2 and found:
            task = Critique if ending.startswith(CRITIQUE_MARK) else Revise
            return task(find_situation(blocks[0]["text"]), blocks[1]["text"], found[1])
    # A rationale, or an answer that could not be read, may stand between the pair and the question.
    shown = next((text for text in users if _BLOCK.search(text)), "")
    blocks = list(_BLOCK.finditer(shown))
    if len(blocks) < 2:
        return Generate(find_situation(last))
    opening = shown[blocks[-1].end() :]
    question = last if last is not shown else opening
    situation = find_situation(blocks[0]["text"])
    language: Language = "zh" if _CHINESE.search(question) else "en"
    form = next((one for one, keys in _FORMS if any(key in question for key in keys)), None)
    with_reasons = "reasons" in question or "理由" in question
    if len(blocks) == 2:
        low, high = _scale(question) or _scale(opening) or (1, 10)
        return Alone(
            situation,
            blocks[1]["text"],
            form or "reasons",
            opening,
            language,
            (low, high),
            with_reasons,
        )
    first, second = blocks[1], blocks[2]
    return Compare(
        situation,
        first["text"],
        second["text"],
        (first["label"] or "A", second["label"] or "B"),
        "probability" if logprobs else form or "reasons",
        opening,
        language,
        with_reasons,
    )


def _scale(text: str) -> tuple[int, int] | None:
    found = _SCALE.search(text)
    return (int(found[1]), int(found[2])) if found else None
