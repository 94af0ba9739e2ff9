"""UltraFeedback: N completions of one instruction, each scored by a critic, as pairs.

{"instruction": "...", "source": "...", "completions": [
    {"model": "...", "response": "...", "overall_score": 7.5, "annotations": {...}}, ...]}
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from statistics import fmean
from typing import Any

from pipelines.formats.fields import name, number, origin, required, text
from pipelines.formats.options import ReadOptions
from pipelines.formats.placing import Outcome, Side, placed_pair
from pipelines.formats.rejects import MISSING_KEY, TOO_FEW_RESPONSES, WRONG_TYPE, BadRow
from pipelines.records import PreferencePair

CRITIC = "critic"

_PROMPT_KEYS = ("instruction", "prompt", "question")
_RESPONSE_KEYS = ("response", "text", "content", "output")
_SCORE_KEYS = ("overall_score", "score", "rating", "fine-grained_score")


def ultrafeedback_pairs(row: dict[str, Any], options: ReadOptions) -> Iterator[PreferencePair]:
    """The pairs of one row: all of them, or the best completion against each other one.

    Equal scores are a tie; a completion without a score makes its pairs failures ("unparsed").
    Of several best ones the first is the best. An id, if there is one, gets the two places added.

    Raises:
        BadRow: No instruction, fewer than two completions, or one without a text.
    """
    prompt_key = next((key for key in _PROMPT_KEYS if row.get(key) is not None), None)
    if prompt_key is None:
        raise BadRow(MISSING_KEY, '"instruction" is missing or null')
    prompt = text(row[prompt_key], prompt_key)
    completions = required(row, "completions")
    if not isinstance(completions, list):
        raise BadRow(WRONG_TYPE, "completions is no list")
    if len(completions) < 2:
        raise BadRow(
            TOO_FEW_RESPONSES, f"a pair needs two completions, here are {len(completions)}"
        )
    sides = [_side(completion, place) for place, completion in enumerate(completions)]
    places = list(combinations(range(len(sides)), 2))
    if options.scores == "best":
        best = _best(sides)
        places = [(best, other) for other in range(len(sides)) if other != best]
    chooser = (options.labels_are or "ai", str(row.get("critic") or CRITIC))
    for i, j in places:
        pair_origin = origin(row, {prompt_key, "completions", "models", "critic"})
        if pair_origin.id is not None:
            pair_origin = replace(pair_origin, id=f"{pair_origin.id}:{i}-{j}")
        yield placed_pair(
            prompt, (sides[i], sides[j]), _outcome(sides[i], sides[j]), chooser, pair_origin
        )


def _best(sides: list[Side]) -> int:
    """Where the highest score stands; 0 when there is none at all."""
    scored = [(side.score, -place) for place, side in enumerate(sides) if side.score is not None]
    return -max(scored)[1] if scored else 0


def _outcome(one: Side, other: Side) -> Outcome:
    if one.score is None or other.score is None:
        return "failed"
    if one.score == other.score:
        return "tie"
    return "first" if one.score > other.score else "second"


def _side(completion: Any, place: int) -> Side:
    where = f"completions[{place}]"
    if not isinstance(completion, dict):
        raise BadRow(WRONG_TYPE, f"{where} is no object")
    key = next((key for key in _RESPONSE_KEYS if completion.get(key) is not None), None)
    if key is None:
        raise BadRow(MISSING_KEY, f'{where} has no "response"')
    return Side(
        response=text(completion[key], f"{where}.{key}"),
        model=name(completion.get("model")),
        score=_score(completion),
    )


def _score(completion: dict[str, Any]) -> float | None:
    """The critic's overall score, else the mean of its ratings of single aspects."""
    for key in _SCORE_KEYS:
        score = number(completion.get(key))
        if score is not None:
            return score
    aspects = completion.get("annotations")
    if not isinstance(aspects, dict):
        return None
    ratings = [
        number(aspect.get("Rating", aspect.get("rating")))
        for aspect in aspects.values()
        if isinstance(aspect, dict)
    ]
    known = [rating for rating in ratings if rating is not None]
    return fmean(known) if known else None
