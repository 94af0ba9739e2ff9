"""Several policies on one scale: Bradley-Terry strengths from their win rates, with intervals.

The strengths are evalica's; their intervals come from those of the win rates, so that rates that
people's labels have corrected give corrected strengths, as wide as they should be.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import evalica
import numpy as np
from scipy import stats
from scipy.sparse.csgraph import connected_components

from pipelines.agreement.annotations import FloatArray, IntArray
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import check_confidence
from pipelines.errors import BadInput, Undefined

METHOD = "bradley-terry"
_TOLERANCE, _MOST_STEPS = 1e-12, 100_000


@dataclass(frozen=True)
class Matchup:
    """One policy's win rate over another's.

    Attributes:
        first: Index of the policy whose win rate it is.
        second: Of the other.
        rate: Ties half, 0..1.
        n: Pairs.
        influence: By prompt, shape (n_prompts,): what each adds to rate - truth.
    """

    first: int
    second: int
    rate: float
    n: int
    influence: FloatArray

    @classmethod
    def of_scores(
        cls, first: int, second: int, score: FloatArray, prompt: IntArray, n_prompts: int
    ) -> "Matchup":
        """From scores of pairs (1, 1/2, 0 or a share), shape (n_pairs,), and their prompts' codes.

        Raises:
            Undefined: No pairs.
        """
        if not len(score):
            raise Undefined("a win rate over no pairs is undefined")
        rate = float(score.mean())
        influence = np.bincount(prompt, (score - rate) / len(score), minlength=n_prompts)
        return cls(first, second, rate, len(score), np.asarray(influence, dtype=np.float64))


@dataclass(frozen=True)
class Strengths:
    """Policies on one scale.

    Attributes:
        log_odds: By policy: the log-odds of beating an average policy; they sum to 0.
        against_average: By policy: the chance of beating an average policy.
    """

    log_odds: tuple[Estimate, ...]
    against_average: tuple[Estimate, ...]


def bradley_terry(
    n_policies: int,
    matchups: Sequence[Matchup],
    *,
    n_independent: int | None = None,
    confidence: float = 0.95,
) -> Strengths:
    """Strengths of policies that met each other.

    Args:
        n_policies: How many; they are known by their index.
        matchups: Win rates; all over the same prompts, so that those of a prompt move together.
        n_independent: Prompts that the intervals rest on; for corrected rates, those that people
            labelled. All of them when None.
        confidence: Of the intervals.

    Raises:
        BadInput: A matchup names a policy that is not there, or prompts differ among matchups.
        Undefined: Fewer than two prompts; or the policies fall into two groups of which one never
            lost a point to the other, so that no finite strength fits.
    Source: Bradley and Terry (1952), doi:10.2307/2334029; fitted by evalica (Ustalov 2025,
        arXiv:2412.11314), intervals by the sandwich of the likelihood's score, summed by prompt.
    """
    check_confidence(confidence)
    if not matchups:
        raise Undefined("no two policies met, so there is nothing to rank")
    n_prompts = len(matchups[0].influence)
    for one in matchups:
        if not (0 <= one.first < n_policies and 0 <= one.second < n_policies):
            raise BadInput("a matchup names a policy that is not there; number them from 0")
        if len(one.influence) != n_prompts:
            raise BadInput("the influence of all matchups must be over the same prompts")
    if n_prompts < 2 or (n_independent is not None and n_independent < 2):
        raise Undefined("intervals of strengths need at least two prompts")
    strength = _fitted(n_policies, matchups)
    influence = _influence(strength, matchups)  # (n_prompts, n_policies)
    g = n_prompts if n_independent is None else n_independent
    error = np.sqrt(np.square(influence).sum(axis=0) * g / (g - 1))
    reach = float(stats.t.ppf(0.5 + confidence / 2.0, g - 1)) * error
    counts = [
        sum(one.n for one in matchups if k in (one.first, one.second)) for k in range(n_policies)
    ]
    log_odds = tuple(
        Estimate(float(s), float(s - r), float(s + r), METHOD, n)
        for s, r, n in zip(strength, reach, counts, strict=True)
    )
    return Strengths(
        log_odds=log_odds,
        against_average=tuple(
            Estimate(_share(one.estimate), _share(one.low), _share(one.high), METHOD, one.n)
            for one in log_odds
        ),
    )


def _fitted(n_policies: int, matchups: Sequence[Matchup]) -> FloatArray:
    """Log strengths of mean 0, shape (n_policies,)."""
    xs: list[int] = []
    ys: list[int] = []
    weights: list[float] = []
    beaten = np.zeros((n_policies, n_policies))
    for one in matchups:
        for winner, loser, share in (
            (one.first, one.second, one.rate),
            (one.second, one.first, 1.0 - one.rate),
        ):
            if share > 0.0:
                xs.append(winner)
                ys.append(loser)
                weights.append(share * one.n)
                beaten[winner, loser] = 1.0
    n_groups, _ = connected_components(beaten, connection="strong")
    if n_groups > 1:
        raise Undefined("one policy won or lost everything, or some never met: no finite strength")
    found = evalica.bradley_terry(
        xs,
        ys,
        [evalica.Winner.X] * len(xs),
        weights=weights,
        tolerance=_TOLERANCE,
        limit=_MOST_STEPS,
    )
    log = np.log(found.scores.sort_index().to_numpy(dtype=np.float64))
    return np.asarray(log - log.mean())


def _influence(strength: FloatArray, matchups: Sequence[Matchup]) -> FloatArray:
    """Of each prompt on each strength: the inverse information times the score's."""
    k = len(strength)
    information = np.zeros((k, k))
    score = np.zeros((len(matchups[0].influence), k))
    for one in matchups:
        p = _share(float(strength[one.first] - strength[one.second]))
        side = np.zeros(k)
        side[one.first], side[one.second] = 1.0, -1.0
        information += one.n * p * (1.0 - p) * np.outer(side, side)
        score += one.n * np.outer(one.influence, side)
    return np.asarray(score @ np.linalg.pinv(information))


def _share(log_odds: float) -> float:
    return float(1.0 / (1.0 + np.exp(-log_odds)))
