"""Win rates of all matchups, and rankings, from comparisons and one judge's scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from pipelines.agreement.annotations import NONE, Annotations, FloatArray, IntArray
from pipelines.agreement.bias import SelfPreference, self_preference
from pipelines.agreement.bradley_terry import Matchup, bradley_terry
from pipelines.agreement.comparison import defined
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import wilson
from pipelines.agreement.latent import rogan_gladen
from pipelines.agreement.length_controlled import length_controlled
from pipelines.agreement.paired import holm
from pipelines.agreement.position import labels_by_order, position_bias
from pipelines.agreement.ppi import Corrected, corrected_mean
from pipelines.agreement.win_rate import detectable, win_rate
from pipelines.evaluate.comparisons import Comparisons, hard_scores, soft_scores
from pipelines.evaluate.result import MatchupFound, RankingFound


@dataclass(frozen=True)
class JudgedMatchups:
    """All that one judge says."""

    matchups: tuple[MatchupFound, ...]
    ranking: RankingFound | None  # with more than two policies


def judged_matchups(
    comparisons: Comparisons,
    annotations: Annotations,
    judge: str,
    human: FloatArray,
    favourites: frozenset[str] = frozenset(),
    confidence: float = 0.95,
) -> JudgedMatchups:
    """Win rates of every two policies by one judge.

    Args:
        comparisons: Who met whom.
        annotations: The verdicts on the store's pairs.
        judge: Whose.
        human: By row of the store: how far people hold response_a the better one (1, 1/2, 0), on a
            random part; NaN elsewhere.
        favourites: Policies that this judge is suspected of favouring.
        confidence: Of the intervals.
    """
    soft = soft_scores(annotations, judge)
    scores = comparisons.scores(soft)
    hard = comparisons.scores(hard_scores(soft))
    people = np.where(comparisons.same, np.nan, comparisons.scores(human))
    found: list[MatchupFound] = []
    raw: list[Matchup] = []
    corrected: list[Matchup] = []
    labelled_prompts: set[int] = set()
    for second, first in combinations(range(len(comparisons.policies)), 2):
        met = comparisons.of(first, second)
        judged = met & ~np.isnan(hard)
        if not judged.any():
            continue
        prompt = comparisons.prompt
        correction = defined(
            corrected_mean,
            scores[met],
            people[met],
            prompt[met],
            settled=comparisons.same[met],
            confidence=confidence,
        )
        names = comparisons.policies[first], comparisons.policies[second]
        found.append(
            MatchupFound(
                judge=judge,
                first=names[0],
                second=names[1],
                n_same=int((met & comparisons.same).sum()),
                n_unjudged=int((met & ~judged).sum()),
                win=win_rate(hard[judged], prompt[judged], confidence=confidence),
                p_adjusted=1.0,
                flips=_flips(comparisons, annotations, judge, met),
                # On the same scores as the rate beside it: the two differ by length alone.
                length=defined(
                    length_controlled,
                    hard[judged],
                    comparisons.chars_first[judged],
                    comparisons.chars_second[judged],
                    prompt[judged],
                    confidence=confidence,
                ),
                corrected=None if correction is None else correction[0],
                corrected_detectable=_detectable(None if correction is None else correction[0]),
                rogan_gladen=_rogan_gladen(hard[judged], people[judged], confidence),
                self_preference=_self_preference(
                    hard[met], people[met], prompt[met], names, favourites, confidence
                ),
            )
        )
        raw.append(
            Matchup.of_scores(first, second, hard[judged], prompt[judged], comparisons.n_prompts)
        )
        if correction is not None:
            totals = np.bincount(prompt[met], correction[1], comparisons.n_prompts).astype(
                np.float64
            )
            value = correction[0].corrected.estimate
            corrected.append(Matchup(first, second, value, int(judged.sum()), totals))
            labelled_prompts |= set(prompt[met & ~np.isnan(people)].tolist())
    adjusted = holm([one.win.p_value for one in found])
    matchups = tuple(
        one.model_copy(update={"p_adjusted": p}) for one, p in zip(found, adjusted, strict=True)
    )
    ranking = None
    n_policies = len(comparisons.policies)
    if n_policies > 2 and raw:
        whole = len(corrected) == len(raw)
        ranking = RankingFound(
            judge=judge,
            policies=comparisons.policies,
            raw=defined(bradley_terry, n_policies, raw, confidence=confidence),
            corrected=defined(
                bradley_terry,
                n_policies,
                corrected,
                n_independent=len(labelled_prompts),
                confidence=confidence,
            )
            if whole
            else None,
        )
    return JudgedMatchups(matchups, ranking)


def _detectable(correction: Corrected | None) -> float | None:
    return None if correction is None else detectable(correction.error)


def _flips(
    comparisons: Comparisons, annotations: Annotations, judge: str, met: npt.NDArray[np.bool_]
) -> Estimate | None:
    """The share of these pairs whose verdict depends on the order."""
    if judge not in annotations.judges:
        return None
    rows = comparisons.row[met & ~comparisons.same]
    mine = annotations.verdict_judge == annotations.judges.index(judge)
    mine &= np.isin(annotations.verdict_pair, rows)
    ab, ba = labels_by_order(
        annotations.verdict_pair[mine],
        annotations.verdict_order[mine],
        annotations.verdict_label[mine],
        annotations.n_pairs,
    )
    bias = defined(position_bias, ab, ba, annotations.prompt)
    return None if bias is None else bias.flip_rate


def _rogan_gladen(hard: FloatArray, people: FloatArray, confidence: float) -> Estimate | None:
    """The known formula, over decisive pairs: its sensitivity and specificity are the audit's."""
    decisive = (hard == 1.0) | (hard == 0.0)
    won, lost = decisive & (people == 1.0), decisive & (people == 0.0)
    if not won.any() or not lost.any():
        return None
    return defined(
        rogan_gladen,
        wilson(int((hard == 1.0).sum()), int(decisive.sum()), confidence),
        wilson(int((hard[won] == 1.0).sum()), int(won.sum()), confidence),
        wilson(int((hard[lost] == 0.0).sum()), int(lost.sum()), confidence),
        confidence,
    )


def _self_preference(
    hard: FloatArray,
    people: FloatArray,
    prompt: IntArray,
    names: Sequence[str],
    favourites: frozenset[str],
    confidence: float,
) -> SelfPreference | None:
    """How much oftener the judge upholds its favourite's wins; None where both or none are it."""
    mine = [name in favourites for name in names]
    if mine[0] == mine[1]:
        return None
    own = np.full(len(hard), 0 if mine[0] else 1, dtype=np.int64)
    return defined(
        self_preference, _labels(hard), _labels(people), own, prompt, confidence=confidence
    )


def _labels(score: FloatArray) -> IntArray:
    """Scores of the first policy as label codes: A is the first."""
    codes = np.select([score == 1.0, score == 0.0, score == 0.5], [0, 1, 2], default=NONE)
    return np.asarray(codes, dtype=np.int64)
