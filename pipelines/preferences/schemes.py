"""Which two of a prompt's N candidates become a pair: best-of-N, worst-of-N, all pairs.

`choose_pairs` works on scores; `in_scheme` picks among pairs that were judged already, with each
response scored by the soft labels of the comparisons that it is in; `scored_in_scheme` picks among
pairs whose responses were rated one by one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from pipelines.agreement.annotations import FloatArray
from pipelines.errors import BadInput

Scheme = Literal["best-of-n", "worst-of-n", "best-worst", "all-pairs"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)


@dataclass(frozen=True)
class Chosen:
    """A pair of candidates: which is preferred, and by how much."""

    better: int
    worse: int
    margin: float  # difference of the scores, above 0


def choose_pairs(
    scores: Sequence[float],
    scheme: Scheme,
    rng: np.random.Generator,
    *,
    min_margin: float = 0.0,
) -> list[Chosen]:
    """The pairs of one prompt's candidates; none where all scores are equal.

    "best-of-n": the best against one of the others, drawn at random (as UltraFeedback was made
    binary). "worst-of-n": one of the others, drawn, against the worst. "best-worst": the two ends.
    "all-pairs": every two with different scores.

    Args:
        scores: Of each candidate, higher is better; NaN is a candidate without a score, left out.
        scheme: One of `SCHEMES`.
        rng: Draws the other candidate, and settles equal best or worst ones.
        min_margin: Pairs with a smaller difference of scores are left out.
    """
    if scheme not in SCHEMES:
        raise BadInput(f'scheme "{scheme}" is not one of {", ".join(SCHEMES)}')
    if min_margin < 0.0:
        raise BadInput("a least margin is not below 0")
    known = [place for place, score in enumerate(scores) if score == score]  # NaN is not itself
    if len(known) < 2:
        return []
    order = rng.permutation(known)  # so that no place is favoured among equals
    ranked = sorted(order.tolist(), key=lambda place: -scores[place])
    best, worst = ranked[0], ranked[-1]
    if scores[best] == scores[worst]:
        return []
    if scheme == "all-pairs":
        couples = [(one, two) for k, one in enumerate(ranked) for two in ranked[k + 1 :]]
    elif scheme == "best-worst":
        couples = [(best, worst)]
    elif scheme == "best-of-n":
        others = [place for place in ranked if scores[place] < scores[best]]
        couples = [(best, int(rng.choice(others)))]
    else:
        others = [place for place in ranked if scores[place] > scores[worst]]
        couples = [(int(rng.choice(others)), worst)]
    return [
        Chosen(one, two, margin)
        for one, two in couples
        if (margin := float(scores[one] - scores[two])) > 0.0 and margin >= min_margin
    ]


def in_scheme(
    prompt: npt.NDArray[np.integer],
    response_a: npt.NDArray[np.integer],
    response_b: npt.NDArray[np.integer],
    p_a: FloatArray,
    alive: npt.NDArray[np.bool_],
    scheme: Scheme,
) -> npt.NDArray[np.bool_]:
    """Which judged pairs a scheme keeps, shape (n_pairs,).

    A response's score is its mean soft label over the pairs still here. "best-of-n" keeps the
    pairs that the best response of their prompt is in, "worst-of-n" those with the worst,
    "best-worst" those between them, "all-pairs" all. Of equals the best is the one that came first.

    Args:
        prompt: Code of each pair's prompt, shape (n_pairs,).
        response_a: Code of the text of response_a: equal texts have equal codes.
        response_b: The same of response_b.
        p_a: Soft labels.
        alive: Pairs still here.
        scheme: One of `SCHEMES`.
    """
    kept = alive.copy()
    if scheme == "all-pairs":
        return kept
    rows = np.flatnonzero(alive)
    rows = rows[np.argsort(prompt[rows], kind="stable")]
    for group in np.split(rows, np.flatnonzero(np.diff(prompt[rows])) + 1):
        if len(group) < 2:
            continue
        codes, place = np.unique(np.r_[response_a[group], response_b[group]], return_inverse=True)
        worth = np.r_[p_a[group], 1.0 - p_a[group]]
        score = np.bincount(place, weights=worth) / np.bincount(place)
        first = np.full(len(codes), len(place))
        np.minimum.at(first, place, np.arange(len(place)))
        best = min(range(len(codes)), key=lambda code: (-score[code], first[code]))
        worst = max(range(len(codes)), key=lambda code: (-score[code], first[code]))
        a, b = place[: len(group)], place[len(group) :]
        with_best, with_worst = (a == best) | (b == best), (a == worst) | (b == worst)
        kept[group] = {
            "best-of-n": with_best,
            "worst-of-n": with_worst,
            "best-worst": with_best & with_worst,
        }[scheme]
    return kept


def scored_in_scheme(
    prompt: npt.NDArray[np.integer],
    response_a: npt.NDArray[np.integer],
    response_b: npt.NDArray[np.integer],
    score: FloatArray,
    alive: npt.NDArray[np.bool_],
    scheme: Scheme,
    rng: np.random.Generator,
    *,
    min_margin: float = 0.0,
) -> npt.NDArray[np.bool_]:
    """Which rated pairs a scheme keeps, shape (n_pairs,): those that `choose_pairs` chooses.

    A response's score is the mean of its ratings over the pairs still here. Only candidates that
    were paired can be chosen: of the others no pair is made here. A pair without ratings goes.

    Args:
        prompt: Code of each pair's prompt, shape (n_pairs,).
        response_a: Code of the text of response_a: equal texts have equal codes.
        response_b: The same of response_b.
        score: Ratings of both responses, shape (n_pairs, 2); NaN where there are none.
        alive: Pairs still here.
        scheme: One of `SCHEMES`.
        rng: As in `choose_pairs`.
        min_margin: Least difference of scores.
    """
    kept = np.zeros(len(alive), dtype=np.bool_)
    rows = np.flatnonzero(alive & ~np.isnan(score).any(axis=1))
    rows = rows[np.argsort(prompt[rows], kind="stable")]
    for group in np.split(rows, np.flatnonzero(np.diff(prompt[rows])) + 1):
        if not len(group):
            continue
        place = np.unique(np.r_[response_a[group], response_b[group]], return_inverse=True)[1]
        given = np.r_[score[group, 0], score[group, 1]]
        mean = np.bincount(place, weights=given) / np.bincount(place)
        there = {
            frozenset(couple): row
            for *couple, row in zip(
                place[: len(group)].tolist(),
                place[len(group) :].tolist(),
                group.tolist(),
                strict=True,
            )
        }
        chosen = _paired(mean.tolist(), set(there), scheme, rng, min_margin)
        kept[[there[couple] for couple in chosen]] = True
    return kept


def _paired(
    scores: list[float],
    there: set[frozenset[int]],
    scheme: Scheme,
    rng: np.random.Generator,
    min_margin: float,
) -> list[frozenset[int]]:
    """The couples of a scheme, as far as they were paired."""
    if scheme in ("all-pairs", "best-worst"):
        chosen = choose_pairs(scores, scheme, rng, min_margin=min_margin)
        couples = [frozenset((one.better, one.worse)) for one in chosen]
        return [couple for couple in couples if couple in there]
    # One end is fixed; the other is drawn among those that it was paired with.
    ends = choose_pairs(scores, "best-worst", rng)
    if not ends:
        return []
    end = ends[0].better if scheme == "best-of-n" else ends[0].worse
    beside = {other for couple in there if end in couple for other in couple}
    met = [end, *sorted(one for one in beside if scores[one] != scores[end])]
    chosen = choose_pairs([scores[place] for place in met], scheme, rng, min_margin=min_margin)
    return [
        couple
        for one in chosen
        if (couple := frozenset((met[one.better], met[one.worse]))) in there and end in couple
    ]
