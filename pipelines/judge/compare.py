"""Judge settings side by side on the same labelled pairs, paired.

Two settings of a judge (another preamble, a rationale first, examples, several samples) differ by
little and err on much the same pairs: only a paired comparison sees it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.agreement.annotations import NONE, TIE, Annotations, FloatArray, IntArray
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import Clusters, mean_of
from pipelines.agreement.paired import PairedComparison, compare_paired, holm
from pipelines.errors import BadInput, Undefined
from pipelines.judge.scoring import judge_points

PAPER_NOTE = (
    "The RLAIF paper (Lee et al. 2023, arXiv:2309.00267) found that few-shot examples and "
    "self-consistency cost accuracy, and that a detailed preamble with a rationale first gained "
    "some. That was its judge and its task: your own labels, above, decide."
)


@dataclass(frozen=True)
class Setting:
    """One judge on the pairs that people decided."""

    judge: str
    accuracy: Estimate | None  # abstentions count 1/2
    n_abstained: int
    n_silent: int  # decided pairs on which it failed, was not asked, or learned


@dataclass(frozen=True)
class Contrast:
    """One judge against the baseline, on the pairs that both answered."""

    judge: str
    baseline: str
    paired: PairedComparison | None  # None: they share no decided pair
    p_adjusted: float | None  # Holm, over all contrasts of the table
    n_left_out: int  # decided pairs on which one of the two is silent


@dataclass(frozen=True)
class SideBySide:
    """The table."""

    baseline: str
    n_decided: int  # pairs with a decisive human label
    n_human_tie: int
    settings: tuple[Setting, ...]
    contrasts: tuple[Contrast, ...]

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "baseline": self.baseline,
            "n_decided": self.n_decided,
            "n_human_tie": self.n_human_tie,
            "settings": [
                {
                    "judge": one.judge,
                    "accuracy": None if one.accuracy is None else one.accuracy.as_dict(),
                    "n_abstained": one.n_abstained,
                    "n_silent": one.n_silent,
                }
                for one in self.settings
            ],
            "contrasts": [
                {
                    "judge": one.judge,
                    "baseline": one.baseline,
                    "paired": None if one.paired is None else one.paired.as_dict(),
                    "p_adjusted": one.p_adjusted,
                    "n_left_out": one.n_left_out,
                }
                for one in self.contrasts
            ],
            "note": PAPER_NOTE,
        }


def side_by_side(
    annotations: Annotations,
    reference: IntArray,
    judges: Sequence[str],
    *,
    baseline: str | None = None,
    learned: Mapping[str, npt.NDArray[np.bool_]] | None = None,
    confidence: float = 0.95,
) -> SideBySide:
    """Compare judges on the pairs that people decided, each pair once, its orders combined.

    A judge that contradicts itself between the orders of a pair is half right there: to leave such
    pairs out would compare only what is easy for both.

    Args:
        annotations: All verdicts.
        reference: Human labels, codes of shape (n_pairs,); ties and -1 are left out.
        judges: Whom to compare, two or more.
        baseline: Whom the others are held against; the first when None.
        learned: By judge, the pairs whose human label it was made with, shape (n_pairs,): it
            counts as silent there.
        confidence: Level of the intervals.

    Raises:
        BadInput: Fewer than two judges, or one that does not exist.
        Undefined: People decided no pair.
    """
    chosen = list(dict.fromkeys(judges))
    if len(chosen) < 2:
        raise BadInput("a comparison needs two judges or more; name them")
    against = chosen[0] if baseline is None else baseline
    if against not in chosen:
        raise BadInput(f'the baseline "{against}" is not among the judges that are compared')
    decided = (reference != NONE) & (reference != TIE)
    if not decided.any():
        raise Undefined("people decided no pair, so no judge can be compared; label some first")
    points = {judge: judge_points(annotations, judge, reference) for judge in chosen}
    for judge, seen in (learned or {}).items():
        if judge in points:
            points[judge][seen] = np.nan
    points = {judge: values[decided] for judge, values in points.items()}
    prompt = annotations.prompt[decided]
    settings = [_setting(judge, points[judge], prompt, confidence) for judge in chosen]
    contrasts = [
        _contrast(judge, against, points[judge], points[against], prompt, confidence)
        for judge in chosen
        if judge != against
    ]
    known = [one for one in contrasts if one.paired is not None]
    adjusted = holm([one.paired.p_value for one in known if one.paired is not None])
    by_judge = {one.judge: p for one, p in zip(known, adjusted, strict=True)}
    return SideBySide(
        baseline=against,
        n_decided=len(prompt),
        n_human_tie=int((reference == TIE).sum()),
        settings=tuple(settings),
        contrasts=tuple(
            Contrast(one.judge, against, one.paired, by_judge.get(one.judge), one.n_left_out)
            for one in contrasts
        ),
    )


def _setting(judge: str, points: FloatArray, prompt: IntArray, confidence: float) -> Setting:
    answered = ~np.isnan(points)
    accuracy = None
    if answered.any():
        clusters = Clusters.of(prompt[answered])
        accuracy = mean_of(points[answered], clusters, confidence=confidence)
    return Setting(judge, accuracy, int((points == 0.5).sum()), int((~answered).sum()))


def _contrast(
    judge: str,
    baseline: str,
    mine: FloatArray,
    theirs: FloatArray,
    prompt: IntArray,
    confidence: float,
) -> Contrast:
    both = ~np.isnan(mine) & ~np.isnan(theirs)
    paired = None
    if both.any():
        paired = compare_paired(mine[both], theirs[both], prompt[both], confidence=confidence)
    return Contrast(judge, baseline, paired, None, int((~both).sum()))
