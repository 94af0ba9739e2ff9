"""Where the responses come from: generated candidates, imported pairs, or a file of one's own."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines.constitution.trajectory import Response
from pipelines.errors import BadInput
from pipelines.generate.reading import read_candidates
from pipelines.store import PairStore

CANDIDATES, PAIRS = "candidates", "pairs"

Source = Callable[[], Iterable[Response]]


def source_of(name: str, project_dir: Path, store: PairStore) -> Source:
    """All responses of a source, as often as they are asked for.

    Args:
        name: "candidates", or "candidates:MODEL" for those of one model; "pairs"; or a JSON Lines
            file (relative to the project's folder).
        project_dir: The project's folder.
        store: Its pairs.

    Raises:
        BadInput: The source has none, or a line of the file is wrong; all lines are read first.
    """
    if name == PAIRS:
        if not len(store):
            raise BadInput(f"{project_dir}: no pairs; run `workbench import FILE` first")
        return lambda: _of_pairs(store)
    kind, colon, model = name.partition(":")
    if kind == CANDIDATES:
        hint = f"run `workbench generate {model}`" if colon else "run `workbench generate`"
        return _checked(lambda: _of_candidates(project_dir, model if colon else None), hint)
    path = project_dir / name if not Path(name).is_file() else Path(name)
    return _checked(lambda: _of_file(path), f"{path} holds none")


def limited(source: Source, n: int) -> Source:
    """The first `n` responses of a source."""

    def first() -> Iterator[Response]:
        for place, one in enumerate(source()):
            if place == n:
                return
            yield one

    return first


def _checked(source: Source, hint: str) -> Source:
    if not any(True for _ in source()):
        raise BadInput(f"there are no responses to revise: {hint}")
    return source


def _of_pairs(store: PairStore) -> Iterator[Response]:
    """Both responses of every pair; one that several pairs share comes once."""
    seen: set[str] = set()
    for pair in store.iter_pairs():
        for side, text, model in (
            ("a", pair.response_a, pair.model_a),
            ("b", pair.response_b, pair.model_b),
        ):
            one = Response(
                id=f"{pair.id}:{side}",
                prompt=pair.prompt,
                text=text,
                model=model,
                prompt_id=hashlib.sha256(pair.prompt_json().encode()).hexdigest()[:16],
                source=pair.source,
                subset=pair.subset,
            )
            if one.text_hash() not in seen and text.strip():
                seen.add(one.text_hash())
                yield one


def _of_file(path: Path) -> Iterator[Response]:
    """Lines with `prompt` and `response`; `id`, `model` and so on as in `Response`."""
    seen: dict[str, int] = {}
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, text in enumerate(file, 1):
                if not text.strip():
                    continue
                where = f"{path}:{number}"
                one = _response(where, _object(where, text))
                if one.id in seen:
                    raise BadInput(
                        f'{where}: the id "{one.id}" is also that of line {seen[one.id]}; give '
                        "each response its own"
                    )
                seen[one.id] = number
                yield one
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); correct the name") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8 text; save it as UTF-8") from error


def _object(where: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise BadInput(f"{where}: not JSON ({error}); correct that line") from error
    if not isinstance(found, dict):
        raise BadInput(f'{where}: not an object; write {{"prompt": ..., "response": ...}}')
    return found


def _response(where: str, row: dict[str, Any]) -> Response:
    for key in ("prompt", "response"):
        if key not in row:
            raise BadInput(f'{where}: "{key}" is missing; add it')
    text = row.pop("response")
    given = {**row, "text": text}
    if "id" not in given:
        content = json.dumps([row["prompt"], text], ensure_ascii=False)
        given["id"] = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    try:
        one = Response.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(step) for step in first["loc"])
        key = "response" if key == "text" else key
        raise BadInput(f'{where}: "{key}": {first["msg"][:1].lower()}{first["msg"][1:]}') from error
    if not one.text.strip():
        raise BadInput(f'{where}: "response" is empty; leave the line out')
    return one


def _of_candidates(project_dir: Path, model: str | None) -> Iterator[Response]:
    """Every candidate (of a model) that says something; failed ones have nothing to revise."""
    for one in read_candidates(project_dir):
        if model is not None and one.model != model:
            continue
        if one.response is not None and one.response.strip() and one.failure is None:
            yield Response(
                id=f"{one.prompt_id}:{one.model}:{one.index}",
                prompt=one.prompt,
                text=one.response,
                model=one.model,
                prompt_id=one.prompt_id,
                source=one.source,
                subset=one.subset,
                meta=one.meta,
            )
