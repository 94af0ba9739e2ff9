"""One judge's answers as points against people: what comparisons and panels read."""

import numpy as np
import numpy.typing as npt

from pipelines.agreement.annotations import NONE, TIE, Annotations, FloatArray, IntArray
from pipelines.errors import BadInput
from pipelines.preferences.combine import Combined, combine_judge


def asked_and_answered(
    annotations: Annotations, judge: str
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Whether the judge was asked about a pair, and whether any of its verdicts is no failure.

    Two arrays of shape (n_pairs,).

    Raises:
        BadInput: No such judge.
    """
    if judge not in annotations.judges:
        there = ", ".join(annotations.judges) or "none yet"
        raise BadInput(f'no judge is called "{judge}"; there are: {there}')
    mine = annotations.verdict_judge == annotations.judges.index(judge)
    asked = np.zeros(annotations.n_pairs, dtype=bool)
    asked[annotations.verdict_pair[mine]] = True
    answered = np.zeros(annotations.n_pairs, dtype=bool)
    answered[annotations.verdict_pair[mine & (annotations.verdict_label != NONE)]] = True
    return asked, answered


def points(combined: Combined, answered: npt.NDArray[np.bool_], reference: IntArray) -> FloatArray:
    """1 where the label is people's, 0 where it is not, 1/2 where the judge abstains.

    An abstention is a judge that said both: a coin would settle it, and be right half the time. To
    leave it out instead would reward the judge that abstains on all that is hard. NaN where people
    did not decide, and where the judge failed or was not asked. Shape (n_pairs,).

    Args:
        combined: The judge's labels.
        answered: Whether it gave any verdict on a pair.
        reference: Human labels, codes of shape (n_pairs,).
    """
    decided = (reference != NONE) & (reference != TIE)
    found = np.where(combined.label == reference, 1.0, 0.0)
    found[combined.label == NONE] = 0.5
    found[~(decided & answered)] = np.nan
    return found


def judge_points(annotations: Annotations, judge: str, reference: IntArray) -> FloatArray:
    """`points` of a judge by name.

    Raises:
        BadInput: No such judge.
    """
    _, answered = asked_and_answered(annotations, judge)
    return points(combine_judge(annotations, judge), answered, reference)
