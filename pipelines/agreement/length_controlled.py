"""Win rates at equal length: what would the judge have said, had both responses been as long?

A logit of the judge's preference on a constant (the policies' difference in quality) and on the
squashed difference in length; the length term is then set to zero. AlpacaEval's regression has a
third term, the difficulty of each instruction, which takes many policies on the same instructions
to fit; with two it cannot be told from noise and is left out.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from pipelines.agreement.annotations import FloatArray, IntArray
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import Clusters, check_confidence
from pipelines.agreement.logit import fit_logit
from pipelines.agreement.win_rate import length_points
from pipelines.errors import BadInput, Undefined

METHOD = "length-controlled"


@dataclass(frozen=True)
class LengthControlled:
    """A win rate with the length term of its logit set to zero.

    Attributes:
        win_rate: At equal length.
        slope: What length adds to the logit, from one spread shorter to one longer it is about
            1.5 times this; above 0, longer wins.
    """

    win_rate: Estimate
    slope: Estimate


def length_controlled(
    score: FloatArray,
    chars_first: IntArray,
    chars_second: IntArray,
    prompt: IntArray,
    *,
    confidence: float = 0.95,
) -> LengthControlled:
    """Fit the logit and read it where lengths are equal.

    Args:
        score: The judge's preference for the first policy in 0..1: a probability, or 1, 1/2, 0.
            Shape (n_pairs,).
        chars_first: Characters of the first policy's responses, same shape.
        chars_second: Of the second's, same shape.
        prompt: Prompt codes, same shape; standard errors are clustered by them.
        confidence: Of the intervals.

    Raises:
        BadInput: Arrays of different lengths, or scores outside 0..1.
        Undefined: Fewer than three prompts, no variation in length or in the scores, or length
            settles every score.
    Source: Dubois, Galambosi, Liang and Hashimoto (2024), arXiv:2404.04475.
    """
    check_confidence(confidence)
    n = len(score)
    if not n == len(chars_first) == len(chars_second) == len(prompt):
        raise BadInput("scores, lengths and prompts must be of the same pairs; give equal lengths")
    if ((score < 0.0) | (score > 1.0) | np.isnan(score)).any():
        raise BadInput("a score lies outside 0..1; leave failures out first")
    clusters = Clusters.of(prompt)
    if clusters.n_clusters < 3:
        raise Undefined("a length-controlled win rate needs pairs of at least three prompts")
    if not 0.0 < float(score.mean()) < 1.0:
        raise Undefined("one policy won every pair: no logit is finite")
    if not np.ptp(score):
        raise Undefined("every pair has the same score: length can have no part in it")
    x = length_points(chars_first, chars_second)
    if not x.any():
        raise Undefined("all pairs are of equal length: there is nothing to control for")
    beta, influence = fit_logit(score, np.column_stack([np.ones(n), x]))
    totals = np.stack(
        [np.bincount(clusters.code, column, clusters.n_clusters) for column in influence.T], axis=1
    )
    g = clusters.n_clusters
    errors = np.sqrt(np.square(totals).sum(axis=0) * g / (g - 1))
    reach = float(stats.t.ppf(0.5 + confidence / 2.0, g - 1)) * errors
    centre, slope = float(beta[0]), float(beta[1])
    return LengthControlled(
        win_rate=Estimate(
            _share(centre),
            _share(centre - float(reach[0])),
            _share(centre + float(reach[0])),
            METHOD,
            n,
        ),
        slope=Estimate(slope, slope - float(reach[1]), slope + float(reach[1]), "cluster", n),
    )


def _share(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(-700.0, min(700.0, logit))))
