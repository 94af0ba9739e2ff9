"""What is wrong with a constitution's file, all of it at once, and what two versions differ in."""

import difflib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from pipelines.constitution.records import Constitution, Principle
from pipelines.constitution.words import Piece, word_differences
from pipelines.errors import BadInput
from pipelines.toml_files import explain

# Share of letters in common, in order, from which two descriptions say nearly the same. Shipped
# principles reach 0.38 with each other at most.
_NEAR_EQUAL = 0.85
_TEXTS = ("name", "description", "comparison_question", "critique_question", "revision_request")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, or worth a look (`note`); `message` begins with the key."""

    kind: Literal["error", "note"]
    message: str


def check_constitution(path: Path) -> tuple[Constitution | None, list[Problem]]:
    """The constitution, where it can be loaded, and everything that is wrong with its file.

    Raises:
        BadInput: The file cannot be read at all, or is not TOML.
    """
    raw = _read(path)
    constitution, errors = None, list[str]()
    try:
        constitution = Constitution.model_validate(raw)
    except ValidationError as error:
        errors = explain(error, Constitution)
    found = raw.get("principles")
    if found:  # its entries are wrong, each of which is told
        errors = [one for one in errors if not one.startswith('"principles" is empty')]
    principles = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    duplicates = [*_duplicates(principles, "id"), *_duplicates(principles, "name")]
    if duplicates:  # all of them, in place of the first one that the record finds
        errors = [one for one in errors if not one.startswith("two principles have the ")]
    errors += duplicates
    errors += _near_equal(principles)
    errors += _contradicting_examples(principles)
    notes = [] if constitution is None else _notes(constitution)
    problems = [Problem("error", one) for one in errors]
    return constitution, problems + [Problem("note", one) for one in notes]


@dataclass(frozen=True)
class FieldChange:
    """A field of a principle, or of the constitution itself, in two versions."""

    field: str
    old: str
    new: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class ConstitutionDiff:
    """What changed from one version to another."""

    old_hash: str
    new_hash: str
    about: tuple[FieldChange, ...]  # name, description, language
    added: tuple[Principle, ...]
    removed: tuple[Principle, ...]
    changed: tuple[tuple[str, tuple[FieldChange, ...]], ...]  # by principle id
    reordered: bool


def diff_constitutions(old: Constitution, new: Constitution) -> ConstitutionDiff:
    """The differences; principles are the same when their ids are."""
    before = {one.id: one for one in old.principles}
    after = {one.id: one for one in new.principles}
    both = [id for id in before if id in after]
    changes = [
        (id, _changes(before[id], after[id], (*_TEXTS, "weight", "examples"))) for id in both
    ]
    return ConstitutionDiff(
        old_hash=old.hash(),
        new_hash=new.hash(),
        about=_changes(old, new, ("name", "description", "language")),
        added=tuple(one for id, one in after.items() if id not in before),
        removed=tuple(one for id, one in before.items() if id not in after),
        changed=tuple((id, fields) for id, fields in changes if fields),
        reordered=both != [id for id in after if id in before],
    )


def _changes(
    old: Constitution | Principle, new: Constitution | Principle, fields: tuple[str, ...]
) -> tuple[FieldChange, ...]:
    texts = [(field, _text(old, field), _text(new, field)) for field in fields]
    return tuple(
        FieldChange(field, before, after, tuple(word_differences(before, after)))
        for field, before, after in texts
        if before != after
    )


def _text(record: Constitution | Principle, field: str) -> str:
    value = getattr(record, field)
    if field != "examples":
        return f"{value:g}" if isinstance(value, float) else str(value)
    return "\n".join(
        f"{'violates' if one.violates else 'satisfies'}: {one.prompt} / {one.response} ({one.why})"
        for one in value
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise BadInput(
            f"{path}: a constitution cannot be read ({error.strerror}); correct the name"
        ) from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8 text; save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path}: not valid TOML ({error}); correct that line") from error


def _duplicates(principles: list[dict[str, Any]], key: str) -> list[str]:
    first: dict[str, int] = {}
    found = []
    for place, principle in enumerate(principles, 1):
        value = principle.get(key)
        if not isinstance(value, str) or not value.strip():
            continue
        plain = value.strip().casefold()
        if plain in first:
            found.append(
                f'principles[{place}].{key}: "{value}" is also the {key} of '
                f"principles[{first[plain]}]; give each its own"
            )
        else:
            first[plain] = place
    return found


def _near_equal(principles: list[dict[str, Any]]) -> list[str]:
    """Principles that say the same count it twice; with different weights they contradict."""
    found = []
    texts = [str(one.get("description", "")).casefold().split() for one in principles]
    joined = [" ".join(words) for words in texts]
    for place, words in enumerate(texts):
        for other in range(place):
            if not words or not texts[other]:
                continue
            same = (
                joined[place] == joined[other]
                or _likeness(list(joined[place]), list(joined[other])) >= _NEAR_EQUAL
            )
            if not same:
                continue
            here, there = (principles[at].get("weight", 1.0) for at in (place, other))
            if here != there:
                found.append(
                    f"principles[{place + 1}].weight: {here:g} contradicts {there:g} of "
                    f"principles[{other + 1}], whose description says nearly the same; keep one "
                    "of the two"
                    if isinstance(here, int | float) and isinstance(there, int | float)
                    else f"principles[{place + 1}].weight: contradicts principles[{other + 1}]"
                )
            else:
                found.append(
                    f"principles[{place + 1}].description: says nearly the same as "
                    f"principles[{other + 1}].description; keep one of the two"
                )
    return found


def _likeness(here: list[str], there: list[str]) -> float:
    matcher = difflib.SequenceMatcher(None, here, there, autojunk=False)
    if matcher.real_quick_ratio() < _NEAR_EQUAL or matcher.quick_ratio() < _NEAR_EQUAL:
        return 0.0
    return matcher.ratio()


def _contradicting_examples(principles: list[dict[str, Any]]) -> list[str]:
    found = []
    for place, principle in enumerate(principles, 1):
        seen: dict[tuple[object, object], object] = {}
        examples = principle.get("examples")
        for number, example in enumerate(examples if isinstance(examples, list) else [], 1):
            if not isinstance(example, dict):
                continue
            texts = (str(example.get("prompt")), str(example.get("response")))
            if texts in seen:
                how = "twice" if seen[texts] == example.get("violates") else "as both"
                found.append(
                    f"principles[{place}].examples[{number}]: is there {how}"
                    + (" (violates true and false)" if how == "as both" else "")
                    + "; keep one"
                )
            seen[texts] = example.get("violates")
    return found


def _notes(constitution: Constitution) -> list[str]:
    total = sum(one.weight for one in constitution.principles)
    notes = []
    for place, principle in enumerate(constitution.principles, 1):
        key = f"principles[{place}]"
        if principle.weight == 0:
            notes.append(
                f'{key}.weight: 0 leaves "{principle.id}" out of every judge\'s verdict; '
                "`workbench revise` still asks for it"
            )
        elif len(constitution.principles) > 2 and principle.weight > total - principle.weight:
            notes.append(
                f'{key}.weight: {principle.weight:g} of "{principle.id}" is more than all others '
                f"together ({total - principle.weight:g}), so they never decide against it"
            )
        if not principle.examples:
            notes.append(
                f'{key}.examples: "{principle.id}" has none; one or two make critics surer'
            )
    return notes
