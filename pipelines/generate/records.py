"""What `workbench generate` reads and writes: prompts, and candidate responses to them."""

import hashlib
import json

from pydantic import Field, JsonValue

from pipelines.models.engine import Finish
from pipelines.records import Failure, Message, Record

Conversation = str | tuple[Message, ...]


class Prompt(Record):
    """Something to respond to. A conversation ends with a user's turn.

    A system prompt of its own is the first message; without one, the model's is used.
    """

    id: str = Field(min_length=1)
    prompt: Conversation
    subset: str | None = None
    source: str | None = None
    meta: dict[str, JsonValue] = Field(default_factory=dict)

    def messages(self, system: str = "") -> tuple[Message, ...]:
        """What a model is sent.

        Args:
            system: The model's system prompt; an empty one is none.
        """
        turns = (
            (Message(role="user", content=self.prompt),)
            if isinstance(self.prompt, str)
            else self.prompt
        )
        if system and turns[0].role != "system":
            return (Message(role="system", content=system), *turns)
        return turns

    def text_hash(self) -> str:
        """Names what is shown of it: 16 hex digits."""
        return text_hash(self.prompt)


class Candidate(Record):
    """One response of one model to one prompt. A failure is kept, and never paired.

    Attributes:
        model: The name of its `[[models]]` section.
        settings: Hash of model and sampling; the manifest beside the log spells them out.
        index: Which of the prompt's candidates by this model, from 0.
        seed: That the request was sent with.
        response: None where nothing was said; a truncated one keeps what was said.
        finish: Why the model stopped; None where it never began.
        resampled: Samples before this one that were set aside, near-identical or failed.
        near_identical: It is like another candidate, and was not sampled again any more.
    """

    prompt_id: str
    prompt: Conversation
    model: str
    settings: str
    index: int = Field(ge=0)
    seed: int
    response: str | None = None
    finish: Finish | None = None
    failure: Failure | None = None
    detail: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    resampled: int = 0
    near_identical: bool = False
    subset: str | None = None
    source: str | None = None
    meta: dict[str, JsonValue] = Field(default_factory=dict)


def text_hash(prompt: Conversation) -> str:
    """Names a prompt's text: 16 hex digits."""
    shown = prompt if isinstance(prompt, str) else [[one.role, one.content] for one in prompt]
    return hashlib.sha256(json.dumps(shown, ensure_ascii=True).encode()).hexdigest()[:16]
