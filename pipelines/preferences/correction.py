"""Judge correction: learn the judge's error from the audited labels and correct every label.

P(people prefer A) is a ridge-logistic model of the judges' soft labels, orders and per-principle
verdicts, the length gap and cheap features of the texts. Every feature is odd, there is no
intercept: swapping a pair's responses turns p into 1 - p. Three things are cross-fitted by prompt
on the same folds and compared: the judge itself (with its log-odds scaled to fit people, so that
mere over-confidence is not an error to be "corrected"), a labeler that knows the texts but no
judge, and the correction. The correction is applied only where it beats the judge.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.agreement.annotations import BoolArray, FloatArray
from pipelines.errors import Undefined
from pipelines.preferences.audited import Audited
from pipelines.preferences.gain import Gain, compare
from pipelines.preferences.judge_features import JudgeFeatures, log_odds
from pipelines.preferences.odd_logistic import Block, CrossFitted, OddLogistic, cross_fit
from pipelines.preferences.text_features import text_columns, word_columns
from pipelines.records import PreferencePair

SUFFIX = "+corrected"
_JUDGE_EMPHASIS = (3.0,)
_WORD_EMPHASIS = (1.0, 8.0)


@dataclass(frozen=True)
class CorrectionModel:
    """Corrects the soft label of any pair."""

    features: JudgeFeatures
    model: OddLogistic

    def p_a(self, pairs: Sequence[PreferencePair], label_p_a: FloatArray) -> FloatArray:
        """Probability that people prefer response_a, shape (n_pairs,).

        Args:
            pairs: With their judgments.
            label_p_a: The label that is corrected, as a soft label, shape (n_pairs,).
        """
        return self.model.p_a(judge_blocks(self.features, pairs, label_p_a))

    def judge_coefficients(self) -> dict[str, float]:
        """What each of the judges' columns adds to the log-odds, a unit."""
        return dict(zip(self.features.names, self.model.coefficients[0].tolist(), strict=True))


@dataclass(frozen=True)
class Correction:
    """A correction, what it is worth, and whether it is to be used.

    The gains are those of pairs that a random draw took, or whose sampling nobody knows; edge
    cases are learned from and not counted.
    """

    applied: bool
    why: str  # one sentence: what decided
    warnings: tuple[str, ...]
    n_labels: int
    n_edge: int  # of them, edge cases
    over_judge: Gain
    over_no_judge: Gain  # over the labeler that is fitted on the texts alone
    no_judge_over_judge: Gain
    model: CorrectionModel
    p_a: FloatArray  # (n_labels,) out of fold: of models that never saw the pair's prompt


def judge_blocks(
    features: JudgeFeatures, pairs: Sequence[PreferencePair], label_p_a: FloatArray
) -> list[Block]:
    """The columns of a correction."""
    judges = Block("judges", features.columns(pairs, label_p_a), emphasis=_JUDGE_EMPHASIS)
    return [judges, *text_blocks(pairs)]


def text_blocks(pairs: Sequence[PreferencePair]) -> list[Block]:
    """The columns of the texts alone."""
    return [
        Block("text", text_columns(pairs)),
        Block("words", word_columns(pairs), by_column=False, emphasis=_WORD_EMPHASIS),
    ]


def learn_correction(
    pairs: Sequence[PreferencePair],
    label_p_a: FloatArray,
    audited: Audited,
    rng: np.random.Generator,
    *,
    derived: Sequence[str] = (),
    confidence: float = 0.95,
) -> Correction:
    """Learn from the audited pairs how a label errs, and measure whether correcting it pays.

    Args:
        pairs: The audited pairs with their judgments, in the order of `audited`.
        label_p_a: Their AI label as a soft label (1, 0 or 1/2 where it is a mere side), shape
            (n_labels,), no NaN.
        audited: What people said of them.
        rng: For the folds.
        derived: Judges whose labels were themselves made from people's, which may not be used.
        confidence: Level of the intervals.

    Raises:
        Undefined: Too few labelled prompts, or none that is not an edge case.
    """
    features = JudgeFeatures.of(pairs, derived)
    blocks = judge_blocks(features, pairs, label_p_a)
    y, weight, prompt = audited.p_a, audited.weight, audited.prompt
    seed = int(rng.integers(2**32))

    def folded(some: Sequence[Block]) -> CrossFitted:  # the same folds for everything
        return cross_fit(some, y, weight, prompt, np.random.default_rng(seed))

    judge = folded([Block("label", log_odds(label_p_a)[:, None], emphasis=(30.0,))])
    no_judge, corrected = folded(blocks[1:]), folded(blocks)
    counted = ~audited.edge
    warnings = _warnings(audited)
    shown = counted if counted.any() else np.ones(len(audited), dtype=np.bool_)

    def gain(before: FloatArray, after: FloatArray) -> Gain:
        return compare(
            before[shown], after[shown], y[shown], prompt[shown], weight[shown],
            confidence=confidence,
        )  # fmt: skip

    over_judge = gain(_on_its_side(judge.p_a, label_p_a), corrected.p_a)
    applied, why = _decide(over_judge, counted)
    return Correction(
        applied=applied,
        why=why,
        warnings=warnings,
        n_labels=len(audited),
        n_edge=int(audited.edge.sum()),
        over_judge=over_judge,
        over_no_judge=gain(no_judge.p_a, corrected.p_a),
        no_judge_over_judge=gain(_on_its_side(judge.p_a, label_p_a), no_judge.p_a),
        model=CorrectionModel(features, corrected.model),
        p_a=corrected.p_a,
    )


def _on_its_side(scaled: FloatArray, label_p_a: FloatArray) -> FloatArray:
    """The judge's scaled soft labels; where scaling turned them round, still the judge's side.

    A judge that is worse than chance gets a negative scale, and its labels would be credited with
    the accuracy of their opposites.
    """
    turned = (scaled - 0.5) * (label_p_a - 0.5) < 0.0
    return np.where(turned, 0.5 + np.sign(label_p_a - 0.5) * 1e-6, scaled)


def _decide(gain: Gain, counted: BoolArray) -> tuple[bool, str]:
    if not counted.any():
        return False, (
            "not applied: every label is of an edge case, which says nothing of the other pairs; "
            "label a random draw"
        )
    loss, accuracy = gain.log_loss_gain, gain.accuracy_gain
    spelled = (
        f"log-loss {gain.log_loss_before:.3f} to {gain.log_loss_after:.3f} "
        f"(gain {loss.low:+.3f} to {loss.high:+.3f}), accuracy "
        f"{gain.accuracy_before.estimate:.3f} to {gain.accuracy_after.estimate:.3f} "
        f"(gain {accuracy.low:+.3f} to {accuracy.high:+.3f}, n = {accuracy.n})"
    )
    if gain.is_certain:
        return True, f"applied: on prompts left out it beats the judge, {spelled}"
    return False, f"not applied: on prompts left out it does not surely beat the judge, {spelled}"


def _warnings(audited: Audited) -> tuple[str, ...]:
    found = []
    n_edge = int(audited.edge.sum())
    if n_edge == len(audited):
        found.append(
            "all labels are of edge cases: an audit of doubtful pairs teaches less of the judge's "
            "errors than a random one, and measures nothing"
        )
    elif n_edge > len(audited) / 2:
        found.append(f"{n_edge} of {len(audited)} labels are of edge cases, not of a random draw")
    if len(audited) < 100:
        found.append(f"{len(audited)} labels are few: a gain under some points cannot be seen")
    return tuple(found)


def check_labelled(audited: Audited) -> None:
    """Refuse to learn from nothing.

    Raises:
        Undefined: Nobody has labelled a pair that has an AI label.
    """
    if not len(audited):
        raise Undefined(
            "no pair has both an AI label and a human one, so there is nothing to learn"
        )
