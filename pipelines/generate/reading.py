"""The candidates of a project, as its runs left them: `runs/generate/<model>/candidates.jsonl`."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from pipelines.errors import BadInput
from pipelines.generate.records import Candidate, text_hash
from pipelines.records import Message

CANDIDATES_NAME = "candidates.jsonl"


def read_candidates(project_dir: Path) -> Iterator[Candidate]:
    """Every candidate of every model of a project, failures included; model by model.

    Of a prompt that was asked under several settings, the latest.

    Raises:
        BadInput: A file is damaged.
    """
    for path in _files(project_dir):
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield _candidate(path, number, line)


def candidates_by_prompt(project_dir: Path) -> Iterator[list[Candidate]]:
    """The same prompt by prompt, over all models; a prompt's candidates in memory at a time.

    Raises:
        BadInput: A file is damaged.
    """
    places: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
    files = _files(project_dir)
    for which, path in enumerate(files):
        offset = 0
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                key = _prompt_key(path, number, line)
                places.setdefault(key, []).append((which, offset, number))
                offset += len(line)
    with ExitStack() as stack:
        opened = [stack.enter_context(path.open("rb")) for path in files]
        for lines in places.values():
            found = []
            for which, offset, number in lines:
                opened[which].seek(offset)
                found.append(_candidate(files[which], number, opened[which].readline()))
            yield found


def _files(project_dir: Path) -> list[Path]:
    return sorted((project_dir / "runs" / "generate").glob(f"*/{CANDIDATES_NAME}"))


def _candidate(path: Path, number: int, line: bytes) -> Candidate:
    try:
        return Candidate.model_validate_json(line)
    except ValueError as error:
        raise _damaged(path, number) from error


def _prompt_key(path: Path, number: int, line: bytes) -> tuple[str, str]:
    try:
        row = json.loads(line)
        shown = row["prompt"]
        if not isinstance(shown, str):
            shown = tuple(Message.model_validate(turn) for turn in shown)
        return row["prompt_id"], text_hash(shown)
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, number) from error


def _damaged(path: Path, number: int) -> BadInput:
    return BadInput(
        f"{path}:{number}: is no candidate; remove the file, and the next `workbench generate` "
        "makes it again from the log"
    )
