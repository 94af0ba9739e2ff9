"""What stands behind an evaluation's numbers: every comparison, every response of a suite.

`comparisons.jsonl` and `suites/NAME/outcomes.jsonl` in the evaluation's folder; the page
*Win rates* lists and shows them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.agreement.annotations import FloatArray
from pipelines.errors import BadInput
from pipelines.evaluate.comparisons import Comparisons
from pipelines.evaluate.outcomes import Outcome
from pipelines.generate.records import Conversation

COMPARISONS = "comparisons.jsonl"
OUTCOMES = "outcomes.jsonl"


def write_comparisons(
    folder: Path,
    comparisons: Comparisons,
    ids: Sequence[str],
    judged: Mapping[str, FloatArray],
    human: FloatArray,
) -> None:
    """Every two responses that met, with what judges and people say of the first policy's.

    Args:
        folder: The evaluation's.
        comparisons: Who met whom.
        ids: Ids of the store's pairs, by row.
        judged: By judge, its soft scores by row of the store.
        human: People's, by row of the store.
    """
    names = comparisons.policies
    scores = {judge: comparisons.scores(soft) for judge, soft in judged.items()}
    people = np.where(comparisons.same, np.nan, comparisons.scores(human))
    rows = (
        {
            "pair": "" if comparisons.row[k] < 0 else ids[int(comparisons.row[k])],
            "first": names[int(comparisons.first[k])],
            "second": names[int(comparisons.second[k])],
            "judged": {judge: _number(score[k]) for judge, score in scores.items()},
            "people": _number(people[k]),
            "chars_first": int(comparisons.chars_first[k]),
            "chars_second": int(comparisons.chars_second[k]),
        }
        for k in range(len(comparisons.row))
    )
    _write(folder / COMPARISONS, rows)


def write_outcomes(folder: Path, suite: str, outcomes: Iterable[Outcome]) -> None:
    """Every response of a suite and whether it happened there.

    Args:
        folder: The evaluation's.
        suite: The suite's name.
        outcomes: All of them.
    """
    place = folder / "suites" / suite
    rows = (
        {
            "policy": one.policy,
            "group": one.group,
            "happened": one.happened,
            "prompt_id": one.candidate.prompt_id,
            "prompt": _shown(one.candidate.prompt),
            "response": one.candidate.response,
        }
        for one in outcomes
    )
    _write(place / OUTCOMES, rows)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The rows of one of these files; none where there is no file.

    Raises:
        BadInput: It is damaged.
    """
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise BadInput(f"{path}: damaged ({error}); run the evaluation again") from error


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=True, allow_nan=False) + "\n")
        partial.replace(path)
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror}); make room") from error


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)


def _shown(prompt: Conversation) -> str:
    if isinstance(prompt, str):
        return prompt
    return "\n".join(f"{turn.role}: {turn.content}" for turn in prompt)
