"""Argilla's filters and sorts as SQL over its own tables."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from argilla_server.enums import MetadataPropertyType, QuestionType, SortOrder
from argilla_server.models import Question, Record, Response, Suggestion
from argilla_server.search_engine.base import (
    AndFilter,
    MetadataFilterScope,
    RangeFilter,
    RecordFilterScope,
    ResponseFilterScope,
    SuggestionFilterScope,
    TermsFilter,
)
from sqlalchemy import (
    Select,
    String,
    and_,
    cast,
    exists,
    false,
    func,
    not_,
    or_,
    select,
    true,
)

from .json_sql import Condition, elements, in_code_points

PENDING = "pending"


def condition(given: Any, dataset: Any) -> Condition:
    """A filter as a condition on records.

    Raises:
        ValueError: The filter is of a kind that the server's search never knew.
    """
    if isinstance(given, AndFilter):
        return and_(true(), *(condition(part, dataset) for part in given.filters))
    scope = given.scope
    if isinstance(scope, MetadataFilterScope):
        return _on_elements(elements(Record.metadata_, scope.metadata_property), given)
    if isinstance(scope, RecordFilterScope):
        return _on_record(scope.property, given)
    if isinstance(scope, SuggestionFilterScope):
        return _on_suggestion(scope, given, dataset)
    if isinstance(scope, ResponseFilterScope):
        return _on_response(scope, given)
    raise ValueError(f"search knows no filter on {scope}")


def _on_elements(found: Any, given: Any) -> Condition:
    if isinstance(given, TermsFilter):
        test: Condition = found.text.in_([str(value) for value in given.values])
        return found.any(test)  # type: ignore[no-any-return]  # Argilla's classes are untyped here
    return found.any(_between(found.number, given, float))  # type: ignore[no-any-return]


def _between(value: Any, given: RangeFilter, read: Callable[[Any], Any]) -> Condition:
    """Inside the range; a bound that is not of the value's kind lets nothing through."""
    try:
        bounds = [
            *([value >= read(given.ge)] if given.ge is not None else []),
            *([value <= read(given.le)] if given.le is not None else []),
        ]
    except ValueError:
        return false()
    return and_(true(), *bounds)


def _moment(value: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _record_column(name: str) -> Any:
    return {
        "id": Record.id,
        "external_id": Record.external_id,
        "inserted_at": Record.inserted_at,
        "updated_at": Record.updated_at,
        "status": Record.status,
    }[str(name)]


def _on_record(name: str, given: Any) -> Condition:
    column, name = _record_column(name), str(name)
    if name in ("inserted_at", "updated_at"):
        if isinstance(given, RangeFilter):
            return _between(column, given, _moment)
        moments = _readable(given.values, _moment)
        return column.in_(moments)  # type: ignore[no-any-return]
    if isinstance(given, RangeFilter):
        return _between(in_code_points(cast(column, String)), given, str)
    values: list[Any] = given.values
    if name == "id":
        values = _readable(values, UUID)
    elif name == "status":
        values = [value for value in values if value in ("pending", "completed")]
    return column.in_(values)  # type: ignore[no-any-return]


def _readable(values: list[str], read: Callable[[Any], Any]) -> list[Any]:
    found = []
    for value in values:
        try:
            found.append(read(value))
        except ValueError:
            continue
    return found


def _question_id(dataset: Any, name: str) -> Any:
    return (
        select(Question.id)
        .where(Question.dataset_id == dataset.id, Question.name == name)
        .scalar_subquery()
    )


def _on_suggestion(scope: SuggestionFilterScope, given: Any, dataset: Any) -> Condition:
    base = [
        Suggestion.record_id == Record.id,
        Suggestion.question_id == _question_id(dataset, scope.question),
    ]
    name = str(scope.property)
    if name in ("agent", "type"):
        column = cast(getattr(Suggestion, name), String)
        if isinstance(given, RangeFilter):
            return exists().where(*base, _between(in_code_points(column), given, str))
        return exists().where(*base, column.in_(given.values))
    column = Suggestion.score if name == "score" else Suggestion.value
    return exists().where(*base, _on_elements(elements(column), given))


def _on_response(scope: ResponseFilterScope, given: Any) -> Condition:
    base: list[Condition] = [Response.record_id == Record.id]
    if scope.user is not None:
        base.append(Response.user_id == scope.user.id)
    if scope.question:
        found = elements(Response.values, scope.question, "value")
        return exists().where(*base, _on_elements(found, given))
    if str(scope.property) != "status" or not isinstance(given, TermsFilter):
        raise ValueError(f"search knows no such filter on {scope}")
    values = {str(value) for value in given.values}
    status = cast(Response.status, String)
    return or_(
        not_(exists().where(*base)) if PENDING in values else false(),
        exists().where(*base, status.in_(sorted(values - {PENDING}))),
    )


def order(given: Any, dataset: Any, kinds: dict[str, Any]) -> Any:
    """A sort as an ORDER BY term; records without a value come last, whichever way.

    Args:
        given: Argilla's Order.
        dataset: Whose records.
        kinds: The types of the dataset's questions and metadata properties, by name
            ("question:NAME", "metadata:NAME").

    Raises:
        ValueError: The sort is of a kind that the server's search never knew.
    """
    scope, last = given.scope, given.order == SortOrder.desc
    if isinstance(scope, RecordFilterScope):
        column = _record_column(scope.property)
        if str(scope.property) in ("external_id", "status"):
            column = in_code_points(cast(column, String))
    elif isinstance(scope, MetadataFilterScope):
        numeric = kinds.get(f"metadata:{scope.metadata_property}") != MetadataPropertyType.terms
        found = elements(Record.metadata_, scope.metadata_property)
        column = found.extreme(numeric=numeric, last=last)
    elif isinstance(scope, SuggestionFilterScope):
        column = _by_suggestion(scope, dataset, kinds, last=last)
    elif isinstance(scope, ResponseFilterScope):
        column = _by_response(scope)
    else:
        raise ValueError(f"search knows no sort by {scope}")
    return (column.desc() if last else column.asc()).nulls_last()


def _by_suggestion(
    scope: SuggestionFilterScope, dataset: Any, kinds: dict[str, Any], *, last: bool
) -> Any:
    name = str(scope.property)
    if name in ("agent", "type"):
        value = in_code_points(cast(getattr(Suggestion, name), String))
    else:
        numeric = name == "score" or kinds.get(f"question:{scope.question}") == QuestionType.rating
        found = elements(Suggestion.score if name == "score" else Suggestion.value)
        value = found.extreme(numeric=numeric, last=last)
    query: Select[Any] = select(value).where(
        Suggestion.record_id == Record.id,
        Suggestion.question_id == _question_id(dataset, scope.question),
    )
    return query.limit(1).correlate(Record).scalar_subquery()


def _by_response(scope: ResponseFilterScope) -> Any:
    query: Select[Any]
    if scope.question:
        found = elements(Response.values, scope.question, "value")
        average = select(func.avg(found.number)).select_from(found.source).scalar_subquery()
        query = select(func.avg(average))
    else:
        query = select(func.min(in_code_points(cast(Response.status, String))))
    query = query.where(Response.record_id == Record.id)
    if scope.user is not None:
        query = query.where(Response.user_id == scope.user.id)
    return query.correlate(Record).scalar_subquery()
