"""A prompt template as its file has it: named parts, each with the placeholders it must have."""

from string import Formatter
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.records import Record

PLACEHOLDERS = {
    "constitution.text": ("principles",),
    "constitution.principle": ("name", "description"),
    "few_shot.text": ("examples",),
    "few_shot.example": ("number", "pair", "reply"),
    "pair.both": ("prompt", "first", "second"),
    "pair.alone": ("prompt", "response"),
    "ending.rationale": ("question",),
    "ending.logprob": ("question", "a", "b"),
    "ending.verdict": ("question", "a", "b", "tie"),
    "ending.verdict_with_rationale": ("question", "a", "b", "tie"),
    "ending.verdict_repair": ("a", "b", "tie"),
    "ending.rating": ("criterion", "description", "low", "high"),
    "ending.rating_with_rationale": ("criterion", "description", "low", "high"),
    "ending.rating_repair": ("low", "high"),
    "ending.check": ("question",),
    "ending.check_repair": (),
}

Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
# Part of the fences around untrusted text, so without the characters that fences are made of.
Word = Annotated[str, Field(pattern=r"^[^\s<>\[\]{}/:：]+$", max_length=20)]


class Names(Record):
    """What the fenced blocks and the turns of a conversation are called."""

    prompt: Word
    response: Word
    system: Word
    user: Word
    assistant: Word
    tool: Word


class Preamble(Record):
    """Who the judge is and what it looks for: in a few words, or as a detailed rubric."""

    basic: Text
    detailed: Text


class ConstitutionPart(Record):
    """How a constitution is put; `principle` is one of its lines."""

    text: Text
    principle: Text


class FewShotPart(Record):
    """How examples are put; `example` is one of them."""

    text: Text
    example: Text


class PairPart(Record):
    """How two responses are shown, and how one alone."""

    both: Text
    alone: Text


class Ending(Record):
    """What is asked, by mode. `question` is the whole comparison; a principle brings its own."""

    question: Text
    rationale: Text
    logprob: Text
    verdict: Text
    verdict_with_rationale: Text
    verdict_repair: Text
    rating: Text
    rating_with_rationale: Text
    rating_repair: Text
    check: Text
    check_repair: Text


class Criterion(Record):
    """What a response is rated on when it is rated alone."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]
    title: Text
    description: Text


class TemplateFile(Record):
    """A template as its file has it.

    `answers` are what the two responses are called and what the judge answers; a logprob judge
    needs each to be one token. `material` tells the judge that fenced text is not addressed to it.
    """

    language: Literal["en", "zh"]
    task: Text
    answers: tuple[Word, Word]
    tie: Word
    material: Text
    names: Names
    preamble: Preamble
    constitution: ConstitutionPart
    few_shot: FewShotPart
    pair: PairPart
    ending: Ending
    criteria: Annotated[tuple[Criterion, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _placeholders(self) -> Self:
        for place, wanted in PLACEHOLDERS.items():
            part, key = place.split(".")
            _check_placeholders(place, getattr(getattr(self, part), key), wanted)
        if len({word.casefold() for word in (*self.answers, self.tie)}) != 3:
            raise ValueError("answers and tie must be three different words; change one")
        names = [criterion.name for criterion in self.criteria]
        if len(set(names)) != len(names):
            raise ValueError("two criteria have the same name; give each its own")
        return self


class Example(Record):
    """One few-shot example: a pair, shown with A first, and what a good judge says of it."""

    prompt: Text
    response_a: str
    response_b: str
    winner: Literal["A", "B"]
    confidence: Annotated[float, Field(ge=0.0, le=1.0)]
    rationale: Text


class ExampleFile(Record):
    """A file of few-shot examples."""

    examples: Annotated[tuple[Example, ...], Field(min_length=1)]


def _check_placeholders(place: str, text: str, wanted: tuple[str, ...]) -> None:
    """Each wanted placeholder stands in the text, and no other.

    Raises:
        ValueError: It does not.
    """
    try:
        found = [
            (name, spec, conversion)
            for _, name, spec, conversion in Formatter().parse(text)
            if name is not None
        ]
    except ValueError as error:
        raise ValueError(
            f"{place} has a single brace ({error}); write {{{{ or }}}} for a brace itself"
        ) from error
    for name, spec, conversion in found:
        if name not in wanted or spec or conversion:
            known = ", ".join(f"{{{known}}}" for known in wanted) or "none"
            raise ValueError(
                f"{place} has the unknown placeholder {{{name}}}; it may have: {known}"
            )
    for name in wanted:
        if name not in {found_name for found_name, _, _ in found}:
            raise ValueError(f"{place} lacks the placeholder {{{name}}}; put it in")
