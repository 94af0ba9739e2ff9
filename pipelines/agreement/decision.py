"""What a gate is, what one audited pair can come out as, and when a gate has decided."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pipelines.agreement.annotations import NONE, TIE, IntArray
from pipelines.agreement.eprocess import Side, exact_line
from pipelines.agreement.estimate import Estimate
from pipelines.errors import BadInput

Ties = Literal["decisive", "strict"]
Decision = Literal["TRUST", "WARN", "BETWEEN", "UNDECIDED"]
TestName = Literal["trust", "warn", "above_low", "below_high"]

DECISIONS: tuple[Decision, ...] = ("UNDECIDED", "TRUST", "WARN", "BETWEEN")

# One audited pair: the human agreed, disagreed, called a tie (`decisive` only), or nobody will say.
AGREE, DISAGREE, HUMAN_TIE, UNANSWERED = 1, 0, 2, -1

LARGEST_E = 1e300  # e-values stop here, so that a certificate in JSON holds plain numbers


@dataclass(frozen=True)
class Gate:
    """The declared rule of a round: two lines (or one, twice), a level, and what a tie means.

    TRUST says that agreement is above `trust_above`, WARN that it is below `warn_below`, BETWEEN
    that it lies between the two; each underlying test is one-sided at level `alpha`.
    """

    trust_above: float = 0.80
    warn_below: float = 0.75
    alpha: float = 0.05
    ties: Ties = "decisive"

    def __post_init__(self) -> None:
        if not 0.0 < self.warn_below <= self.trust_above < 1.0:
            raise BadInput(
                f"gate: warn_below = {self.warn_below} and trust_above = {self.trust_above} must "
                "satisfy 0 < warn_below <= trust_above < 1; change one of them"
            )
        if not 0.0 < self.alpha < 1.0:
            raise BadInput(f"gate: alpha = {self.alpha} must lie between 0 and 1; try 0.05")
        if self.ties not in ("decisive", "strict"):
            raise BadInput(f'gate: ties = "{self.ties}" is unknown; use "decisive" or "strict"')

    @property
    def single_line(self) -> bool:
        """Whether the two lines are one, so that nothing lies between them."""
        return self.trust_above == self.warn_below

    def spend(self, earlier_rounds: int) -> "Gate":
        """The gate of a round after `earlier_rounds` on the same labels: level alpha / 2^k.

        The first round runs at alpha, the next at alpha/2, and so on: over any number of rounds
        the chance of a false certificate on one side stays below 2 alpha.
        """
        if earlier_rounds < 0:
            raise BadInput(f"earlier rounds = {earlier_rounds} cannot be negative")
        return replace(self, alpha=self.alpha / 2.0**earlier_rounds)

    def tests(self) -> tuple[tuple[TestName, float, Side], ...]:
        """Name, line and side of each one-sided test that the gate runs."""
        outer: tuple[tuple[TestName, float, Side], ...] = (
            ("trust", self.trust_above, "up"),
            ("warn", self.warn_below, "down"),
        )
        if self.single_line:
            return outer
        return (
            *outer,
            ("above_low", self.warn_below, "up"),
            ("below_high", self.trust_above, "down"),
        )


@dataclass(frozen=True)
class TestReading:
    """One test of the gate: "up" rejects agreement <= tau, "down" rejects agreement >= tau."""

    __test__ = False  # not a test class, whatever pytest makes of the name

    name: TestName
    tau: float
    side: Side
    e_value: float  # now
    max_e_value: float  # the largest at any label so far: what Ville's inequality bounds
    crossed_at: int | None  # the label at which it first reached 1/alpha


@dataclass(frozen=True)
class GateReading:
    """What the gate says of the answered prefix of a round's draw."""

    decision: Decision
    n_labels: int | None  # position in the draw at which it was decided; None while undecided
    n_answered: int  # length of the prefix, unanswerable pairs included
    n_population: int
    tests: tuple[TestReading, ...]
    estimate: Estimate | None  # None before the first decisive label
    n_agree: int
    n_disagree: int
    n_tie: int
    n_unanswered: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values only, for JSON."""
        return asdict(self)


def outcomes(ai_labels: npt.ArrayLike, human_labels: npt.ArrayLike, ties: Ties) -> IntArray:
    """Outcome codes of audited pairs, shape (n,), from label codes (0 A, 1 B, 2 tie, -1 nobody).

    `decisive`: a human tie is HUMAN_TIE whatever the AI said, and an AI tie on a decisive pair is
    a disagreement. `strict`: the two labels are equal or they are not.

    Raises:
        BadInput: An AI label is missing; such a pair is not part of the audited population.
    """
    ai, human = np.broadcast_arrays(np.asarray(ai_labels), np.asarray(human_labels))
    if np.any((ai < 0) | (ai > TIE)) or np.any((human < NONE) | (human > TIE)):
        raise BadInput(
            "an audited pair needs an AI label (0 A, 1 B, 2 tie) and a human one or -1; pairs "
            "without an AI label leave the population before the draw"
        )
    codes = np.where(ai == human, AGREE, DISAGREE)
    if ties == "decisive":
        codes = np.where(human == TIE, HUMAN_TIE, codes)
    return np.where(human == NONE, UNANSWERED, codes).astype(np.int8)


def outcome(ai_label: int, human_label: int, ties: Ties) -> int:
    """The outcome code of one pair (see `outcomes`)."""
    return int(outcomes(ai_label, human_label, ties))


def check_outcomes(gate: Gate, codes: npt.ArrayLike, n_population: int) -> IntArray:
    """The outcomes as an int8 array, once they make sense for this gate and population."""
    array = np.asarray(codes, dtype=np.int8)
    if n_population < 1:
        raise BadInput("the audited population is empty; no pair has a label to audit")
    if len(array) > n_population:
        raise BadInput(
            f"{len(array)} outcomes for {n_population} pairs; each pair counts only once"
        )
    allowed = (AGREE, DISAGREE, UNANSWERED) + ((HUMAN_TIE,) if gate.ties == "decisive" else ())
    if not np.isin(array, allowed).all():
        raise BadInput(f"outcome codes of a {gate.ties} gate are {sorted(allowed)}")
    return array


def worst_case(codes: IntArray, side: Side) -> tuple[IntArray, IntArray]:
    """Agreements and ties as 0/1, shape (t,), unanswerable pairs read against the test's claim."""
    against = AGREE if side == "down" else DISAGREE
    filled = np.where(codes == UNANSWERED, against, codes)
    return (filled == AGREE).astype(np.int64), (filled == HUMAN_TIE).astype(np.int64)


def first_decision(
    gate: Gate, crossed_at: Mapping[TestName, int | None], codes: IntArray, n_population: int
) -> tuple[Decision, int | None]:
    """The decision at the first label where one stands, and that label. It never changes after.

    Where two stand at the same label, the more cautious one does (WARN, BETWEEN, TRUST).
    """
    trust, warn = crossed_at["trust"], crossed_at["warn"]
    low, high = crossed_at.get("above_low"), crossed_at.get("below_high")
    between = max(low, high) if low is not None and high is not None else None
    candidates: list[tuple[int, int, Decision]] = []
    found: tuple[tuple[Decision, int | None], ...] = (
        ("WARN", warn),
        ("BETWEEN", between),
        ("TRUST", trust),
    )
    for caution, (decision, label) in enumerate(found):
        if label is not None:
            candidates.append((label, caution, decision))
    if candidates:
        label, _, decision = min(candidates)
        return decision, label
    if len(codes) == n_population:
        decision = census(gate, codes)
        return decision, None if decision == "UNDECIDED" else n_population
    return "UNDECIDED", None


def census(gate: Gate, codes: IntArray) -> Decision:
    """The decision when every pair has been asked: the agreement is known but for unanswered pairs.

    BETWEEN includes the lines here: agreement of exactly 0.80 is neither above nor below it.
    """
    agree = int(np.sum(codes == AGREE))
    unanswered = int(np.sum(codes == UNANSWERED))
    decisive = int(np.sum(codes != HUMAN_TIE))
    if decisive == 0:
        return "UNDECIDED"
    above = exact_line(gate.trust_above) * decisive
    below = exact_line(gate.warn_below) * decisive
    if agree > above:
        return "TRUST"
    if agree + unanswered < below:
        return "WARN"
    return "BETWEEN" if agree >= below and agree + unanswered <= above else "UNDECIDED"


def first_true(flags: npt.NDArray[np.bool_]) -> int | None:
    """The label (1, 2, ...) of the first true flag, or None."""
    return int(np.argmax(flags)) + 1 if flags.any() else None


def read_test(
    name: TestName, tau: float, side: Side, log_e: npt.NDArray[np.float64], threshold: float
) -> TestReading:
    """The reading of one test from its whole path of log e-values, shape (t,)."""
    largest = np.log(LARGEST_E)
    now, most = (float(log_e[-1]), float(log_e.max())) if len(log_e) else (0.0, 0.0)
    return TestReading(
        name=name,
        tau=tau,
        side=side,
        e_value=float(np.exp(min(now, largest))),
        max_e_value=max(1.0, float(np.exp(min(most, largest)))),
        crossed_at=first_true(log_e >= threshold),
    )
