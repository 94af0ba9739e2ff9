"""Every diagnosis of an audit: what was planted in a world, and what the audit measures there."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from pipelines.agreement import multirater
from pipelines.agreement.annotations import TIE
from pipelines.agreement.bias import LengthBias, SelfPreference, length_bias, self_preference
from pipelines.agreement.calibration import Calibration, calibration
from pipelines.agreement.classification import ClassScores, class_scores
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import Clusters
from pipelines.agreement.kappa import agreement, cohen_kappa, gwet_ac1
from pipelines.agreement.paired import PairedComparison, compare_paired
from pipelines.agreement.position import PositionBias, position_bias
from pipelines.agreement.slices import agreement_by_slice
from pipelines.judge.validate import weighted_share
from workbench.selftest import truths
from workbench.selftest.law import Law
from workbench.selftest.world import World

# ECE and macro precision rest on few pairs in a bin or class: a known limit (docs/selftest.md).
APPROXIMATE = 0.92
KEEP_SURE = 0.35  # of the pairs whose judge is sure, an audit of unequal chances draws this share


_kept = lru_cache(maxsize=1)  # several diagnoses are read off one result


@dataclass(frozen=True)
class Diagnosis:
    """One number of an audit's report.

    Attributes:
        name: As the table shows it.
        planted: The truth, from the law.
        measure: The estimate with its 95% interval; None where a world leaves it undefined.
        least: The coverage that is claimed for it. Below 95% it is a known limit, and said so.
    """

    name: str
    planted: Callable[[Law], float]
    measure: Callable[[World], Estimate | None]
    least: float = 0.95


@dataclass(frozen=True)
class Test:
    """One p-value of an audit's report; in worlds without the bias it may reject 5%."""

    name: str
    p_value: Callable[[World], float]


def _agreement(world: World, ties: str = "strict") -> Estimate:
    return agreement(
        world.label,
        world.human,
        Clusters.of(world.prompt),
        ties="drop" if ties == "drop" else "strict",
    )


def _weighted(world: World) -> Estimate:
    """Agreement when sure pairs are drawn less often: each weighs one over its chance."""
    sure = np.abs(world.p_a - 0.5) > 0.3
    taken = ~sure | (world.spare < KEEP_SURE)
    weight = np.where(sure, 1.0 / KEEP_SURE, 1.0)[taken]
    right = (world.label == world.human)[taken].astype(np.float64)
    return weighted_share(right, weight, world.prompt[taken], 0.95)


@_kept
def _scores(world: World) -> ClassScores:
    return class_scores(world.human, world.label, Clusters.of(world.prompt))


@_kept
def position(world: World) -> PositionBias:
    """Position bias as the audit reads it."""
    law = world.law
    return position_bias(law.label_ab[world.atom], law.label_ba[world.atom], world.prompt)


@_kept
def length(world: World) -> LengthBias:
    """Length bias as the audit reads it."""
    law = world.law
    return length_bias(
        world.label,
        world.human,
        law.chars_a[world.atom],
        law.chars_b[world.atom],
        world.prompt,
    )


@_kept
def _own(world: World) -> SelfPreference:
    return self_preference(world.label, world.human, world.law.own[world.atom], world.prompt)


def _slice(world: World, number: int) -> Estimate | None:
    slices = agreement_by_slice(
        world.human,
        world.label,
        world.prompt,
        world.law.principle[world.atom],
        ("others", "blind"),
    )
    return slices[number].agreement


def _with_person(world: World, person: int) -> Estimate:
    mine = world.person == person
    return agreement(world.label[mine], world.human[mine], Clusters.of(world.prompt[mine]))


def _couple(world: World, first: int, second: int, *, chance_corrected: bool) -> Estimate:
    """Two annotators on the pairs that both labelled, whichever slot was whose."""
    one, two = world.person[: world.n_overlap], world.second_person
    ahead, behind = (one == first) & (two == second), (one == second) & (two == first)
    a = np.concatenate([world.human[: world.n_overlap][ahead], world.second[behind]])
    b = np.concatenate([world.second[ahead], world.human[: world.n_overlap][behind]])
    prompt = world.prompt[: world.n_overlap]
    clusters = Clusters.of(np.concatenate([prompt[ahead], prompt[behind]]))
    return (cohen_kappa if chance_corrected else agreement)(a, b, clusters)


def _people(world: World, statistic: Callable[..., Estimate]) -> Estimate:
    return statistic(world.overlap_counts, Clusters.of(world.prompt[: world.n_overlap]))


def _ceiling(world: World) -> Estimate:
    """People's agreement where both decide, as the ceiling shows it."""
    counts = world.overlap_counts[:, :TIE]
    return multirater.pairwise_agreement(counts, Clusters.of(world.prompt[: world.n_overlap]))


@_kept
def _calibration(world: World) -> Calibration:
    return calibration(world.p_a, world.human, world.prompt)


def _bin(world: World) -> Estimate | None:
    bins = _calibration(world).bins
    number = truths.fullest_bin(world.law)
    return next((one.observed for one in bins if round(one.low * truths.N_BINS) == number), None)


@_kept
def combining(world: World) -> PairedComparison:
    """Both orders together against the first alone, as two judges are compared."""
    at = np.flatnonzero(world.human != TIE)
    human = world.human[at]
    both = truths.points(world.label[at], human)
    one = truths.points(world.law.label_ab[world.atom[at]], human)
    return compare_paired(both, one, world.prompt[at])


def _decided_pair(law: Law) -> float:
    table = law.two_humans[:2, :2]
    return float(np.trace(table) / table.sum())


def _planted_couple(law: Law, first: int, second: int, *, corrected: bool) -> float:
    table = truths.couple(law, first, second)
    return truths.kappa(table) if corrected else float(np.trace(table))


def _people_kappa(law: Law) -> float:
    return truths.kappa(law.two_humans)


POSITION = (
    Diagnosis(
        "position: share of first places", truths.first_rate, lambda w: position(w).first_rate
    ),
    Diagnosis("position: flip rate", truths.flip_rate, lambda w: position(w).flip_rate),
    Diagnosis(
        "both orders less one: points", truths.combining_gain, lambda w: combining(w).difference
    ),
)
LENGTH = (
    Diagnosis(
        "length: slope of the AI", partial(truths.length_slope, ai=True), lambda w: length(w).ai
    ),
    Diagnosis(
        "length: slope of people", partial(truths.length_slope, ai=False), lambda w: length(w).human
    ),
    Diagnosis(
        "length: excess of the AI",
        lambda law: truths.length_slope(law, ai=True) - truths.length_slope(law, ai=False),
        lambda w: length(w).excess,
    ),
)
OWN = (
    Diagnosis(
        "self-preference: upholds its own",
        partial(truths.upheld, own=True),
        lambda w: _own(w).upholds_own,
    ),
    Diagnosis(
        "self-preference: upholds the other",
        partial(truths.upheld, own=False),
        lambda w: _own(w).upholds_other,
    ),
    Diagnosis(
        "self-preference: excess",
        lambda law: truths.upheld(law, own=True) - truths.upheld(law, own=False),
        lambda w: _own(w).excess,
    ),
)
PRINCIPLES = (
    Diagnosis(
        "agreement where the blind principle decides",
        lambda law: truths.slice_agreement(law, 1),
        lambda w: _slice(w, 1),
    ),
    Diagnosis(
        "agreement where others decide",
        lambda law: truths.slice_agreement(law, 0),
        lambda w: _slice(w, 0),
    ),
)
ACCURACY = (
    Diagnosis("agreement, ties count", truths.agreement, _agreement),
    Diagnosis("agreement, decisive", truths.decisive_agreement, lambda w: _agreement(w, "drop")),
    Diagnosis("agreement, unequal chances", truths.agreement, _weighted),
    Diagnosis(
        "Cohen's kappa",
        lambda law: truths.kappa(law.table),
        lambda w: cohen_kappa(w.label, w.human, Clusters.of(w.prompt)),
    ),
    Diagnosis(
        "Gwet's AC1",
        lambda law: truths.ac1(law.table),
        lambda w: gwet_ac1(w.label, w.human, Clusters.of(w.prompt)),
    ),
    Diagnosis(
        "precision, macro",
        lambda law: truths.macro(law, 1.0, 0.0),
        lambda w: _scores(w).precision_macro,
        least=APPROXIMATE,
    ),
    Diagnosis(
        "recall, macro", lambda law: truths.macro(law, 0.0, 1.0), lambda w: _scores(w).recall_macro
    ),
    Diagnosis("F1, macro", lambda law: truths.macro(law, 0.5, 0.5), lambda w: _scores(w).f1_macro),
)
CALIBRATION = (
    Diagnosis("calibration: ECE", truths.ece, lambda w: _calibration(w).ece, least=APPROXIMATE),
    Diagnosis("calibration: Brier score", truths.brier, lambda w: _calibration(w).brier),
    Diagnosis(
        "calibration: people's choices in one bin",
        truths.observed_in_fullest_bin,
        _bin,
    ),
)
PEOPLE = (
    Diagnosis(
        "people: agreement, ties count",
        lambda law: float(np.trace(law.two_humans)),
        lambda w: _people(w, multirater.pairwise_agreement),
    ),
    Diagnosis("people: ceiling, decisive", _decided_pair, _ceiling),
    Diagnosis(
        "people: Fleiss' kappa", _people_kappa, lambda w: _people(w, multirater.fleiss_kappa)
    ),
    Diagnosis(
        "people: Krippendorff's alpha",
        _people_kappa,
        lambda w: _people(w, multirater.krippendorff_alpha),
    ),
    Diagnosis(
        "people: Gwet's AC1",
        lambda law: truths.ac1(law.two_humans),
        lambda w: _people(w, multirater.gwet_ac1),
    ),
)
EACH_PERSON = tuple(
    Diagnosis(
        f"AI with annotator {person + 1}",
        partial(truths.annotator_agreement, person=person),
        partial(_with_person, person=person),
    )
    for person in range(3)
) + tuple(
    Diagnosis(
        f"annotators {first + 1} and {second + 1}: {name}",
        partial(_planted_couple, first=first, second=second, corrected=corrected),
        partial(_couple, first=first, second=second, chance_corrected=corrected),
    )
    for first, second in ((0, 1), (0, 2), (1, 2))
    for name, corrected in (("agreement", False), ("Cohen's kappa", True))
)

SIGN_TEST = Test("position: sign test of the flips", lambda w: position(w).p_value)
LENGTH_TEST = Test("length: no excess", lambda w: length(w).p_value)
COMPARISON_TEST = Test("comparison of two judges", lambda w: combining(w).p_value)
