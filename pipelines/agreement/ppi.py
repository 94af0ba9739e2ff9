"""A mean of a judge's scores over everything, corrected by what people say of a part.

Prediction-powered inference: people's scores on a random part give the truth without bias, the
judge's scores on the rest give precision, and lambda says how much of the judge is worth taking.
A judge that is useless gets lambda 0, which leaves the people's mean; one that is biased only
widens the interval, and never moves it.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from pipelines.agreement.annotations import FloatArray, IntArray
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import Clusters, check_confidence, mean_of, wilson_bounds
from pipelines.errors import BadInput, Undefined

METHOD = "ppi++"
_MADE_UP = 0.5  # residual of a made-up unit; see corrected_mean


@dataclass(frozen=True)
class Corrected:
    """A mean score (a win rate, say) that a judge's error does not bias.

    Attributes:
        corrected: What people would say of everything.
        human: People's mean on their part alone: what the judge's help is measured against.
        judge: The judge's mean over everything, with its error in it.
        excess: The judge's score less people's on the units that both scored, between -1 and 1.
        weight: Lambda: how much of the judge is used, 0..1.
        gain: Human labels that would give this width without a judge, over those there are.
        p_value: Two-sided, of a corrected mean of one half.
        influence: Shape (n_units,): what each unit adds to estimate - truth; 0 where a unit is
            left out.
    """

    corrected: Estimate
    human: Estimate
    judge: Estimate
    excess: Estimate
    weight: float
    gain: float
    p_value: float
    influence: FloatArray


def corrected_mean(
    judge: FloatArray,
    human: FloatArray,
    prompt: IntArray,
    *,
    weight: float | None = None,
    confidence: float = 0.95,
) -> Corrected:
    """The mean of people's scores over all units, of which they scored a random part.

        theta = lambda mean_U(f) + mean_L(y - lambda f)

    over the labelled units L and the others U; lambda minimises the (clustered) variance of that.
    Units without the judge's score are left out.

    Args:
        judge: The judge's scores f in 0..1, soft ones are worth more than hard ones; NaN where it
            has none. Shape (n_units,).
        human: People's scores y in 0..1, NaN where nobody was asked. Same shape.
        prompt: Prompt codes, same shape: equal codes are one cluster.
        weight: Lambda; None tunes it.
        confidence: Of the intervals.

    Raises:
        BadInput: The arrays differ in length, or hold scores outside 0..1.
        Undefined: Fewer than two prompts with both scores.
    Source: Angelopoulos, Duchi and Zrnic (2023), arXiv:2311.01453, with prompts as units.
    """
    check_confidence(confidence)
    _check_scores(judge, human, prompt)
    scored = ~np.isnan(judge)
    labelled = scored & ~np.isnan(human)
    rest = scored & ~labelled
    clusters = Clusters.of(prompt[labelled])
    if clusters.n_clusters < 2:
        raise Undefined("correcting a judge takes human labels on at least two prompts")
    everyone = Clusters.of(prompt[scored])
    y, f_labelled, f_rest = human[labelled], judge[labelled], judge[rest]
    used = _tuned(y, f_labelled, f_rest, labelled, rest, prompt) if weight is None else weight
    if not len(f_rest):
        used = 0.0
    help_there = used * (float(f_rest.mean()) - float(f_labelled.mean())) if len(f_rest) else 0.0
    value = min(1.0, max(0.0, float(y.mean()) + help_there))
    influence = np.zeros(len(judge))
    influence[labelled] = (y - used * f_labelled - (y - used * f_labelled).mean()) / len(y)
    if len(f_rest):
        influence[rest] = used * (f_rest - f_rest.mean()) / len(f_rest)
    # Few labels on which judge and people happen to agree throughout have no spread to speak of,
    # and would claim a certainty that they do not give: two made-up units, one for each side, keep
    # it honest (as in Bonett and Price 2012).
    variance = _variance(influence[scored], everyone, clusters.n_clusters)
    made_up = 2.0 * _MADE_UP**2 / len(y) ** 2
    error = math.sqrt(variance + made_up)
    corrected = _around(value, error, clusters.n_clusters, int(scored.sum()), confidence)
    person = mean_of(y, clusters, confidence=confidence)
    alone = _variance((y - y.mean()) / len(y), clusters, clusters.n_clusters) + made_up
    degrees = clusters.n_clusters - 1
    return Corrected(
        corrected=corrected,
        human=person,
        judge=mean_of(judge[scored], everyone, confidence=confidence),
        excess=_excess(f_labelled - y, clusters, confidence),
        weight=used,
        gain=alone / error**2,
        p_value=float(2.0 * stats.t.sf(abs(value - 0.5) / error, degrees)),
        influence=influence,
    )


def _check_scores(judge: FloatArray, human: FloatArray, prompt: IntArray) -> None:
    if not len(judge) == len(human) == len(prompt):
        raise BadInput("judge, people and prompts must be of the same units; give equal lengths")
    for scores in (judge, human):
        known = scores[~np.isnan(scores)]
        if ((known < 0.0) | (known > 1.0)).any():
            raise BadInput("a score lies outside 0..1; give shares of a win")


def _tuned(
    y: FloatArray,
    f_labelled: FloatArray,
    f_rest: FloatArray,
    labelled: npt.NDArray[np.bool_],
    rest: npt.NDArray[np.bool_],
    prompt: IntArray,
) -> float:
    """The lambda of least variance: that of a - lambda b, summed by prompt, is a quadratic."""
    if not len(f_rest):
        return 0.0
    a = np.zeros(len(prompt))
    b = np.zeros(len(prompt))
    a[labelled] = (y - y.mean()) / len(y)
    b[labelled] = (f_labelled - f_labelled.mean()) / len(y)
    b[rest] = -(f_rest - f_rest.mean()) / len(f_rest)
    code = Clusters.of(prompt)
    a_total = np.bincount(code.code, weights=a, minlength=code.n_clusters)
    b_total = np.bincount(code.code, weights=b, minlength=code.n_clusters)
    spread = float(np.square(b_total).sum())
    if spread <= 1e-15:
        return 0.0
    return min(1.0, max(0.0, float((a_total * b_total).sum()) / spread))


def _variance(influence: FloatArray, clusters: Clusters, n_labelled: int) -> float:
    """Of a sum of influence values, by prompt; with the factor of a small sample of labels."""
    totals = np.bincount(clusters.code, weights=influence, minlength=clusters.n_clusters)
    return float(np.square(totals).sum()) * n_labelled / (n_labelled - 1)


def _around(value: float, error: float, n_labelled: int, n: int, confidence: float) -> Estimate:
    """An interval on Wilson's scale, with Student's t for the labelled prompts."""
    critical = float(stats.t.ppf(0.5 + confidence / 2.0, n_labelled - 1))
    spread = value * (1.0 - value)
    effective = spread / error**2 if spread > 1e-12 else n_labelled
    low, high = wilson_bounds(value, min(float(n), max(effective, 1e-9)), critical)
    return Estimate(value, low, high, METHOD, n)


def _excess(gap: FloatArray, clusters: Clusters, confidence: float) -> Estimate:
    mean = float(gap.mean())
    influence = (gap - mean) / len(gap)
    error = math.sqrt(
        _variance(influence, clusters, clusters.n_clusters) + 2.0 * _MADE_UP**2 / len(gap) ** 2
    )
    reach = float(stats.t.ppf(0.5 + confidence / 2.0, clusters.n_clusters - 1)) * error
    return Estimate(mean, max(-1.0, mean - reach), min(1.0, mean + reach), "cluster", len(gap))
