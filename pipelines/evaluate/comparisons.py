"""Candidates of several policies as comparisons: who met whom on which prompt, in which pair."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.agreement.annotations import NONE, TIE, A, Annotations, FloatArray, IntArray
from pipelines.generate.pairs import PairCounts, pairs_of
from pipelines.generate.reading import candidates_by_prompt
from pipelines.generate.records import Candidate
from pipelines.store import PairStore


@dataclass(frozen=True)
class Comparisons:
    """Two policies' responses to one prompt, a row each.

    `first` and `second` index `policies`; the first is the later one, so that a win rate is that of
    "after" over "before".

    Attributes:
        policies: Names, in the order of the evaluation.
        n_prompts: Prompts that any policy answered.
        failed: By policy: candidates that failed, by reason; they are compared with nobody.
        row: Row of the pair in the store; -1 where both responses are the same, a tie that no one
            is asked about. Shape (n,), as are all below.
        first: The policy that scores speak of.
        second: The other.
        turned: Whether the pair's response_a is the second policy's.
        chars_first: Characters of the first policy's response.
        chars_second: Of the second's.
        prompt: Codes of the prompts, 0..n_prompts-1.
    """

    policies: tuple[str, ...]
    n_prompts: int
    failed: dict[str, dict[str, int]]
    row: IntArray
    first: IntArray
    second: IntArray
    turned: npt.NDArray[np.bool_]
    chars_first: IntArray
    chars_second: IntArray
    prompt: IntArray

    @property
    def same(self) -> npt.NDArray[np.bool_]:
        """Which rows are ties by definition, shape (n,)."""
        return np.asarray(self.row == NONE)

    def scores(self, p_a: FloatArray) -> FloatArray:
        """Scores of pairs as scores of the first policy, shape (n,); equal responses score 1/2.

        Args:
            p_a: By row of the store, how far response_a is the better one; NaN for unknown.
        """
        found = np.full(len(self.row), 0.5)
        judged = ~self.same
        value = p_a[self.row[judged]]
        found[judged] = np.where(self.turned[judged], 1.0 - value, value)
        return found

    def of(self, first: int, second: int) -> npt.NDArray[np.bool_]:
        """The rows on which these two met, shape (n,)."""
        return np.asarray((self.first == first) & (self.second == second))


def read_comparisons(project_dir: Path, store: PairStore, policies: Sequence[str]) -> Comparisons:
    """What the candidates of an evaluation's project compare.

    Args:
        project_dir: The evaluation's project.
        store: Its pairs.
        policies: Names of the models, in the order of the evaluation.
    """
    names = list(policies)
    failed: dict[str, dict[str, int]] = {name: {} for name in names}
    rows: list[tuple[str, int, int, bool, int, int, int]] = []
    n_prompts = 0
    for members in candidates_by_prompt(project_dir):
        ours = [one for one in members if one.model in failed]
        for one in ours:
            if one.failure is not None:
                counts = failed[one.model]
                counts[one.failure] = counts.get(one.failure, 0) + 1
        rows += _rows_of(ours, names, n_prompts)
        n_prompts += 1
    columns = list(zip(*rows, strict=True)) if rows else [()] * 7
    ids, first, second, turned, chars_first, chars_second, prompt = columns
    wanted = [key for key in ids if key]
    found = iter(store.rows_of(wanted).tolist() if wanted else [])
    row = [next(found) if key else NONE for key in ids]
    kept = np.array([at >= 0 or not key for at, key in zip(row, ids, strict=True)], dtype=np.bool_)

    def column(values: Sequence[object]) -> npt.NDArray[np.int64]:
        return np.array(values, dtype=np.int64)[kept]

    return Comparisons(
        policies=tuple(names),
        n_prompts=n_prompts,
        failed=failed,
        row=column(row),
        first=column(first),
        second=column(second),
        turned=column(turned).astype(np.bool_),
        chars_first=column(chars_first),
        chars_second=column(chars_second),
        prompt=column(prompt),
    )


def _rows_of(
    ours: Sequence[Candidate], names: list[str], prompt: int
) -> list[tuple[str, int, int, bool, int, int, int]]:
    """The comparisons of one prompt: pair id ("" for equal responses), and the columns."""
    sound = {one.model: one for one in ours if one.failure is None and one.response is not None}
    made = pairs_of([list(sound.values())], set(), 0, 0, PairCounts())
    pairs = {frozenset((pair.model_a, pair.model_b)): pair for pair in made}
    rows = []
    for second, first in combinations(range(len(names)), 2):
        a, b = (sound.get(names[k]) for k in (first, second))
        if a is None or b is None:
            continue
        pair = pairs.get(frozenset((names[first], names[second])))
        key = "" if pair is None else pair.id or ""
        turned = pair is not None and pair.model_a == names[second]
        n_chars = (len(a.response or ""), len(b.response or ""))
        rows.append((key, first, second, turned, *n_chars, prompt))
    return rows


def soft_scores(annotations: Annotations, judge: str) -> FloatArray:
    """How far a judge holds response_a the better one, by pair, over all orders it was asked in.

    The mean of its probabilities; of its labels (1, 0, a tie 1/2) where it gives none, so that
    verdicts which contradict each other are a tie, as in MT-bench (Zheng et al. 2023,
    arXiv:2306.05685). NaN where every judgment failed, or there is none. Shape (n_pairs,).
    """
    if judge not in annotations.judges:  # as where all responses were the same: nothing was asked
        return np.full(annotations.n_pairs, np.nan)
    mine = annotations.verdict_judge == annotations.judges.index(judge)
    mine &= annotations.verdict_label != NONE
    label = annotations.verdict_label[mine]
    worth = np.where(label == TIE, 0.5, np.where(label == A, 1.0, 0.0))
    p_a = annotations.verdict_p_a[mine]
    value = np.where(np.isnan(p_a), worth, p_a)
    pair, n = annotations.verdict_pair[mine], annotations.n_pairs
    count = np.bincount(pair, minlength=n)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.bincount(pair, weights=value, minlength=n) / count)


def hard_scores(soft: FloatArray) -> FloatArray:
    """1 above one half, 0 below, 1/2 at it; NaN stays. Same shape."""
    rounded = np.round(soft, 12)  # means of the same numbers in another order differ at the end
    return np.where(np.isnan(soft), np.nan, np.sign(rounded - 0.5) / 2.0 + 0.5)
