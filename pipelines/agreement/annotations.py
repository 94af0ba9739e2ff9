"""All verdicts on a set of pairs as flat integer arrays: what every statistic here reads.

Codes: a label is 0 (A), 1 (B), 2 (tie) or -1 (a failure, an abstention, nothing); an order is
0 (the judge saw response_a first), 1 (response_b first) or -1 (not recorded).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.integer]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

A, B, TIE, NONE = 0, 1, 2, -1
LABEL_NAMES = ("A", "B", "tie")
FAILURE_NAMES = ("unparsed", "refused", "truncated", "error")


@dataclass(frozen=True)
class Doubt:
    """From what doubt on a judge's combined label of a pair counts as an abstention."""

    least: float  # of the larger of p_a and 1 - p_a, 0..1; a label without p_a is never doubted
    ties_stand: bool = False  # whether a tie that the judge said in words is an answer all the same


@dataclass(frozen=True)
class Annotations:
    """Verdicts in long form: one row a judgment in `verdict_*`, one row a vote in `label_*`."""

    n_pairs: int
    prompt: IntArray  # (n_pairs,) code of the pair's prompt: equal codes are one cluster
    judges: tuple[str, ...]
    verdict_pair: IntArray  # (n_verdicts,) index of the pair, 0..n_pairs-1
    verdict_judge: IntArray  # (n_verdicts,) index into `judges`
    verdict_order: IntArray  # (n_verdicts,)
    verdict_label: IntArray  # (n_verdicts,) -1 where the judgment failed
    verdict_p_a: FloatArray  # (n_verdicts,) NaN where the judge gave none
    verdict_failure: IntArray  # (n_verdicts,) index into FAILURE_NAMES, -1 where it did not fail
    annotators: tuple[str, ...]
    label_pair: IntArray  # (n_labels,)
    label_annotator: IntArray  # (n_labels,) index into `annotators`
    label_value: IntArray  # (n_labels,)
    n_identical: int = 0  # pairs whose two responses are the same text
    n_duplicate: int = 0  # rows whose prompt and responses stood in an earlier row
    n_empty: int = 0  # pairs with an empty response
    doubt: Mapping[str, Doubt] = field(default_factory=dict)  # by judge; none: no doubt abstains
