"""Labeler alignment and reward-model accuracy, as the RLAIF paper defines them.

Both are the share of people's decisive preferences that are met: by the judge's preferred response,
or by the response with the higher reward (Lee et al. 2023, arXiv:2309.00267). A human
tie prefers nothing and is left out; a judge that is exactly torn meets half.
"""

import numpy as np

from pipelines.agreement.annotations import NONE, TIE, A, FloatArray, IntArray
from pipelines.agreement.comparison import defined
from pipelines.agreement.intervals import Clusters, mean_of
from pipelines.evaluate.comparisons import hard_scores
from pipelines.evaluate.result import AlignmentFound

NO_VERDICT = "no verdict"


def labeler_alignment(
    judge: str, soft: FloatArray, human: IntArray, prompt: IntArray, confidence: float
) -> AlignmentFound:
    """How often a judge prefers what people prefer.

    Args:
        judge: Its name.
        soft: Its soft scores of response_a, shape (n_pairs,); NaN where it has none.
        human: People's labels, codes, same shape; -1 where nobody was asked.
        prompt: Prompt codes, same shape.
        confidence: Of the interval.
    """
    decisive = (human != NONE) & (human != TIE)
    known = decisive & ~np.isnan(soft)
    said = hard_scores(soft[known])
    met = np.where(human[known] == A, said, 1.0 - said)
    accuracy = defined(mean_of, met, Clusters.of(prompt[known]), confidence=confidence)
    missing = int((decisive & ~known).sum())
    return AlignmentFound(
        kind="labeler alignment",
        name=judge,
        accuracy=accuracy,
        n_ties=int((human == TIE).sum()),
        n_left_out={NO_VERDICT: missing} if missing else {},
    )


def reward_accuracy(
    name: str,
    reward_a: FloatArray,
    reward_b: FloatArray,
    human: IntArray,
    prompt: IntArray,
    n_left_out: dict[str, int],
    confidence: float,
) -> AlignmentFound:
    """How often a reward model gives the response that people prefer the higher reward.

    Args:
        name: The reward model's.
        reward_a: Rewards of response_a, shape (n_pairs,).
        reward_b: Of response_b, same shape.
        human: People's labels, codes, same shape.
        prompt: Prompt codes, same shape.
        n_left_out: Pairs that are not among these, and why.
        confidence: Of the interval.
    """
    decisive = (human != NONE) & (human != TIE)
    gap = np.sign(reward_a[decisive] - reward_b[decisive]) / 2.0 + 0.5
    met = np.where(human[decisive] == A, gap, 1.0 - gap)
    return AlignmentFound(
        kind="reward-model accuracy",
        name=name,
        accuracy=defined(mean_of, met, Clusters.of(prompt[decisive]), confidence=confidence),
        n_ties=int((human == TIE).sum()),
        n_left_out=n_left_out,
    )
