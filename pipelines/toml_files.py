"""One TOML file as one record. Whatever is wrong with it is one sentence: file, key, what to do."""

import difflib
import tomllib
from pathlib import Path
from types import GenericAlias, UnionType
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipelines.errors import BadInput

Model = TypeVar("Model", bound=BaseModel)


def read_toml(path: Path, model: type[Model], what: str, advice: str = "correct the name") -> Model:
    """The file as a `model`.

    Args:
        path: The file; a byte order mark is skipped.
        model: What its tables must be; it forbids what it does not declare.
        what: What the file is, for the error ("a prompt template").
        advice: What to do where it cannot be read.

    Raises:
        BadInput: It cannot be read, is not TOML, lacks a key, has an unknown one or a bad value.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput(f"{path}: {what} cannot be read ({error.strerror}); {advice}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8 text; save it as UTF-8") from error
    try:
        return model.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path}: not valid TOML ({error}); correct that line") from error
    except ValidationError as error:
        raise BadInput(f"{path}: {explain(error, model)[0]}") from error


def explain(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One sentence about each thing that is wrong, with its key; misspelt keys first.

    A key that is misspelt is also missed: the misspelling is what helps.
    """
    mistakes = error.errors(include_url=False)
    mistakes.sort(key=lambda one: one["type"] != "extra_forbidden")
    return [_sentence(one, model) for one in mistakes]


def _sentence(first: ErrorDetails, model: type[BaseModel]) -> str:
    where = _dotted(first["loc"])
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(
            str(first["loc"][-1]), _known_keys(model, first["loc"][:-1]), n=1, cutoff=0.0
        )
        hint = f'; did you mean "{_dotted((*first["loc"][:-1], *near))}"?' if near else ""
        return f'unknown key "{where}"{hint or "; take it out"}'
    if first["type"] == "missing":
        return f'"{where}" is missing; add it'
    if first["type"] == "value_error":
        message = first["msg"].removeprefix("Value error, ")
        return f"{where}: {message}" if where else message
    if first["type"] == "too_short" and not first["ctx"]["actual_length"]:
        return f'"{where}" is empty; write at least {first["ctx"]["min_length"]}'
    message = first["msg"][:1].lower() + first["msg"][1:]
    return f'"{where}" is {_short(first["input"])}; {message}'


def _dotted(steps: tuple[int | str, ...]) -> str:
    """`("principles", 2, "id")` as `principles[3].id`: people count from one."""
    text = ""
    for step in steps:
        text += f"[{step + 1}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _known_keys(model: type[BaseModel], steps: tuple[int | str, ...]) -> list[str]:
    """The keys of the table that `steps` lead to."""
    for step in steps:
        if isinstance(step, str) and step in model.model_fields:
            inner = _inner_model(model.model_fields[step].annotation)
            if inner is None:
                return []
            model = inner
    return list(model.model_fields)


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    """The record inside `X`, `X | None` or `tuple[X, ...]`."""
    if isinstance(annotation, GenericAlias | UnionType):
        found = (_inner_model(argument) for argument in get_args(annotation))
        return next((model for model in found if model is not None), None)
    return (
        annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    )
