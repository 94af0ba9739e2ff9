"""A constitution: the principles that responses are judged, criticised and revised by."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.records import Record
from pipelines.toml_files import read_toml

Line = Annotated[str, Field(min_length=1, pattern=r"\S")]
# Also a key of tables and of judgments, so it is plain.
PrincipleId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=60)]


class PrincipleExample(Record):
    """A response that keeps or breaks a principle, and why: for people, and for critics."""

    prompt: Line
    response: Line
    violates: bool
    why: Line


class Principle(Record):
    """One rule.

    `comparison_question` asks which of two responses keeps it better, `critique_question` whether
    one response keeps it, `revision_request` for a response that does. `weight` is its share when
    principles are aggregated, relative to the others; 0 leaves it out.
    """

    id: PrincipleId
    name: Line
    description: Line
    weight: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 1.0
    comparison_question: Line
    critique_question: Line
    revision_request: Line
    examples: tuple[PrincipleExample, ...] = ()


class Constitution(Record):
    """A named list of principles."""

    name: Line
    description: str = ""
    language: Literal["en", "zh"] = "en"
    principles: Annotated[tuple[Principle, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _principles_differ(self) -> Self:
        for kind in ("id", "name"):
            seen: set[str] = set()
            for principle in self.principles:
                value = str(getattr(principle, kind)).strip().casefold()
                if value in seen:
                    raise ValueError(
                        f'two principles have the {kind} "{getattr(principle, kind)}"; '
                        "give each its own"
                    )
                seen.add(value)
        if not any(principle.weight > 0 for principle in self.principles):
            raise ValueError("every principle has the weight 0; give one a weight above 0")
        return self

    def hash(self) -> str:
        """Names this version: every text and weight counts, the layout of the file does not."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def principle(self, id: str) -> Principle | None:
        """The principle of that id."""
        return next((one for one in self.principles if one.id == id), None)


def load_constitution(path: Path) -> Constitution:
    """The constitution in a TOML file.

    Raises:
        BadInput: It cannot be read, or breaks a rule; the message names the file and the key.
    """
    return read_toml(path, Constitution, "a constitution")
