"""Everything that is said of one judge's labels against the human reference."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ParamSpec, TypeVar

from pipelines.agreement.annotations import IntArray
from pipelines.agreement.classification import class_scores
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import Clusters
from pipelines.agreement.kappa import Ties, agreement, cohen_kappa, gwet_ac1, without_ties
from pipelines.errors import Undefined

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Comparison:
    """AI-human agreement on n units; a statistic that is undefined for these data is None."""

    n: int
    agreement: Estimate | None
    cohen_kappa: Estimate | None
    gwet_ac1: Estimate | None
    precision_macro: Estimate | None
    recall_macro: Estimate | None
    f1_macro: Estimate | None

    def as_dict(self) -> dict[str, Any]:
        """The JSON form of DESIGN.md."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value.as_dict() if isinstance(value, Estimate) else value
            for name, value in values.items()
        }


def compare(
    reference: IntArray,
    verdict: IntArray,
    prompt: IntArray,
    *,
    ties: Ties = "strict",
    confidence: float = 0.95,
) -> Comparison:
    """All agreement statistics of verdicts against references.

    Args:
        reference: Human labels, codes of shape (n_units,); -1 leaves the unit out.
        verdict: AI labels, same shape; -1 leaves the unit out, 3 is a failure counted as wrong.
        prompt: Prompt codes, same shape: equal codes are one cluster of the intervals.
        ties: `half` credits half a point where one side says tie (kappa and AC1 are then
            weighted; precision, recall and F1 know no half points), `drop` leaves ties out.
        confidence: Level of the intervals.
    """
    both = (reference >= 0) & (verdict >= 0)
    first, second, clusters = without_ties(
        reference[both], verdict[both], Clusters.of(prompt[both]), ties
    )
    scores = defined(class_scores, first, second, clusters, confidence=confidence)
    return Comparison(
        n=len(first),
        agreement=defined(agreement, first, second, clusters, ties=ties, confidence=confidence),
        cohen_kappa=defined(cohen_kappa, first, second, clusters, ties=ties, confidence=confidence),
        gwet_ac1=defined(gwet_ac1, first, second, clusters, ties=ties, confidence=confidence),
        precision_macro=scores.precision_macro if scores else None,
        recall_macro=scores.recall_macro if scores else None,
        f1_macro=scores.f1_macro if scores else None,
    )


def defined(statistic: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """The statistic of these arguments, or None where they leave it undefined."""
    try:
        return statistic(*args, **kwargs)
    except Undefined:
        return None
