"""What became of one response: every critique and revision on its way, none thrown away."""

import hashlib
from typing import Literal, Self

from pydantic import Field, JsonValue, model_validator

from pipelines.records import Failure, Message, Record

Verdict = Literal["satisfied", "violated"]
# satisfied: the critic finds that every principle holds. max_iterations: revised as often as is
# allowed, and something is still violated. undecided: nothing is found violated, but a critique
# failed. failed: no critique of the last round could be read.
Ending = Literal["satisfied", "max_iterations", "undecided", "failed"]


class Response(Record):
    """A response that is to be revised. `id` is unique in a run."""

    id: str = Field(min_length=1)
    prompt: str | tuple[Message, ...]
    text: str
    model: str | None = None
    prompt_id: str | None = None
    source: str | None = None
    subset: str | None = None
    meta: dict[str, JsonValue] = Field(default_factory=dict)

    def text_hash(self) -> str:
        """Names what is shown of it, 16 hex digits."""
        digest = hashlib.sha256()
        turns = (
            [("user", self.prompt)]
            if isinstance(self.prompt, str)
            else [(turn.role, turn.content) for turn in self.prompt]
        )
        for part in (*(text for turn in turns for text in turn), self.text):
            encoded = part.encode("utf-8", "surrogatepass")
            digest.update(b"%d:" % len(encoded))
            digest.update(encoded)
        return digest.hexdigest()[:16]


class Critique(Record):
    """A critic's answer on one response under one principle. A failure is kept, never scored."""

    principle: str
    constitution: str  # hash of the version that was asked
    critic: str
    verdict: Verdict | None = None
    why: str | None = None
    improve: str | None = None
    failure: Failure | None = None
    said: str | None = None  # all of it, where it was not read at once
    asked_again: bool = False

    @model_validator(mode="after")
    def _verdict_or_failure(self) -> Self:
        if (self.verdict is None) == (self.failure is None):
            raise ValueError("a critique has a verdict or a failure, exactly one of them")
        return self


class Revision(Record):
    """A response rewritten for one principle; what could not be read leaves the text as it was."""

    principle: str
    constitution: str
    reviser: str
    text: str | None = None
    failure: Failure | None = None
    said: str | None = None

    @model_validator(mode="after")
    def _text_or_failure(self) -> Self:
        if (self.text is None) == (self.failure is None):
            raise ValueError("a revision has a text or a failure, exactly one of them")
        return self


class Round(Record):
    """The critiques of one text, and the revisions that follow from them, one after the other."""

    text: str  # that was criticised
    critiques: tuple[Critique, ...]
    revisions: tuple[Revision, ...] = ()

    def violated(self) -> tuple[Critique, ...]:
        """The critiques that find a violation."""
        return tuple(one for one in self.critiques if one.verdict == "violated")

    def verdict(self, principle: str) -> Verdict | None:
        """What the critic says of that principle; None if it was not asked, or failed."""
        return next((one.verdict for one in self.critiques if one.principle == principle), None)


class Trajectory(Record):
    """A response from its first text to its last."""

    response: Response
    rounds: tuple[Round, ...]
    final: str
    ending: Ending

    @property
    def id(self) -> str:
        """The response's."""
        return self.response.id

    @property
    def n_revised(self) -> int:
        """How many rounds asked for revisions."""
        return sum(bool(one.revisions) for one in self.rounds)

    @property
    def changed(self) -> bool:
        """Whether the last text is another than the first."""
        return self.final.strip() != self.response.text.strip()

    def failures(self) -> tuple[tuple[Literal["critique", "revision"], Failure], ...]:
        """Why critiques and revisions failed, one entry each."""
        found: list[tuple[Literal["critique", "revision"], Failure]] = []
        for one in self.rounds:
            found += [("critique", each.failure) for each in one.critiques if each.failure]
            found += [("revision", each.failure) for each in one.revisions if each.failure]
        return tuple(found)
