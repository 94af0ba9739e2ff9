"""The records that cross a stage: frozen, validated, unknown keys refused.

One line of a pairs file is one `PreferencePair`. A label always speaks of `response_a` and
`response_b`, after un-swapping; `order` says how the judge saw them.
"""

import hashlib
import json
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

Label = Literal["A", "B", "tie"]
Order = Literal["ab", "ba"]
Failure = Literal["unparsed", "refused", "truncated", "error"]

LABELS: tuple[Label, ...] = ("A", "B", "tie")
SWAPPED_LABEL: dict[Label, Label] = {"A": "B", "B": "A", "tie": "tie"}
SWAPPED_ORDER: dict[Order, Order] = {"ab": "ba", "ba": "ab"}


class Record(BaseModel):
    """Base of all records: immutable, and a key that nobody declared is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Message(Record):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str


class Judgment(Record):
    """One AI judge's answer on one pair in one order. A failure is kept, never scored.

    `p_a` is the judge's probability that response_a is the better one. A judgment that has only
    `p_a` gets the label that `p_a` implies.
    """

    judge: str = Field(min_length=1)
    order: Order | None = None
    label: Label | None = None
    p_a: float | None = Field(default=None, ge=0.0, le=1.0)
    confidence: float | None = Field(default=None, ge=0.0, le=1.0)
    rationale: str | None = None
    failure: Failure | None = None
    raw: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _label_from_p_a(cls, data: object) -> object:
        if isinstance(data, dict) and data.get("label") is None and data.get("failure") is None:
            p_a = data.get("p_a")
            if isinstance(p_a, int | float) and not isinstance(p_a, bool):
                return {**data, "label": "tie" if p_a == 0.5 else "A" if p_a > 0.5 else "B"}
        return data

    @model_validator(mode="after")
    def _label_or_failure(self) -> Self:
        if (self.label is None) == (self.failure is None):
            raise ValueError("a judgment has a label or a failure, exactly one of them")
        return self

    def swap(self) -> Self:
        """The same judgment on the pair with its responses exchanged."""
        return self.model_copy(
            update={
                "label": SWAPPED_LABEL[self.label] if self.label else None,
                "order": SWAPPED_ORDER[self.order] if self.order else None,
                "p_a": None if self.p_a is None else 1.0 - self.p_a,
            }
        )


class HumanLabel(Record):
    """One person's verdict on one pair."""

    annotator: str = Field(min_length=1)
    label: Label
    comment: str | None = None
    seconds: float | None = Field(default=None, ge=0.0)


class PreferencePair(Record):
    """Two responses to one prompt, with every verdict on them, from AI judges and from people."""

    id: str | None = Field(default=None, min_length=1)
    prompt: str | tuple[Message, ...]
    response_a: str
    response_b: str
    model_a: str | None = None
    model_b: str | None = None
    ai: tuple[Judgment, ...] = ()
    human: tuple[HumanLabel, ...] = ()
    source: str | None = None
    subset: str | None = None
    meta: dict[str, JsonValue] = Field(default_factory=dict)

    def swap(self) -> Self:
        """The same pair with its responses exchanged and every label un-swapped with them."""
        return self.model_copy(
            update={
                "response_a": self.response_b,
                "response_b": self.response_a,
                "model_a": self.model_b,
                "model_b": self.model_a,
                "ai": tuple(judgment.swap() for judgment in self.ai),
                "human": tuple(
                    label.model_copy(update={"label": SWAPPED_LABEL[label.label]})
                    for label in self.human
                ),
            }
        )

    def prompt_json(self) -> str:
        """The prompt as one canonical JSON text (a string, or a list of messages)."""
        if isinstance(self.prompt, str):
            return json.dumps(self.prompt, ensure_ascii=False)
        turns = [{"role": turn.role, "content": turn.content} for turn in self.prompt]
        return json.dumps(turns, ensure_ascii=False)

    def text_hash(self) -> str:
        """SHA-256 of prompt and responses: two pairs with this hash show a reader the same."""
        digest = hashlib.sha256()
        for text in (self.prompt_json(), self.response_a, self.response_b):
            encoded = text.encode()
            digest.update(b"%d:" % len(encoded))  # so that no text can pass for two
            digest.update(encoded)
        return digest.hexdigest()
