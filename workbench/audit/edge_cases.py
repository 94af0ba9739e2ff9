"""Edge cases: pairs worth a person's look although they were not drawn, outside every certificate.

Three signs, each worth up to one point: the judges split; a judge's verdict flips when the
responses swap places; the audited label is close to a coin toss.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.agreement.annotations import NONE, Annotations
from pipelines.preferences.combine import combine_judge
from workbench.audit.order import key
from workbench.audit.population import Population

SPLIT, FLIP, UNSURE = "judges split", "swap flips", "low confidence"
UNSURE_WITHIN = 0.1  # of one half


@dataclass(frozen=True)
class EdgeCase:
    """One pair, by its row in the store, and why it was chosen."""

    row: int
    reasons: tuple[str, ...]


def find_edge_cases(
    annotations: Annotations,
    population: Population,
    n_wanted: int,
    taken: Sequence[int],
    seed: int,
    round_name: str,
) -> list[EdgeCase]:
    """The `n_wanted` pairs with the strongest signs, or fewer; the seed decides between equals.

    Args:
        annotations: All verdicts.
        population: The round's pairs; those whose label is an abstention count too.
        n_wanted: How many at most.
        taken: Rows that the draw holds already.
        seed: The round's seed.
        round_name: The round's name.
    """
    n = len(population.pair_ids)
    split = _judges_split(annotations)[:n]
    flip = _swap_flips(annotations)[:n]
    distance = np.abs(np.nan_to_num(population.p_a, nan=1.0) - 0.5)  # no p_a: not unsure
    unsure = distance < UNSURE_WITHIN
    strength = split + flip + np.clip(1.0 - 2.0 * distance, 0.0, 1.0) * unsure
    strength[np.asarray(taken, dtype=np.intp)] = 0.0
    candidates = np.flatnonzero(strength > 0.0).tolist()
    candidates.sort(
        key=lambda row: (-strength[row], key(seed, round_name, "edge", population.pair_ids[row]))
    )
    return [
        EdgeCase(
            row,
            tuple(
                name for name, sign in ((SPLIT, split), (FLIP, flip), (UNSURE, unsure)) if sign[row]
            ),
        )
        for row in candidates[:n_wanted]
    ]


def _judges_split(annotations: Annotations) -> npt.NDArray[np.bool_]:
    """Whether two judges' labels of a pair differ. Shape (n_pairs,)."""
    labels = np.stack([combine_judge(annotations, judge).label for judge in annotations.judges])
    low = np.where(labels == NONE, 9, labels).min(axis=0)
    high = labels.max(axis=0)
    return np.asarray((high != NONE) & (low != high))


def _swap_flips(annotations: Annotations) -> npt.NDArray[np.bool_]:
    """Whether some judge said different things in the two orders. Shape (n_pairs,)."""
    n_judges = len(annotations.judges)
    seen = np.zeros((2, annotations.n_pairs * n_judges, 3), dtype=np.bool_)
    good = (annotations.verdict_order >= 0) & (annotations.verdict_label != NONE)
    place = annotations.verdict_pair[good] * n_judges + annotations.verdict_judge[good]
    seen[annotations.verdict_order[good], place, annotations.verdict_label[good]] = True
    both = seen.any(axis=2).all(axis=0)
    differ = (seen[0] != seen[1]).any(axis=1)
    return np.asarray((both & differ).reshape(-1, n_judges).any(axis=1))
