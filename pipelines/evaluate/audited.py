"""The label under which people audit an evaluation: one on every pair that any judge compared.

A judge's own label leaves pairs out: those it failed on, and, where it gives labels without
probabilities, those on which its two orders contradict each other. Labels drawn from the rest stand
for the rest only, and people may well say something else about what is left out: a win rate
corrected by them would be wrong.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from pipelines.agreement.annotations import Annotations, FloatArray
from pipelines.evaluate.comparisons import soft_scores
from pipelines.records import Judgment

AUDITED = "ensemble:evaluation"


def audited_scores(annotations: Annotations, judges: Sequence[str]) -> FloatArray:
    """How far the judges together hold response_a the better one, by pair.

    The mean of the scores of those that have one; NaN where none has. Shape (n_pairs,).

    Args:
        annotations: All verdicts.
        judges: Those that compare.
    """
    scores = np.stack([soft_scores(annotations, judge) for judge in judges])
    there = ~np.isnan(scores)
    with np.errstate(invalid="ignore"):  # 0/0 is NaN: nobody answered
        return np.asarray(np.where(there, scores, 0.0).sum(axis=0) / there.sum(axis=0))


def audited_judgments(
    annotations: Annotations, judges: Sequence[str]
) -> Iterator[tuple[int, Judgment]]:
    """The same as judgments by row, in order: what `PairStore.put_judgments_by_row` takes.

    Verdicts that contradict each other are a tie; a pair that every judge failed on has none.
    """
    scores = np.round(audited_scores(annotations, judges), 12)
    for row in np.flatnonzero(~np.isnan(scores)).tolist():
        yield row, Judgment(judge=AUDITED, p_a=float(scores[row]))
