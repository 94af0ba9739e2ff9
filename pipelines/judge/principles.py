"""Mode per-principle: one question for each principle of the constitution, aggregated by weight.

Each principle asks its own comparison question; its verdict is kept in the judgment's `raw`, so
that agreement can be read, and the judge's error learned, principle by principle.
"""

import json
from collections import Counter
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.constitution.records import Principle
from pipelines.errors import BadInput
from pipelines.judge.asking import Answer, Asking, Step, from_probability, together
from pipelines.judge.parse import Winner
from pipelines.judge.rationale import ask_comparison
from pipelines.judge.spec import JudgeSpec
from pipelines.judge.template import Template
from pipelines.records import Failure, Judgment, Label


@dataclass(frozen=True)
class PrincipleVerdict:
    """What the judge said under one principle, after un-swapping: a label or a failure."""

    principle: str
    weight: float
    label: Label | None
    p_a: float | None
    failure: Failure | None


def asked_principles(spec: JudgeSpec, template: Template) -> list[tuple[Principle, float]]:
    """The principles that have weight, with it: the judge's own weights go before the file's.

    Raises:
        BadInput: The template has no constitution.
    """
    if template.constitution is None:
        raise BadInput(
            f'judge "{spec.name}": asking by principle needs a constitution; set constitution'
        )
    weighed = [
        (principle, spec.weights.get(principle.id, principle.weight))
        for principle in template.constitution.principles
    ]
    return [(principle, weight) for principle, weight in weighed if weight > 0]


def ask_principles(asking: Asking, shown: str) -> Step[Answer]:
    """All principles; p_first is the weighted mean. One that fails fails the judgment.

    A mean over the principles that happened to be answered would be another question than the one
    that was set; the verdicts of the others are kept in `said` all the same.
    """
    asked = asked_principles(asking.spec, asking.template)
    answers = yield from together(
        [
            ask_comparison(
                asking,
                shown,
                question=principle.comparison_question,
                reasons=asking.spec.rationale,
            )
            for principle, _ in asked
        ]
    )
    said = json.dumps(
        {
            "principles": [
                _Kept(
                    id=principle.id,
                    weight=weight,
                    winner=answer.winner,
                    p_first=answer.p_first,
                    failure=answer.failure,
                    rationale=answer.rationale,
                    said=answer.said if answer.failure is not None else None,
                ).model_dump(mode="json", exclude_none=True)
                for (principle, weight), answer in zip(asked, answers, strict=True)
            ]
        },
        ensure_ascii=False,
    )
    failures = Counter(answer.failure for answer in answers if answer.failure is not None)
    if failures:
        return Answer(failure=failures.most_common(1)[0][0], said=said)
    total = sum(weight for _, weight in asked)
    p_first = sum(
        weight * (answer.p_first or 0.0) for (_, weight), answer in zip(asked, answers, strict=True)
    )
    return from_probability(p_first / total, said=said)


def principle_verdicts(judgment: Judgment) -> tuple[PrincipleVerdict, ...]:
    """Each principle's verdict in a per-principle judgment; none in any other judgment."""
    if judgment.raw is None or judgment.order is None:
        return ()
    try:
        kept = _AllKept.model_validate_json(judgment.raw)
    except ValidationError:  # the raw text of another mode
        return ()
    swapped = judgment.order == "ba"
    first: Label = "B" if swapped else "A"
    second: Label = "A" if swapped else "B"
    labels: dict[Winner | None, Label | None] = {
        "first": first,
        "second": second,
        "tie": "tie",
        None: None,
    }
    return tuple(
        PrincipleVerdict(
            principle=one.id,
            weight=one.weight,
            label=labels[one.winner],
            p_a=None if one.p_first is None else 1.0 - one.p_first if swapped else one.p_first,
            failure=one.failure,
        )
        for one in kept.principles
    )


class _Kept(BaseModel):
    """One principle in `raw`, in the order shown, so that it holds for the swapped pair too."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    id: str
    weight: float
    winner: Winner | None = None
    p_first: float | None = None
    failure: Failure | None = None
    rationale: str | None = None
    said: str | None = None


class _AllKept(BaseModel):
    model_config = ConfigDict(extra="forbid")

    principles: tuple[_Kept, ...]
