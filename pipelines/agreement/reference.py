"""The human side of a comparison: one vote per person and pair, and one reference per pair."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import numpy.typing as npt

from pipelines.agreement.annotations import NONE, TIE, Annotations, IntArray
from pipelines.agreement.multirater import count_matrix
from pipelines.errors import BadInput

MAJORITY = "majority"


@dataclass(frozen=True)
class Votes:
    """Human labels in long form, at most one per person and pair, sorted by pair."""

    pair: IntArray  # (n_votes,)
    annotator: IntArray  # (n_votes,) index into Annotations.annotators
    label: IntArray  # (n_votes,) 0 A, 1 B, 2 tie


@dataclass(frozen=True)
class RaterPair:
    """Two annotators on the pairs that both labelled."""

    first: int  # index of an annotator
    second: int
    pair: IntArray  # (n_units,)
    first_label: IntArray  # (n_units,)
    second_label: IntArray  # (n_units,)


def votes_of(annotations: Annotations) -> Votes:
    """Everybody's last label on each pair: somebody who labels a pair again has changed it."""
    labelled = annotations.label_value != NONE
    pair = annotations.label_pair[labelled].astype(np.int64)
    annotator = annotations.label_annotator[labelled].astype(np.int64)
    label = annotations.label_value[labelled].astype(np.int64)
    key = pair * max(1, len(annotations.annotators)) + annotator
    _, last = np.unique(key[::-1], return_index=True)  # the first from behind is the last
    kept = len(key) - 1 - last
    return Votes(pair[kept], annotator[kept], label[kept])


def human_reference(
    annotations: Annotations, reference: str = MAJORITY, votes: Votes | None = None
) -> npt.NDArray[np.int8]:
    """The human label of each pair, shape (n_pairs,); -1 where nobody has labelled it.

    Args:
        annotations: All verdicts.
        reference: "majority", the label that more than half of a pair's votes give, a tie when
            no label has that; or the name of an annotator.
        votes: `votes_of(annotations)`, when it is at hand.

    Raises:
        BadInput: No annotator has that name.
    """
    votes = votes or votes_of(annotations)
    result = np.full(annotations.n_pairs, NONE, dtype=np.int8)
    if reference != MAJORITY:
        mine = votes.annotator == _annotator_index(annotations, reference)
        result[votes.pair[mine]] = votes.label[mine]
        return result
    labelled, unit = np.unique(votes.pair, return_inverse=True)
    counts = count_matrix(unit, votes.label, len(labelled), 3)
    has_majority = 2 * counts.max(axis=1, initial=0) > counts.sum(axis=1)
    result[labelled] = np.where(has_majority, counts.argmax(axis=1), TIE)
    return result


def rater_pairs(votes: Votes) -> Iterator[RaterPair]:
    """Every two annotators who share pairs, in the order of the annotators."""
    starts = np.flatnonzero(np.diff(votes.pair, prepend=-1))
    n_votes = np.diff(starts, append=len(votes.pair))
    first, second = [], []
    for size in np.unique(n_votes[n_votes >= 2]):
        # All couples of votes within the pairs that have `size` votes, at once.
        left, right = np.triu_indices(int(size), k=1)
        blocks = starts[n_votes == size][:, None]
        first.append((blocks + left).ravel())
        second.append((blocks + right).ravel())
    if not first:
        return
    a, b = np.concatenate(first), np.concatenate(second)
    # votes_of sorts by pair and then by annotator, so a's annotator comes before b's.
    couple = votes.annotator[a] * (int(votes.annotator.max()) + 1) + votes.annotator[b]
    order = np.lexsort((votes.pair[a], couple))
    a, b, couple = a[order], b[order], couple[order]
    for block_a, block_b in zip(_blocks(a, couple), _blocks(b, couple), strict=True):
        yield RaterPair(
            first=int(votes.annotator[block_a[0]]),
            second=int(votes.annotator[block_b[0]]),
            pair=votes.pair[block_a],
            first_label=votes.label[block_a],
            second_label=votes.label[block_b],
        )


def _blocks(values: IntArray, key: IntArray) -> list[IntArray]:
    return np.split(values, np.flatnonzero(np.diff(key)) + 1)


def _annotator_index(annotations: Annotations, name: str) -> int:
    if name in annotations.annotators:
        return annotations.annotators.index(name)
    if not annotations.annotators:
        raise BadInput(f'there are no human labels, so "{name}" cannot be the reference')
    near = get_close_matches(name, annotations.annotators, n=1)
    hint = f'did you mean "{near[0]}"?' if near else "choose one of "
    names = "" if near else ", ".join(annotations.annotators[:12])
    raise BadInput(f'no annotator is called "{name}"; {hint}{names}')
