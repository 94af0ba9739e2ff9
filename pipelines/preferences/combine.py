"""Verdicts to one label per pair: a judge's two orders into one, several judges into one.

Within a judge the mean p_a of its verdicts is thresholded at 1/2; a judge that gives labels only
must say the same in every order, else it abstains; a judge whose section of the run file sets
`abstain_below` abstains where the mean is less sure than that (`Annotations.doubt`). Failures are
left out and counted.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from pipelines.agreement.annotations import (
    LABEL_NAMES,
    NONE,
    TIE,
    A,
    Annotations,
    B,
    FloatArray,
)
from pipelines.agreement.multirater import count_matrix
from pipelines.errors import BadInput

Rule = Literal["majority", "mean"]
RULES: tuple[Rule, ...] = get_args(Rule)

# Judges that are made of other judges are stored under such names; no rule counts them again.
DERIVED = ("ensemble:", "cascade:", "rule:", "route:")
RELABELLED = ("+corrected", "+calibrated")  # by `workbench pairs`, with people's labels

# Means of the same numbers in another order, or of 1 - p, differ in the last bits; labels must not.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Combined:
    """One label per pair; -1 (NONE) where only failures or no verdict stand, or on abstention."""

    label: npt.NDArray[np.int8]  # (n_pairs,)
    p_a: FloatArray  # (n_pairs,) NaN where there is none; an unsure abstention keeps its own
    n_failed: int  # pairs with verdicts, all of them failures
    n_abstained: int  # pairs whose verdicts contradict each other, or are too unsure
    n_unsure: int = 0  # of those that abstained: too unsure


def is_derived(judge: str) -> bool:
    """Whether a judge is made of others: an ensemble, a cascade, corrected labels."""
    return judge.startswith(DERIVED) or judge.endswith(RELABELLED)


def combine(annotations: Annotations, label: str) -> Combined:
    """The label of a judge, or of a rule over all judges.

    Args:
        annotations: All verdicts.
        label: A judge's name, "majority" or "mean".

    Raises:
        BadInput: No judge and no rule has that name; the message lists the choices.
    """
    if label in annotations.judges:
        return combine_judge(annotations, label)
    for rule in RULES:
        if label == rule:
            return combine_rule(annotations, rule)
    choices = ", ".join([*annotations.judges, *RULES]) if annotations.judges else "none yet"
    raise BadInput(f'no judge or rule is called "{label}"; the choices are: {choices}')


def combine_judge(annotations: Annotations, judge: str) -> Combined:
    """One judge's verdicts on each pair as one label.

    Args:
        annotations: All verdicts.
        judge: One of `annotations.judges`.

    Raises:
        BadInput: No such judge.
    """
    if judge not in annotations.judges:
        raise BadInput(f'no judge is called "{judge}"; there are: {", ".join(annotations.judges)}')
    mine = annotations.verdict_judge == annotations.judges.index(judge)
    answered = mine & (annotations.verdict_label != NONE)
    n = annotations.n_pairs
    pair = annotations.verdict_pair[answered]
    votes = count_matrix(pair, annotations.verdict_label[answered], n, len(LABEL_NAMES))
    p_a = _mean(pair, annotations.verdict_p_a[answered], n)
    n_kinds = (votes > 0).sum(axis=1)
    unanimous = np.where(n_kinds == 1, votes.argmax(axis=1), NONE)
    label = np.where(np.isnan(p_a), unanimous, _threshold(p_a)).astype(np.int8)
    unsure = np.zeros(n, dtype=np.bool_)
    doubt = annotations.doubt.get(judge)
    if doubt is not None:
        with np.errstate(invalid="ignore"):  # NaN is not below anything
            unsure = np.maximum(p_a, 1.0 - p_a) < doubt.least - _ROUNDING
        if doubt.ties_stand:
            unsure &= unanimous != TIE
        label[unsure] = NONE
    asked = np.bincount(annotations.verdict_pair[mine], minlength=n) > 0
    return Combined(
        label=label,
        p_a=p_a,
        n_failed=int((asked & (n_kinds == 0)).sum()),
        n_abstained=int(((n_kinds > 0) & (label == NONE)).sum()),
        n_unsure=int(unsure.sum()),
    )


def combine_rule(annotations: Annotations, rule: Rule) -> Combined:
    """All judges as one; those that are made of others are not counted again.

    Args:
        annotations: All verdicts.
        rule: "majority" of the judges' labels (A against B; equal counts are a tie, and so is a
            majority of ties), or "mean" of their p_a (a judge without p_a counts 1, 0 or 1/2).

    Raises:
        BadInput: There are no judges.
    """
    judges = [judge for judge in annotations.judges if not is_derived(judge)]
    if not judges:
        raise BadInput(f'there are no AI verdicts, so "{rule}" has nothing to combine')
    parts = [combine_judge(annotations, judge) for judge in judges]
    labels = np.stack([part.label for part in parts])  # (n_judges, n_pairs)
    answered = labels != NONE
    worth = np.array([1.0, 0.0, 0.5, np.nan])[labels]
    p_a = np.stack([part.p_a for part in parts])
    p_a = np.where(answered & np.isnan(p_a), worth, p_a)
    n_answers = answered.sum(axis=0)
    with np.errstate(invalid="ignore"):
        mean = np.where(answered, p_a, 0.0).sum(axis=0) / n_answers  # 0/0 is NaN: nobody answered
    if rule == "mean":
        label = _threshold(mean)
    else:
        n_each = np.stack([(labels == code).sum(axis=0) for code in (A, B, TIE)])
        top = n_each.max(axis=0)
        alone = (n_each == top).sum(axis=0) == 1
        label = np.where(alone, n_each.argmax(axis=0), TIE).astype(np.int8)
        label[n_answers == 0] = NONE
    n = annotations.n_pairs
    own = np.isin(annotations.verdict_judge, [annotations.judges.index(one) for one in judges])
    asked = np.bincount(annotations.verdict_pair[own], minlength=n) > 0
    answered_pair = annotations.verdict_pair[own & (annotations.verdict_label != NONE)]
    spoken = np.bincount(answered_pair, minlength=n)
    return Combined(
        label=label,
        p_a=mean,
        n_failed=int((asked & (spoken == 0)).sum()),
        n_abstained=int(((spoken > 0) & (label == NONE)).sum()),
    )


def _threshold(p_a: FloatArray) -> npt.NDArray[np.int8]:
    """A above 1/2, B below, tie at 1/2, NONE where it is NaN. Shape (n_pairs,)."""
    label = np.full(len(p_a), NONE, dtype=np.int8)
    label[p_a > 0.5 + _ROUNDING] = A
    label[p_a < 0.5 - _ROUNDING] = B
    label[np.abs(p_a - 0.5) <= _ROUNDING] = TIE
    return label


def _mean(pair: npt.NDArray[np.integer], p_a: FloatArray, n_pairs: int) -> FloatArray:
    """Mean p_a of each pair over the verdicts that have one; NaN where none has. (n_pairs,)."""
    known = ~np.isnan(p_a)
    count = np.bincount(pair[known], minlength=n_pairs)
    total = np.bincount(pair[known], weights=p_a[known], minlength=n_pairs)
    with np.errstate(invalid="ignore"):
        return total / count
