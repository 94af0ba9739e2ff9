"""A mean of a judge's scores over everything, corrected by what people say of a part.

Prediction-powered inference: people's scores on a random part give the truth without bias, the
judge's scores on the rest give precision, and lambda says how much of the judge is worth taking.
A judge that is useless gets lambda 0, which leaves the people's mean; one that is biased only
widens the interval, and never moves it.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from pipelines.agreement.annotations import BoolArray, FloatArray, IntArray
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
        human: The same from people's labels alone: what the judge's help is measured against.
        judge: The judge's mean over everything, with its error in it.
        excess: The judge's score less people's on the units that both scored, between -1 and 1.
        n_labelled: Units that people scored.
        weight: Lambda: how much of the judge is used, 0..1.
        gain: Human labels that would give this width without a judge, over those there are.
        p_value: Two-sided, of a corrected mean of one half.
        error: Standard error of the corrected mean.
    """

    corrected: Estimate
    human: Estimate
    judge: Estimate
    excess: Estimate
    n_labelled: int
    weight: float
    gain: float
    p_value: float
    error: float


@dataclass(frozen=True)
class _Units:
    """Which units are what; all masks of shape (n_units,)."""

    judge: FloatArray
    human: FloatArray
    labelled: BoolArray
    rest: BoolArray  # scored by the judge alone
    settled: BoolArray  # nobody needs to score them
    prompts: Clusters
    n_labelled_prompts: int


def corrected_mean(
    judge: FloatArray,
    human: FloatArray,
    prompt: IntArray,
    *,
    settled: BoolArray | None = None,
    weight: float | None = None,
    confidence: float = 0.95,
) -> tuple[Corrected, FloatArray]:
    """The mean of people's scores over all units, of which they scored a random part.

        theta = lambda mean_U(f) + mean_L(y - lambda f)

    over the labelled units L and the others U; lambda minimises the (clustered) variance of that.
    Units without the judge's score are left out.

    Args:
        judge: The judge's scores f in 0..1, soft ones are worth more than hard ones; NaN where it
            has none. Shape (n_units,).
        human: People's scores y in 0..1, NaN where nobody was asked. Same shape.
        prompt: Prompt codes, same shape: equal codes are one cluster.
        settled: Units whose judge's score is the truth by definition (two equal responses tie), so
            that people were never asked about them. Same shape.
        weight: Lambda; None tunes it.
        confidence: Of the intervals.

    Returns:
        The result, and what each unit adds to estimate - truth, shape (n_units,), 0 for one that
        is left out.

    Raises:
        BadInput: The arrays differ in length, or hold scores outside 0..1.
        Undefined: Fewer than two prompts with both scores.
    Source: Angelopoulos, Duchi and Zrnic (2023), arXiv:2311.01453, with prompts as units.
    """
    check_confidence(confidence)
    _check_scores(judge, human, prompt)
    scored = ~np.isnan(judge)
    known = np.zeros(len(judge), dtype=np.bool_) if settled is None else settled & scored
    labelled = scored & ~known & ~np.isnan(human)
    if len(set(prompt[labelled].tolist())) < 2:
        raise Undefined("correcting a judge takes human labels on at least two prompts")
    units = _Units(
        judge=judge,
        human=human,
        labelled=labelled,
        rest=scored & ~known & ~labelled,
        settled=known,
        prompts=Clusters.of(prompt),
        n_labelled_prompts=len(set(prompt[labelled].tolist())),
    )
    used = 0.0 if not units.rest.any() else _tuned(units) if weight is None else weight
    value, error, influence = _estimate(units, used)
    alone, error_alone, _ = _estimate(units, 0.0)
    n, g = int(scored.sum()), units.n_labelled_prompts
    n_labelled = int(labelled.sum())
    gap = judge[labelled] - human[labelled]
    return Corrected(
        corrected=_around(value, error, g, n, METHOD, confidence),
        human=_around(alone, error_alone, g, n_labelled, "human", confidence),
        judge=mean_of(judge[scored], Clusters.of(prompt[scored]), confidence=confidence),
        excess=_excess(gap, Clusters.of(prompt[labelled]), confidence),
        n_labelled=n_labelled,
        weight=used,
        gain=(error_alone / error) ** 2,
        p_value=float(2.0 * stats.t.sf(abs(value - 0.5) / error, g - 1)),
        error=error,
    ), influence


def _check_scores(judge: FloatArray, human: FloatArray, prompt: IntArray) -> None:
    if not len(judge) == len(human) == len(prompt):
        raise BadInput("judge, people and prompts must be of the same units; give equal lengths")
    for scores in (judge, human):
        known = scores[~np.isnan(scores)]
        if ((known < 0.0) | (known > 1.0)).any():
            raise BadInput("a score lies outside 0..1; give shares of a win")


def _estimate(units: _Units, used: float) -> tuple[float, float, FloatArray]:
    """Mean, its standard error, and the units' influence, for one lambda."""
    y, f = units.human[units.labelled], units.judge[units.labelled]
    others = units.judge[units.rest]
    n, n_rest, n_settled = len(y), len(others), int(units.settled.sum())
    residual = y - used * f
    value = float(residual.mean()) + (used * float(others.mean()) if n_rest else 0.0)
    influence = np.zeros(len(units.judge))
    influence[units.labelled] = (residual - residual.mean()) / n
    if n_rest:
        influence[units.rest] = used * (others - others.mean()) / n_rest
    # Few labels on which judge and people happen to agree throughout have no spread to speak of,
    # and would claim a certainty that they do not give: two made-up units, one for each side, keep
    # it honest (as in Bonett and Price 2012, doi:10.3102/1076998611411915).
    made_up = 2.0 * _MADE_UP**2 / n**2
    if n_settled:
        # The mean is a mixture, and how much of it is settled is a matter of chance too.
        n_all = n + n_rest + n_settled
        share = n_settled / n_all
        fixed = units.judge[units.settled]
        influence *= 1.0 - share
        influence[units.settled] += (fixed - fixed.mean()) / n_all
        there = units.labelled | units.rest | units.settled
        influence[there] += (units.settled[there] - share) * (float(fixed.mean()) - value) / n_all
        value = (1.0 - share) * value + share * float(fixed.mean())
        made_up *= (1.0 - share) ** 2
    error = math.sqrt(_variance(influence, units.prompts, units.n_labelled_prompts) + made_up)
    return min(1.0, max(0.0, value)), error, influence


def _tuned(units: _Units) -> float:
    """The lambda of least variance: that of a - lambda b, summed by prompt, is a quadratic."""
    y, f = units.human[units.labelled], units.judge[units.labelled]
    others = units.judge[units.rest]
    a = np.zeros(len(units.judge))
    b = np.zeros(len(units.judge))
    a[units.labelled] = (y - y.mean()) / len(y)
    b[units.labelled] = (f - f.mean()) / len(y)
    b[units.rest] = -(others - others.mean()) / len(others)
    code, n_prompts = units.prompts.code, units.prompts.n_clusters
    a_total = np.bincount(code, weights=a, minlength=n_prompts)
    b_total = np.bincount(code, weights=b, minlength=n_prompts)
    spread = float(np.square(b_total).sum())
    if spread <= 1e-15:
        return 0.0
    return min(1.0, max(0.0, float((a_total * b_total).sum()) / spread))


def _variance(influence: FloatArray, clusters: Clusters, n_labelled: int) -> float:
    """Of a sum of influence values, by prompt; with the factor of a small sample of labels."""
    totals = np.bincount(clusters.code, weights=influence, minlength=clusters.n_clusters)
    return float(np.square(totals).sum()) * n_labelled / (n_labelled - 1)


def _around(
    value: float, error: float, n_labelled: int, n: int, method: str, confidence: float
) -> Estimate:
    """An interval on Wilson's scale, with Student's t for the labelled prompts."""
    critical = float(stats.t.ppf(0.5 + confidence / 2.0, n_labelled - 1))
    spread = value * (1.0 - value)
    effective = spread / error**2 if spread > 1e-12 else float(n_labelled)
    low, high = wilson_bounds(value, min(float(n), effective), critical)
    return Estimate(value, low, high, method, n)


def _excess(gap: FloatArray, clusters: Clusters, confidence: float) -> Estimate:
    mean = float(gap.mean())
    made_up = 2.0 * _MADE_UP**2 / len(gap) ** 2
    error = math.sqrt(_variance((gap - mean) / len(gap), clusters, clusters.n_clusters) + made_up)
    reach = float(stats.t.ppf(0.5 + confidence / 2.0, clusters.n_clusters - 1)) * error
    return Estimate(mean, max(-1.0, mean - reach), min(1.0, mean + reach), "cluster", len(gap))
