"""The steps that every mode is built of: ask, read the reply, and say what it amounts to.

A step is a generator that yields the requests it wants answered together and is sent their replies
in the same order; it does no I/O, so any engine can run it and a test needs none.
"""

import json
import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from pipelines.judge.parse import (
    ConfidenceWords,
    Verdict,
    Winner,
    before_fields,
    is_refusal,
    parse_verdict,
    split_thinking,
)
from pipelines.judge.question import comparison_values, fill, harmless
from pipelines.judge.spec import JudgeSpec
from pipelines.judge.template import Template
from pipelines.models.engine import Reply, Request
from pipelines.records import Failure, Message

T = TypeVar("T")
Step = Generator[tuple[Request, ...], tuple[Reply, ...], T]

# Enough for the form that is asked for; `max_tokens` of the judge's section goes before.
RATIONALE_TOKENS = 512
FORM_TOKENS = 64

# A mean of p and 1 - p is a tie, though its last bits may say otherwise.
_ROUNDING = 1e-12

# Of an unreadable reply, what the question after it quotes.
_QUOTED_CHARS = 4000

REPAIR_MARK = "\n--- asked again ---\n"


@dataclass(frozen=True)
class Answer:
    """What one comparison amounts to, in the order shown: a winner, or a failure; never both.

    `p_first` is the probability that the first response is the better one; `confidence` is how
    sure the judge is of its own answer.
    """

    winner: Winner | None = None
    p_first: float | None = None
    confidence: float | None = None
    rationale: str | None = None
    said: str | None = None
    failure: Failure | None = None


@dataclass(frozen=True)
class Form(Generic[T]):
    """What a reply in a fixed form said, or why it says nothing: a value or a failure."""

    value: T | None = None
    text: str = ""  # the first reply, without its thinking
    thinking: str = ""
    said: str | None = None  # all that was said
    failure: Failure | None = None


@dataclass(frozen=True)
class Said:
    """A text reply that can be read: what was thought aloud, and what was then said."""

    thinking: str
    text: str
    whole: str


@dataclass(frozen=True)
class Asking:
    """How one judge asks: its section and its prompt."""

    spec: JudgeSpec
    template: Template

    def opening(self, shown: str, ending: str) -> tuple[Message, ...]:
        """The first two messages: what all questions share, and the fenced text with its ending."""
        return (self.template.system, Message(role="user", content=f"{shown}\n\n{ending}"))

    def text(
        self, messages: tuple[Message, ...], n_tokens: int, *, number: int = 0, cold: bool = False
    ) -> Request:
        """A request for text; `number` tells samples apart, `cold` is always temperature 0."""
        return Request(
            messages=messages,
            max_tokens=self.spec.max_tokens or n_tokens,
            temperature=0.0 if cold else self.spec.asked_temperature,
            seed=self.spec.seed + number,
            shared_chars=len(self.template.system.content),
        )

    def logprobs(self, messages: tuple[Message, ...]) -> Request:
        """A request for the log-probabilities of the two answers."""
        return Request(
            messages=messages,
            max_tokens=1,
            temperature=0.0,
            seed=self.spec.seed,
            answers=self.template.parts.answers,
            shared_chars=len(self.template.system.content),
        )


def one(request: Request) -> Step[Reply]:
    """A step of one request."""
    (reply,) = yield (request,)
    return reply


def together(steps: Sequence[Step[T]]) -> Step[list[T]]:
    """Several steps side by side: what they want at the same time is asked at the same time."""
    results: dict[int, T] = {}
    wanted: dict[int, tuple[Request, ...]] = {}
    for place, step in enumerate(steps):
        try:
            wanted[place] = next(step)
        except StopIteration as end:
            results[place] = end.value
    while wanted:
        replies = iter((yield tuple(request for asked in wanted.values() for request in asked)))
        for place, asked in list(wanted.items()):
            mine = tuple(next(replies) for _ in asked)
            try:
                wanted[place] = steps[place].send(mine)
            except StopIteration as end:
                results[place] = end.value
                del wanted[place]
    return [results[place] for place in range(len(steps))]


def ask_logprob(asking: Asking, messages: tuple[Message, ...]) -> Step[Answer]:
    """The two answers' probabilities, each as a share of both (softmax over the two)."""
    reply = yield from one(asking.logprobs(messages))
    if reply.failure is not None:
        return Answer(failure=reply.failure, said=reply.detail)
    if reply.finish == "refused":
        return Answer(failure="refused", said=reply.text)
    if reply.answer_logprobs is None:
        return Answer(failure="error", said="the engine sent no log-probabilities of the answers")
    first, second = reply.answer_logprobs
    said = json.dumps({"first": _number(first), "second": _number(second)})
    top = max(first, second)
    if math.isnan(first) or math.isnan(second) or math.isinf(top):
        return Answer(failure="unparsed", said=said)
    # p = e^first / (e^first + e^second), without overflow
    p_first = math.exp(first - top) / (math.exp(first - top) + math.exp(second - top))
    return from_probability(p_first, said=said)


def ask_verdict(
    asking: Asking,
    messages: tuple[Message, ...],
    *,
    with_rationale: bool = False,
    number: int = 0,
) -> Step[Answer]:
    """Winner and confidence in text, with the reasons before them or without."""
    parts, spec = asking.template.parts, asking.spec
    words = ConfidenceWords(spec.medium_from, spec.high_from)
    n_tokens = FORM_TOKENS + (RATIONALE_TOKENS if with_rationale else 0)
    form = yield from ask_form(
        asking,
        asking.text(messages, n_tokens, number=number),
        lambda text: parse_verdict(text, parts.answers, parts.tie, words),
        fill(parts.ending.verdict_repair, comparison_values(parts)),
    )
    if form.value is None:
        return Answer(failure=form.failure, said=form.said)
    reasons = before_fields(form.text) if with_rationale else ""
    return from_verdict(form.value, rationale=reasons or form.thinking or None, said=form.said)


def ask_rationale(asking: Asking, messages: tuple[Message, ...], number: int) -> Step[Form[str]]:
    """Free text, not empty and no refusal."""
    reply = readable((yield from one(asking.text(messages, RATIONALE_TOKENS, number=number))))
    if isinstance(reply, Answer):
        return Form(failure=reply.failure, said=reply.said)
    if not reply.text.strip():
        return Form(failure="unparsed", said=reply.whole)
    if is_refusal(reply.text):
        return Form(failure="refused", said=reply.whole)
    return Form(reply.text, text=reply.text, thinking=reply.thinking, said=reply.whole)


def ask_form(
    asking: Asking, request: Request, read: Callable[[str], T | None], again: str
) -> Step[Form[T]]:
    """An answer in a fixed form; what cannot be read is asked for once more, then a failure.

    Args:
        asking: The judge.
        request: The question.
        read: What the reply says, or None.
        again: The question after a reply that could not be read.
    """
    reply = readable((yield from one(request)))
    if isinstance(reply, Answer):
        return Form(failure=reply.failure, said=reply.said)
    value = read(reply.text)
    form = Form(value, text=reply.text, thinking=reply.thinking, said=reply.whole)
    if value is not None:
        return form
    if is_refusal(reply.text):
        return replace(form, failure="refused")
    quoted = Message(role="assistant", content=harmless(reply.text[:_QUOTED_CHARS]) or "...")
    messages = (*request.messages, quoted, Message(role="user", content=again))
    second = readable((yield from one(asking.text(messages, FORM_TOKENS, cold=True))))
    if isinstance(second, Answer):
        said = f"{reply.whole}{REPAIR_MARK}{second.said or ''}"
        return replace(form, failure=second.failure, said=said)
    value = read(second.text)
    form = replace(form, value=value, said=f"{reply.whole}{REPAIR_MARK}{second.whole}")
    if value is not None:
        return form
    return replace(form, failure="refused" if is_refusal(second.text) else "unparsed")


def readable(reply: Reply) -> Said | Answer:
    """A text reply as text, or as the failure that it is."""
    if reply.failure is not None:
        return Answer(failure=reply.failure, said=reply.detail)
    if reply.finish == "refused":
        return Answer(failure="refused", said=reply.text)
    if reply.text is None:
        return Answer(
            failure="error", said="the engine sent log-probabilities where text was asked"
        )
    if reply.finish == "length":
        return Answer(failure="truncated", said=reply.text)
    thinking, text = split_thinking(reply.text)
    return Said(thinking, text, reply.text)


def from_probability(
    p_first: float, *, rationale: str | None = None, said: str | None = None
) -> Answer:
    """An answer that is a probability; its confidence is that of the side it is on."""
    if abs(p_first - 0.5) < _ROUNDING:
        p_first = 0.5
    return Answer(
        winner="tie" if p_first == 0.5 else "first" if p_first > 0.5 else "second",
        p_first=p_first,
        confidence=max(p_first, 1.0 - p_first),
        rationale=rationale,
        said=said,
    )


def from_verdict(verdict: Verdict, *, rationale: str | None, said: str | None) -> Answer:
    """An answer in words. Confidence runs from a coin toss (0) to certain (1): p = (1 + c) / 2."""
    lean = {"first": 0.5, "second": -0.5, "tie": 0.0}[verdict.winner]
    return Answer(
        winner=verdict.winner,
        p_first=0.5 + lean * verdict.confidence,
        confidence=verdict.confidence,
        rationale=rationale,
        said=said,
    )


def _number(value: float) -> float | None:
    """A log-probability as JSON can hold it; null where it is not finite."""
    return round(value, 6) if math.isfinite(value) else None
