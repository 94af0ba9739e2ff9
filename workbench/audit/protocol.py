"""What an open review page sends: votes, skips, undos and notes, checked and cleaned on arrival.

A page that is older or newer than this server may send a key that nobody knows here; it is passed
over, because refusing it would lose a vote.
"""

import math
import re
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
)

MAX_OPS, MAX_SECONDS = 500, 3600.0

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(value: Any) -> Any:
    """The value with NUL and lone surrogates, which no database takes, shown as U+FFFD."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, list):
        return [storable(element) for element in value]
    if isinstance(value, dict):
        return {storable(key): storable(element) for key, element in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _bounded_seconds(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return None if math.isnan(value) else min(max(float(value), 0.0), MAX_SECONDS)
    return value


Id = Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{8,64}$")]
Text = Annotated[str | None, BeforeValidator(storable)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Seconds = Annotated[float | None, BeforeValidator(_bounded_seconds)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Details(_Message):
    """What may be said of a pair beside the verdict; tags are per side as shown."""

    tags: dict[Literal["left", "right"], list[str]] = Field(default_factory=dict)
    criteria: dict[str, JsonValue] = Field(default_factory=dict)


Said = Annotated[Details, BeforeValidator(lambda value: storable(value) or {})]


class VoteOp(_Message):
    """One verdict on the pair of one lease."""

    kind: Literal["vote"]
    id: Id
    lease: str
    label: Literal["left", "right", "tie", "both_bad"]
    seconds: Seconds = None
    comment: Text = None
    details: Said = Details()
    client_at: Finite | None = None  # milliseconds
    seq: Finite = 0.0


class SkipOp(_Message):
    """The pair of one lease goes to somebody else."""

    kind: Literal["skip"]
    id: Id
    lease: str
    reason: Text = None
    client_at: Finite | None = None
    seq: Finite = 0.0


class UndoOp(_Message):
    """An earlier vote or skip of the same person is taken back."""

    kind: Literal["undo"]
    id: Id
    target: Id
    seq: Finite = 0.0


class AmendOp(_Message):
    """A note or tags given after the vote."""

    kind: Literal["amend"]
    id: Id
    target: Id
    comment: Text = None
    details: Said = Details()
    seq: Finite = 0.0


Op = VoteOp | SkipOp | UndoOp | AmendOp
_OP: TypeAdapter[Op] = TypeAdapter(Annotated[Op, Field(discriminator="kind")])


class SyncRequest(_Message):
    """One message of a page: what it did, and how it stands."""

    token: str = Field(max_length=200)
    ops: list[JsonValue] = Field(default_factory=list)
    want: int = Field(default=0, ge=0)  # 0: the page is closing or only reports
    have: list[str] = Field(default_factory=list, max_length=2000)
    active: bool = True
    history: bool = False


def read_ops(raw: list[JsonValue]) -> tuple[list[Op], list[tuple[str, str]]]:
    """The operations in the order in which the person acted, and (id, why) of the unreadable.

    At most `MAX_OPS` are taken; the page sends the others again, as they stay unacknowledged.
    """
    ops: list[Op] = []
    refused: list[tuple[str, str]] = []
    for value in raw[:MAX_OPS]:
        try:
            ops.append(_OP.validate_python(value))
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"][1:]) or "kind"
            identity = value.get("id") if isinstance(value, dict) else None
            if isinstance(identity, str):
                refused.append((identity, f"rejected:{place}"))
    return sorted(ops, key=lambda op: op.seq), refused
