"""JSON columns in SQL, for SQLite and PostgreSQL: the only place that knows the dialect.

Argilla stores fields, metadata, answers and suggestions as JSON text with escaped unicode, so
nothing here compares the stored text itself.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from argilla_server.database import async_engine
from sqlalchemy import (
    ColumnElement,
    Double,
    String,
    Text,
    and_,
    case,
    cast,
    event,
    exists,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH, array
from sqlalchemy.sql.selectable import ScalarSelect, Select

SQLITE = async_engine.dialect.name == "sqlite"

Condition = ColumnElement[bool]
# SQLite takes patterns up to 50,000 bytes; nobody types a word of this length.
_LONGEST = 1000
_WHOLE = array([], type_=Text)  # the path of a value itself, for PostgreSQL's #>>


# PostgreSQL's lower() follows the database's language, and in the language C knows ASCII only;
# this one, where the server has it, knows all.
_languages: dict[str, str] = {}
COLLATIONS = ("und-x-icu", "pg_c_utf8", "C.utf8")


def fold_case_by(collation: str) -> None:
    """Use this collation of PostgreSQL for lower-case."""
    _languages["all"] = collation


if SQLITE:

    @event.listens_for(async_engine.sync_engine, "connect")
    def _add_functions(connection: Any, _: object) -> None:
        # SQLite's own lower() knows ASCII only.
        connection.create_function(
            "workbench_has",
            2,
            lambda text, part: isinstance(text, str) and part in text.lower(),
            deterministic=True,
        )


def _path(*keys: str) -> str:
    """A path in SQLite's notation; the names of Argilla's parts have no quotes in them."""
    return "$" + "".join(f'."{key}"' for key in keys)


def _node(column: Any, *keys: str) -> Any:
    node = cast(column, JSONB)
    return node[keys] if keys else node


@dataclass(frozen=True)
class Elements:
    """The scalars at a place of a JSON column: the elements of an array, or the value itself."""

    source: Any
    text: ColumnElement[str]
    number: ColumnElement[float]
    present: Condition

    def any(self, test: Condition) -> Condition:
        """Whether one of them passes."""
        return exists(select(literal(1)).select_from(self.source).where(self.present, test))

    def extreme(self, *, numeric: bool, last: bool) -> ScalarSelect[Any]:
        """The smallest or the largest of them, to sort by."""
        value = self.number if numeric else in_code_points(self.text)
        pick = func.max(value) if last else func.min(value)
        return select(pick).select_from(self.source).where(self.present).scalar_subquery()


def elements(column: Any, *keys: str) -> Elements:
    """The scalars at `keys` of a JSON column, as a lateral source of the enclosing query."""
    if SQLITE:
        each = func.json_each(column, _path(*keys)).table_valued("value", "type")
        is_number = each.c.type.in_(["integer", "real"])
        return Elements(
            each,
            cast(each.c.value, String),
            case((is_number, each.c.value)),
            each.c.type.not_in(["null", "object"]),
        )
    node = _node(column, *keys)
    array = case((func.jsonb_typeof(node) == "array", node), else_=func.jsonb_build_array(node))
    each = func.jsonb_array_elements(array).table_valued("value").render_derived()
    value = each.c.value
    text = value.op("#>>")(_WHOLE)
    numeric = func.jsonb_typeof(value) == "number"
    return Elements(
        each,
        text,
        case((numeric, cast(text, Double))),
        and_(value.is_not(None), func.jsonb_typeof(value).not_in(["null", "object"])),
    )


def in_code_points(text: Any) -> Any:
    """Text that sorts by code points, whatever the database's language."""
    return text if SQLITE else cast(text, Text).collate("C")


def has_text(column: Any, part: str, fields: Sequence[tuple[str, str]]) -> Condition:
    """Whether the words of one of the fields contain `part` (lower-case).

    Args:
        column: The JSON column of the fields.
        part: What to look for, in lower case.
        fields: Names and kinds: "text", "chat" (its messages' contents) or "custom" (any string
            in it).
    """
    one_has = _sqlite_text if SQLITE else _postgres_text
    found = or_(*(one_has(column, part, name, kind) for name, kind in fields))
    # Most records are passed over by a look at the stored text, without reading its JSON.
    plain = max(_plain_runs(part), key=len, default="")[:_LONGEST]
    if not plain:
        return found
    stored = json.dumps(plain)[1:-1]
    return and_(_like(cast(column, Text), stored), found)


def _plain_runs(text: str) -> list[str]:
    """The pieces of a text whose stored form is known in any case: ASCII, or of no case."""
    runs = [""]
    for char in text:
        if char.isascii() or char.upper() == char == char.lower():
            runs[-1] += char
        elif runs[-1]:
            runs.append("")
    return runs


def _like(text: Any, part: str) -> Condition:
    """Whether a text contains a part, whatever the case of its ASCII letters."""
    pattern = "%" + re.sub("([%_!])", r"!\1", part) + "%"
    # SQLite's LIKE looks past case by itself; PostgreSQL's does not.
    found = text.like(pattern, escape="!") if SQLITE else text.ilike(pattern, escape="!")
    return found  # type: ignore[no-any-return]  # a column of any type


def _postgres_text(column: Any, part: str, field: str, kind: str) -> Condition:
    steps = {"text": "", "chat": "[*].content", "custom": ".**"}[kind]
    path = f'$."{field}"{steps} ? (@.type() == "string")'
    each = (
        func.jsonb_path_query(cast(column, JSONB), cast(path, JSONPATH))
        .table_valued("value")
        .render_derived()
    )
    words: Any = each.c.value.op("#>>")(_WHOLE)
    words = func.lower(words.collate(_languages["all"]) if "all" in _languages else words)
    return exists(select(literal(1)).select_from(each).where(func.strpos(words, part) > 0))


def _sqlite_text(column: Any, part: str, field: str, kind: str) -> Condition:
    def has(words: Any) -> Condition:
        if _plain_runs(part) == [part] and len(part) <= _LONGEST:
            return _like(words, part)
        # This calls Python, which holds up all other requests meanwhile.
        return func.workbench_has(words, part) == 1

    if kind == "text":
        return has(func.json_extract(column, _path(field)))
    if kind == "chat":
        each = func.json_each(column, _path(field)).table_valued("value", "type")
        content = func.json_extract(each.c.value, "$.content")
        found = and_(each.c.type == "object", has(content))
    else:
        each = func.json_tree(column, _path(field)).table_valued("atom", "type")
        found = and_(each.c.type == "text", has(each.c.atom))
    query: Select[Any] = select(literal(1)).select_from(each).where(found)
    return exists(query)
