"""What people say of a project's pairs: the votes of its rounds first, then imported labels."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipelines.agreement.annotations import LABEL_NAMES, NONE, TIE, Annotations
from pipelines.agreement.reference import human_reference
from pipelines.errors import BadInput
from pipelines.judge.validate import HumanSide, choose_pairs
from workbench.audit.argilla_votes import ASSISTED
from workbench.audit.design import EDGE
from workbench.export.labels import LiveVote, PairLabels, read_labels
from workbench.project import Project

_CODES = {name: code for code, name in enumerate(LABEL_NAMES)}
_SIMULATED = "simulated"


def human_side(
    project: Project,
    annotations: Annotations,
    n: int | None,
    seed: int = 0,
    round_name: str | None = None,
) -> HumanSide:
    """The human labels to hold judges against, at most n of them.

    A pair's label is the majority of its people; without a majority it is a tie. Edge cases, queued
    because they looked doubtful, are left out, and so are votes given with the AI's label in sight.
    Adjudications are left out too: only pairs on which somebody disagreed have one.

    Args:
        project: The project.
        annotations: Its verdicts and imported labels.
        n: How many pairs to use; all of them when None.
        seed: Of the choice, where more are labelled.
        round_name: Only this round's votes, and no imported labels.

    Raises:
        BadInput: Nobody has labelled a pair, or there is no such round.
    """
    size = annotations.n_pairs
    audited = np.full(size, NONE, dtype=np.int8)
    chance = np.ones(size)
    simulated = np.zeros(size, dtype=bool)
    for row, pair in _drawn(project, round_name):
        votes = _blind(pair)
        audited[row] = _majority(votes)
        chance[row] = pair.inclusion_prob
        simulated[row] = any(vote.origin == _SIMULATED for vote in votes)
    if round_name is None:
        imported: npt.NDArray[np.int8] = human_reference(annotations)
    else:
        imported = np.full(size, NONE, dtype=np.int8)
    rng = np.random.default_rng(seed)
    human = choose_pairs(audited, imported, chance, simulated, size or 1 if n is None else n, rng)
    if human.n == 0:
        where = f'round "{round_name}"' if round_name else "this project"
        raise BadInput(
            f"nobody has labelled a pair of {where}; `workbench audit draw` and `workbench serve`, "
            "or import pairs with human labels"
        )
    return human


def human_lines(human: HumanSide) -> list[str]:
    """Sentences on where the labels come from."""
    parts = []
    if human.n_audited:
        parts.append(f"{human.n_audited:,} from audit rounds")
    if human.n_imported:
        parts.append(f"{human.n_imported:,} imported with the pairs")
    lines = [f"{human.n:,} pairs labelled by people ({', '.join(parts)})"]
    if human.n_available > human.n:
        lines[0] += f", chosen at random from {human.n_available:,}"
    lines[0] += "."
    if human.n_simulated:
        lines.append(f"{human.n_simulated:,} of them hold simulated votes.")
    if human.n_imported:
        lines.append(
            "How imported pairs were chosen is not known: this describes them, and no others."
        )
    return lines


def _drawn(project: Project, round_name: str | None) -> list[tuple[int, PairLabels]]:
    """The voted pairs of rounds that the store holds, with their rows; no edge cases."""
    found = {
        pair_id: pair
        for pair_id, pair in read_labels(project.engine, round_name).pairs.items()
        if _blind(pair) and pair.stratum != EDGE
    }
    if not found:
        return []
    rows = project.store.rows_of(list(found)).tolist()
    return [(row, pair) for row, pair in zip(rows, found.values(), strict=True) if row >= 0]


def _blind(pair: PairLabels) -> list[LiveVote]:
    """What people said who did not see the AI's label."""
    return [vote for vote in pair.votes.values() if vote.origin != ASSISTED]


def _majority(votes: Sequence[LiveVote]) -> int:
    counts = np.bincount([_CODES[vote.label] for vote in votes], minlength=3)
    return int(counts.argmax()) if 2 * counts.max() > counts.sum() else TIE
