"""What the judges said of a pair, as odd features: exchanging the responses negates each column."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipelines.agreement.annotations import FloatArray
from pipelines.judge.principles import principle_verdicts
from pipelines.preferences.text_features import log_length_gap
from pipelines.records import Judgment, Label, PreferencePair

_MOST_SUBSETS = 20
_SIGNS: dict[Label, float] = {"A": 1.0, "B": -1.0, "tie": 0.0}
_LEAST_P = 0.02  # of a judge that is certain: its log-odds must be finite


@dataclass(frozen=True)
class JudgeFeatures:
    """Which columns there are. All of them are 0 where a judge has not answered.

    Of the label that is corrected: its log-odds and its side, and the log-odds times what is the
    same both ways round (length gap, subset), since a judge may be good at some pairs only. Of each
    judge: mean log-odds, mean side, and which response it saw first. Of each principle: log-odds.
    """

    judges: tuple[str, ...]
    subsets: tuple[str, ...] = ()
    principles: tuple[tuple[str, str], ...] = ()  # (judge, principle)
    _place: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "_place", {judge: place for place, judge in enumerate(self.judges)}
        )

    @classmethod
    def of(cls, pairs: Iterable[PreferencePair], derived: Iterable[str] = ()) -> "JudgeFeatures":
        """The columns that these pairs can fill.

        Args:
            pairs: The labelled pairs.
            derived: Judges to leave out: those whose labels were made from people's.
        """
        left_out = frozenset(derived)
        judges: dict[str, None] = {}
        subsets: dict[str, int] = {}
        principles: dict[tuple[str, str], None] = {}
        for pair in pairs:
            if pair.subset is not None:
                subsets[pair.subset] = subsets.get(pair.subset, 0) + 1
            for judgment in pair.ai:
                if judgment.judge in left_out:
                    continue
                judges[judgment.judge] = None
                for verdict in principle_verdicts(judgment):
                    principles[judgment.judge, verdict.principle] = None
        common = sorted(subsets, key=lambda name: (-subsets[name], name))[:_MOST_SUBSETS]
        return cls(
            judges=tuple(sorted(judges)),
            subsets=tuple(sorted(common)) if len(common) > 1 else (),
            principles=tuple(sorted(principles)),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """What the columns of `columns` are, in order."""
        return (
            "label: log-odds",
            "label: side",
            "label: log-odds x length gap",
            *(f"label: log-odds in {subset}" for subset in self.subsets),
            *(
                f"{judge}: {what}"
                for judge in self.judges
                for what in ("log-odds", "side", "saw first")
            ),
            *(f"{judge}: {principle}" for judge, principle in self.principles),
        )

    def columns(self, pairs: Sequence[PreferencePair], label_p_a: FloatArray) -> FloatArray:
        """Shape (n_pairs, n_columns).

        Args:
            pairs: With their judgments.
            label_p_a: Soft label of the judge or rule that is corrected, shape (n_pairs,).
        """
        margin = log_odds(label_p_a)
        found = np.zeros((len(pairs), len(self.names)))
        found[:, 0] = margin
        found[:, 1] = np.sign(label_p_a - 0.5)
        found[:, 2] = margin * np.abs(log_length_gap(pairs))
        start = 3 + len(self.subsets)
        for row, pair in enumerate(pairs):
            if pair.subset in self.subsets:
                found[row, 3 + self.subsets.index(pair.subset)] = margin[row]
            by_judge: dict[str, list[Judgment]] = {}
            for judgment in pair.ai:
                if judgment.label is not None and judgment.judge in self._place:
                    by_judge.setdefault(judgment.judge, []).append(judgment)
            for judge, judgments in by_judge.items():
                at = start + 3 * self._place[judge]
                found[row, at : at + 3] = _summary(judgments)
            if self.principles:
                found[row, start + 3 * len(self.judges) :] = self._of_principles(pair)
        return found

    def _of_principles(self, pair: PreferencePair) -> list[float]:
        said: dict[tuple[str, str], list[float]] = {}
        for judgment in pair.ai:
            for verdict in principle_verdicts(judgment):
                if verdict.label is not None:
                    said.setdefault((judgment.judge, verdict.principle), []).append(
                        _margin(verdict.p_a, verdict.label)
                    )
        return [float(np.mean(said[key])) if key in said else 0.0 for key in self.principles]


def log_odds(p_a: FloatArray) -> FloatArray:
    """log(p / (1 - p)) with p held within 0.02..0.98."""
    p = np.clip(p_a, _LEAST_P, 1.0 - _LEAST_P)
    return np.asarray(np.log(p) - np.log1p(-p), dtype=np.float64)


def _summary(judgments: Sequence[Judgment]) -> tuple[float, float, float]:
    """Mean log-odds, mean side, and +1 where response_a was always seen first, -1 if never."""
    margins, sides, first = 0.0, 0.0, 0.0
    for judgment in judgments:
        if judgment.label is None:
            continue
        margins += _margin(judgment.p_a, judgment.label)
        sides += _SIGNS[judgment.label]
        first += {"ab": 1.0, "ba": -1.0, None: 0.0}[judgment.order]
    n = len(judgments)
    return margins / n, sides / n, first / n


def _margin(p_a: float | None, label: Label) -> float:
    """Log-odds of a verdict; of one without a probability, 1 for its side."""
    return _SIGNS[label] if p_a is None else float(log_odds(np.array([p_a]))[0])
