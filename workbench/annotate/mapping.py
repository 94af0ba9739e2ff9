"""A pair as a record of Argilla, and an answer there as a vote: fields, questions, sides.

Record ids are hashes of the round's seed and the pair's id, and so is the side on which a response
stands: both can be computed again at any time, and neither tells anything about the pair.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pipelines.errors import BadInput
from workbench.audit.design import RoundDesign
from workbench.audit.order import key
from workbench.audit.protocol import storable

Side = Literal["left", "right"]

VERDICT, NOTE = "verdict", "note"
# The sides keep the review page's names; Argilla's pages show one response below the other.
LABELS = {
    "left": "First is better",
    "tie": "Tie",
    "right": "Second is better",
    "both_bad": "Both bad",
}
_SHOWN: dict[Side, str] = {"left": "First response", "right": "Second response"}
MARKS = (1, 2, 3, 4, 5)
EMPTY = "(This response is empty.)"
EMPTY_TURN = "(empty)"
# What Argilla takes at most.
MAX_GUIDELINES, MAX_MESSAGE, MAX_MESSAGES = 10_000, 20_000, 500

_JOINER = "\u2060"
# Where a browser begins a tag, a comment or an entity; and what `from_text` would take for ours.
_MARKUP = re.compile(f"(<(?=[A-Za-z!/?{_JOINER}])|&(?=[A-Za-z#{_JOINER}]))")
_JOINED = re.compile(f"([<&]){_JOINER}")


class Unshowable(ValueError):
    """A pair that Argilla cannot hold; the message says why."""


@dataclass(frozen=True)
class Answer:
    """What one person said of one record, as it stands now.

    Attributes:
        record_id: Our id of the record.
        user_id: The server's id of the person.
        status: "submitted", "discarded" or "draft".
        label: As shown; None where none was given.
        details: As the review page's: `{"tags": {}, "criteria": {name: {side: mark}}}`.
        assisted: The AI's label was in sight.
    """

    record_id: str
    user_id: str
    status: str
    label: str | None
    note: str | None
    details: dict[str, Any] = field(default_factory=dict)
    assisted: bool = False


def record_id(design: RoundDesign, pair_id: str) -> str:
    """The id that a pair's record has in Argilla."""
    return key(design.seed, design.name, "argilla", pair_id).hex()[:32]


def left_of(design: RoundDesign, pair_id: str) -> Literal["A", "B"]:
    """Which response stands on the left, for everybody: a fair coin per pair, replayable."""
    return "A" if key(design.seed, design.name, "argilla left", pair_id)[0] & 1 else "B"


def record_fields(left: str, prompt_json: str, response_a: str, response_b: str) -> dict[str, Any]:
    """What a person sees of a pair.

    Raises:
        Unshowable: The prompt has too many turns.
    """
    prompt = json.loads(prompt_json)
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    messages = [
        {"role": turn["role"], "content": part}
        for turn in turns
        for part in _parts(as_text(turn["content"]))
    ]
    if len(messages) > MAX_MESSAGES:
        raise Unshowable(f"a prompt of {len(messages):,} turns; Argilla shows {MAX_MESSAGES}")
    one, other = (response_a, response_b) if left == "A" else (response_b, response_a)
    return {"prompt": messages, "left": as_text(one) or EMPTY, "right": as_text(other) or EMPTY}


def as_text(text: str) -> str:
    """A text that Argilla's pages show as it is.

    They take even plain text for HTML: `kill <pid>` loses its "<pid>", "&lt;" becomes "<". An
    invisible WORD JOINER behind the "<" or "&" makes it a character like any other.
    """
    return _MARKUP.sub(f"\\1{_JOINER}", text)


def from_text(text: str) -> str:
    """The inverse of `as_text`."""
    return _JOINED.sub(r"\1", text)


def original(text: str) -> str:
    """A text of a pushed field as it was before the push."""
    return "" if text in (EMPTY, EMPTY_TURN) else from_text(text)


def is_pushed(dataset: Any) -> bool:
    """Whether a dataset has the fields and the question of a push of ours."""
    fields = [one.name for one in dataset.settings.fields]
    return fields == ["prompt", "left", "right"] and any(
        one.name == VERDICT and set(getattr(one, "labels", ())) == set(LABELS)
        for one in dataset.settings.questions
    )


def _parts(text: str) -> list[str]:
    """A message in pieces that Argilla takes; an empty one says so."""
    if not text:
        return [EMPTY_TURN]
    parts, start = [], 0
    while start < len(text):
        end = start + MAX_MESSAGE
        if _JOINED.fullmatch(text[end - 1 : end + 1]):
            end -= 1  # they belong together
        parts.append(text[start:end])
        start = end
    return parts


def rating_name(number: int, side: Side) -> str:
    """The question that asks for the mark of one side by one criterion of the design."""
    return f"criterion_{number + 1}_{side}"


def settings(rg: Any, design: RoundDesign, wanted: int) -> Any:
    """The dataset's guidelines, fields, questions and distribution.

    Args:
        rg: Argilla's package.
        design: The round's.
        wanted: How many people answer each record.
    """
    questions = [
        rg.LabelQuestion(
            VERDICT,
            title="Which response is better?",
            labels=LABELS,
            required=True,
            visible_labels=len(LABELS),
        )
    ]
    for number, criterion in enumerate(design.criteria):
        questions += [
            rg.RatingQuestion(
                rating_name(number, side),
                values=list(MARKS),
                title=f"{criterion}: {shown.lower()} (1 worst, 5 best)",
                required=False,
            )
            for side, shown in _SHOWN.items()
        ]
    questions.append(
        rg.TextQuestion(
            NOTE, title="Note, or why you pass this pair on", required=False, use_markdown=False
        )
    )
    # Plain text: a model's answer may hold links and pictures that would be fetched.
    return rg.Settings(
        guidelines=_guidelines(design.guidelines),
        fields=[
            rg.ChatField("prompt", title="Prompt", use_markdown=False),
            *(
                rg.TextField(side, title=shown, use_markdown=False)
                for side, shown in _SHOWN.items()
            ),
        ],
        questions=questions,
        distribution=rg.TaskDistribution(min_submitted=wanted),
        allow_extra_metadata=False,
    )


def _guidelines(text: str) -> str | None:
    cut = "\n\n(Cut here: ask the owner of the audit for the rest.)"
    if len(text) > MAX_GUIDELINES:
        text = text[: MAX_GUIDELINES - len(cut)] + cut
    return text.strip() or None


def check_settings(dataset: Any, design: RoundDesign) -> None:
    """See that a dataset still asks what the round asks.

    Raises:
        BadInput: Somebody changed its verdict question or its fields by hand.
    """
    fields = {one.name for one in dataset.settings.fields}
    verdict = next((one for one in dataset.settings.questions if one.name == VERDICT), None)
    options = [] if verdict is None else list(getattr(verdict, "labels", []))
    lacking = sorted({"prompt", "left", "right"} - fields)
    if lacking or set(options) != set(LABELS):
        what = f"the field {lacking[0]!r} is missing" if lacking else "its question is another one"
        raise BadInput(
            f"dataset {dataset.name!r} is not as it was pushed for round {design.name!r} ({what}); "
            "change it back in Argilla, or delete it there and push again"
        )


def read_answer(design: RoundDesign, record: str, response: Any, *, assisted: bool) -> Answer:
    """A response of the interface as an answer.

    Raises:
        BadInput: A submitted one holds no verdict, or one that nobody offered.
    """
    values = {name: said.get("value") for name, said in (response.values or {}).items()}
    status = str(response.status.value)
    label = values.get(VERDICT)
    if label not in LABELS:
        if status == "submitted":
            raise BadInput("unknown verdict" if label is not None else "no verdict")
        label = None
    note = storable(values.get(NOTE))
    return Answer(
        record_id=record,
        user_id=str(response.user_id),
        status=status,
        label=label,
        note=note.strip() or None if isinstance(note, str) else None,
        details=_details(design.criteria, values),
        assisted=assisted,
    )


def _details(criteria: Sequence[str], values: dict[str, Any]) -> dict[str, Any]:
    given: dict[str, dict[str, int]] = {}
    for number, criterion in enumerate(criteria):
        marks = {
            side: mark
            for side in ("left", "right")
            if (mark := values.get(rating_name(number, side))) in MARKS
        }
        if marks:
            given[criterion] = marks
    return {"tags": {}, "criteria": given}
