"""Any dataset of an Argilla server as pairs with people's labels, by way of a pairs file.

The file stays in the project (`runs/argilla/`), and goes the way of every pairs file: what cannot
be taken is counted, and the same again changes nothing.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines.errors import BadInput
from pipelines.importing import ImportSummary, import_file
from pipelines.records import HumanLabel, Judgment, Label, Message, PreferencePair
from workbench.annotate.client import Connection, find_address
from workbench.annotate.mapping import is_pushed, original
from workbench.annotate.questions import Choice, find_choice
from workbench.project import Project

_PAIRS_OF_FIELDS = (
    ("response_a", "response_b"),
    ("left", "right"),
    ("a", "b"),
    ("response_1", "response_2"),
    ("response1", "response2"),
    ("response-1", "response-2"),
    ("completion_a", "completion_b"),
    ("chosen", "rejected"),
)
_PROMPTS = ("prompt", "instruction", "question", "input", "conversation", "chat", "messages")
_ROLES = {"human": "user", "bot": "assistant", "ai": "assistant", "model": "assistant"}


@dataclass(frozen=True)
class Fields:
    """Which fields of a dataset hold the prompt and the two responses."""

    prompt: str
    a: str
    b: str


@dataclass(frozen=True)
class Imported:
    """What became of a dataset. `unread` counts answers and records by why they were not taken."""

    dataset: str
    file: Path
    fields: Fields
    says: str  # how its question was read
    n_records: int
    n_labels: int
    n_suggestions: int
    unread: dict[str, int]
    summary: ImportSummary


@dataclass
class _Tally:
    n_records: int = 0
    n_labels: int = 0
    n_suggestions: int = 0
    unread: Counter[str] = field(default_factory=Counter)


def import_dataset(
    project: Project,
    name: str,
    *,
    url: str | None = None,
    workspace: str | None = None,
    prompt: str | None = None,
    responses: Sequence[str] = (),
    questions: Sequence[str] = (),
    labels: Mapping[str, Label] | None = None,
) -> Imported:
    """Read a dataset's pairs, what people submitted, and suggestions as an AI judge's verdicts.

    Args:
        project: Where the pairs go.
        name: The dataset's name.
        url: The server; None: the environment's, or the project's own.
        workspace: Its workspace; None: the only one that has such a dataset.
        prompt: The field of the prompt; None: found by name.
        responses: The two fields of the responses; empty: found by name.
        questions: A label, ranking or preference-scale question, or two ratings, one a response;
            empty: the only one that will do.
        labels: What options of a label question mean, where their names do not say it.

    Raises:
        BadInput: There is no such dataset, or it cannot be told what is what in it.
        ServiceFailed: The server is gone, too slow or too busy.
    """
    with Connection(find_address(project.dir, url)) as connection:
        dataset = _find(connection, name, workspace)
        fields = find_fields(dataset, prompt, responses)
        choice = find_choice(connection.rg, dataset, fields.a, fields.b, questions, labels or {})
        people = connection.ask("list people", connection.client.users.list)
        names = {str(user.id): str(user.username) for user in people}
        tally, text = _Tally(), original if is_pushed(dataset) else str
        folder = project.dir / "runs" / "argilla"
        file = folder / (re.sub(r"[^\w-]+", "-", name) + ".jsonl")
        part = file.with_suffix(".part")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with part.open("w", encoding="utf-8") as out:
                for page in connection.records(dataset):
                    for record in page:
                        pair = _pair(record, fields, text, choice, names, tally)
                        if pair is not None:
                            out.write(pair.model_dump_json(exclude_defaults=True) + "\n")
            part.replace(file)
        except OSError as error:
            raise BadInput(
                f"{folder}: cannot be written ({error.strerror}); make room there"
            ) from error
        finally:
            part.unlink(missing_ok=True)
    return Imported(
        dataset=name,
        file=file,
        fields=fields,
        says=choice.says,
        n_records=tally.n_records,
        n_labels=tally.n_labels,
        n_suggestions=tally.n_suggestions,
        unread=dict(tally.unread),
        summary=import_file(project.store, file, project.config, format="pairs"),
    )


def _find(connection: Connection, name: str, workspace: str | None) -> Any:
    """The dataset with its settings.

    Raises:
        BadInput: There is none of that name, or there are several.
    """

    def list_all() -> list[tuple[str, Any]]:
        # Not `client.datasets`: that reads the settings of each, five requests a dataset.
        return [
            (str(space.name), one)
            for space in connection.client.workspaces
            for one in space.datasets
        ]

    everything = connection.ask("list datasets", list_all)
    found = [
        (place, one) for place, one in everything if one.name == name and workspace in (None, place)
    ]
    if len(found) == 1:
        return connection.ask("read the dataset", found[0][1].get)
    where = f" in workspace {workspace!r}" if workspace else ""
    if found:
        places = ", ".join(repr(place) for place, _ in found)
        raise BadInput(f"{name!r} is in several workspaces ({places}); say which by --workspace")
    known = ", ".join(repr(one.name) for _, one in everything[:10]) or "none"
    raise BadInput(f"{connection.url} has no dataset {name!r}{where}; there are: {known}")


def find_fields(dataset: Any, prompt: str | None, responses: Sequence[str]) -> Fields:
    """Which field is which, as said or by their names.

    Raises:
        BadInput: It cannot be told.
    """
    names = [str(one.name) for one in dataset.settings.fields]
    unknown = [name for name in (*responses, *([prompt] if prompt else [])) if name not in names]
    if unknown:
        raise BadInput(f"{dataset.name!r} has no field {unknown[0]!r}; it has {', '.join(names)}")
    if responses and len(set(responses)) != 2:
        raise BadInput("--response names two fields; give it twice: --response A --response B")
    rest = [name for name in names if name not in responses]
    if prompt is None:
        prompt = next((name for name in _PROMPTS if name in rest), None)
    rest = [name for name in rest if name != prompt]
    if not responses:
        folded = {name.casefold(): name for name in rest}
        both = next((pair for pair in _PAIRS_OF_FIELDS if set(pair) <= set(folded)), None)
        if both is not None:
            responses = [folded[name] for name in both]
        elif prompt is not None and len(rest) == 2:
            responses = rest
        rest = [name for name in rest if name not in responses]
    if prompt is None and len(rest) == 1:
        prompt = rest[0]
    if prompt is None or not responses:
        raise BadInput(
            f"cannot tell prompt and responses of {dataset.name!r} by the names of its fields "
            f"({', '.join(names)}); name them by --prompt, --response and --response"
        )
    return Fields(prompt, *responses)


def _pair(
    record: Any,
    fields: Fields,
    text: Callable[[str], str],
    choice: Choice,
    names: Mapping[str, str],
    tally: _Tally,
) -> PreferencePair | None:
    """A record as a pair; None, counted, where it holds none. `text` undoes what a push changed."""
    tally.n_records += 1
    texts = record.fields or {}
    a, b = texts.get(fields.a), texts.get(fields.b)
    prompt = _prompt(texts.get(fields.prompt), text)
    if not isinstance(a, str) or not isinstance(b, str) or prompt is None:
        tally.unread["records without a prompt and two texts"] += 1
        return None
    people = [
        label
        for response in record.responses or ()
        if (label := _human(response, choice, names, tally)) is not None
    ]
    judgments = _judgments(record, choice, tally)
    try:
        return PreferencePair(
            id=str(record.external_id or record.id),
            prompt=prompt,
            response_a=text(a),
            response_b=text(b),
            human=tuple(people),
            ai=tuple(judgments),
        )
    except ValidationError as error:
        tally.unread[f"records that are no pair ({error.errors()[0]['msg'].lower()})"] += 1
        return None


def _prompt(value: Any, text: Callable[[str], str]) -> str | tuple[Message, ...] | None:
    if isinstance(value, str):
        return text(value)
    turns = []
    for turn in value or ():
        said = turn if isinstance(turn, dict) else turn.model_dump()
        role = str(said.get("role", "")).casefold()
        try:
            content = text(str(said.get("content") or ""))
            turns.append(Message(role=_ROLES.get(role, role), content=content))  # type: ignore[arg-type]  # checked by the model
        except ValidationError:
            return None
    return tuple(turns) or None


def _human(
    response: Any, choice: Choice, names: Mapping[str, str], tally: _Tally
) -> HumanLabel | None:
    status = str(response.status.value)
    if status != "submitted":
        tally.unread[f"{'drafts' if status == 'draft' else 'discarded answers'}"] += 1
        return None
    values = {name: said.get("value") for name, said in (response.values or {}).items()}
    label = choice.label(values)
    if label is None:
        tally.unread["answers that choose none of the two"] += 1
        return None
    tally.n_labels += 1
    who = str(response.user_id)
    return HumanLabel(annotator=names.get(who, who), label=label)


def _judgments(record: Any, choice: Choice, tally: _Tally) -> list[Judgment]:
    by_agent: dict[str, dict[str, Any]] = {}
    scores: dict[str, float | None] = {}
    for suggestion in record.suggestions or ():
        name = choice.question_of(str(suggestion.question_id))
        if name is not None:
            agent = suggestion.agent or "argilla-suggestion"
            by_agent.setdefault(agent, {})[name] = suggestion.value
            scores[agent] = suggestion.score if isinstance(suggestion.score, float) else None
    found = []
    for agent, values in by_agent.items():
        label = choice.label(values)
        if label is None:
            tally.unread["suggestions that choose none of the two"] += 1
            continue
        score = scores[agent]
        sure = score if score is not None and 0.0 <= score <= 1.0 else None
        found.append(Judgment(judge=agent, label=label, confidence=sure))
    tally.n_suggestions += len(found)
    return found
