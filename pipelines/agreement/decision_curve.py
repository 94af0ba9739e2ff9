"""The exact chance that a uniform round has decided by each label, before anybody labels.

On yes-or-no outcomes a round's state is its count of agreements and which half of BETWEEN already
stands, so the boundary tables give the law of the decision label by forward recursion.
"""

from dataclasses import dataclass

import numpy as np

from pipelines.agreement.annotations import FloatArray
from pipelines.agreement.decision import AGREE, DECISIONS, DISAGREE, Decision, Gate, census
from pipelines.agreement.eprocess import boundary
from pipelines.errors import BadInput

NEGLIGIBLE = 1e-12  # chance at the edge of the window that is no longer followed
TRIM_EVERY = 32
NEITHER, ABOVE_LOW, BELOW_HIGH = 0, 1, 2  # which half of BETWEEN stands


@dataclass(frozen=True)
class DecisionCurve:
    """Chance of having decided each way by label t = 0, 1, ...; one array per decision."""

    theta: float  # agreeing pairs over all pairs, exactly as computed with
    by_label: dict[Decision, FloatArray]

    def chance(self, decision: Decision, n_labels: int | None = None) -> float:
        """Chance that a round of `n_labels` (default: all computed) ends with this decision."""
        return float(self.by_label[decision][-1 if n_labels is None else n_labels])

    def mean_labels(self, n_labels: int | None = None) -> float:
        """Expected labels of such a round: the sum of the chances that one more is needed."""
        return float(np.sum(self.by_label["UNDECIDED"][:-1][:n_labels]))

    def quantile(self, share: float, n_labels: int | None = None) -> int:
        """The label by which this share of such rounds has ended, one way or undecided."""
        open_ = self.by_label["UNDECIDED"]
        last = len(open_) - 1 if n_labels is None else n_labels
        reached = np.flatnonzero(open_[:last] <= 1.0 - share + 1e-12)
        return int(reached[0]) if len(reached) else last

    def labels_for(self, decision: Decision, power: float) -> int | None:
        """The label by which the round has this decision with chance `power`, or None."""
        reached = np.flatnonzero(self.by_label[decision] >= power)
        return int(reached[0]) if len(reached) else None


def decision_curve(
    gate: Gate,
    n_population: int,
    theta: float,
    n_draw: int,
    *,
    seek: tuple[Decision, float, int] | None = None,
) -> DecisionCurve:
    """The exact law of the decision label.

    Args:
        gate: The gate. Every pair counts as decisive: for a `decisive` gate give the number of
            decisive pairs and count decisive labels.
        n_population: Pairs N.
        theta: Agreement; round(theta N) pairs agree.
        n_draw: Labels to follow a round for, at most N.
        seek: (decision, power, most): follow it beyond `n_draw`, up to `most` labels, until that
            decision has been reached with that chance.
    """
    if n_population < 1 or not 0.0 <= theta <= 1.0:
        raise BadInput(f"{n_population} pairs with agreement {theta}: nothing to plan for")
    n_draw = min(n_draw, n_population)
    last = n_draw if seek is None else min(max(n_draw, seek[2]), n_population)
    walk = _Walk(gate, n_population, round(theta * n_population), last)
    t = 0
    while t < last:
        if t >= n_draw and seek is not None and walk.total[seek[0]] >= seek[1]:
            break
        t += 1
        walk.step(t)
    if t == n_population:
        walk.ask_everybody()
    by_label: dict[Decision, FloatArray] = {
        name: np.cumsum(row[: t + 1]) for name, row in walk.ended.items()
    }
    ways = [by_label[name] for name in DECISIONS if name != "UNDECIDED"]
    by_label["UNDECIDED"] = np.maximum(1.0 - np.sum(ways, axis=0), 0.0)
    return DecisionCurve(walk.n_agree / n_population, by_label)


class _Walk:
    """The chance of each count of agreements among rounds still undecided, label by label.

    From one label to the next the count moves by 0 or 1 and so does every boundary: a test can
    newly reject only at the one count on its boundary.
    """

    def __init__(self, gate: Gate, n_population: int, n_agree: int, last: int) -> None:
        self.gate, self.n_population, self.n_agree = gate, n_population, n_agree
        tables = {
            name: boundary(n_population, tau, side, gate.alpha, last).count.tolist()
            for name, tau, side in gate.tests()
        }
        never_up, never_down = list(range(1, last + 2)), [-1] * (last + 1)
        self.trust, self.warn = tables["trust"], tables["warn"]
        self.low = tables.get("above_low", never_up)
        self.high = tables.get("below_high", never_down)
        self.ended = {name: np.zeros(last + 1) for name in DECISIONS}
        self.total = dict.fromkeys(DECISIONS, 0.0)
        self.alive = np.zeros((3 if "above_low" in tables else 1, last + 3))
        self.alive[NEITHER, 0] = 1.0
        self.first, self.end = 0, 1  # the window of counts that are followed
        self.good = n_agree - np.arange(last + 3, dtype=np.float64)

    def step(self, t: int) -> None:
        """Move every undecided round on by one label and end those whose gate decides."""
        if self.first >= self.end:
            return
        first, end = self.first, self.end
        window = self.alive[:, first:end]
        chance = self.good[first:end] / (self.n_population - t + 1)
        up = window * np.clip(chance, 0.0, 1.0)
        window -= up
        self.alive[:, first + 1 : end + 1] += up
        self.end = end + 1
        # The order of `first_decision`: WARN, then BETWEEN, then TRUST at the same label.
        if self.warn[t] >= 0:
            self._end("WARN", t, slice(None), self.warn[t])
        if len(self.alive) == 3:
            self._halves(t)
        if self.trust[t] <= t:
            self._end("TRUST", t, slice(None), self.trust[t])
        if t % TRIM_EVERY == 0:
            self._trim()

    def _halves(self, t: int) -> None:
        """Let the two halves of BETWEEN stand from here on, and end the rounds that have both."""
        low, high = self.low[t], self.high[t]
        if low <= t:
            self._end("BETWEEN", t, BELOW_HIGH, low)
            if low <= high:
                self._end("BETWEEN", t, NEITHER, low)
            self.alive[ABOVE_LOW, low] += self.alive[NEITHER, low]
            self.alive[NEITHER, low] = 0.0
        if high >= 0:
            self._end("BETWEEN", t, ABOVE_LOW, high)
            if low <= high:
                self._end("BETWEEN", t, NEITHER, high)
            self.alive[BELOW_HIGH, high] += self.alive[NEITHER, high]
            self.alive[NEITHER, high] = 0.0

    def _end(self, decision: Decision, t: int, rows: int | slice, count: int) -> None:
        cells = self.alive[rows, count]
        ended = float(cells.sum())
        if ended > 0.0:
            self.ended[decision][t] += ended
            self.total[decision] += ended
            self.alive[rows, count] = 0.0

    def _trim(self) -> None:
        kept = np.flatnonzero(self.alive[:, self.first : self.end].sum(axis=0) > NEGLIGIBLE)
        if len(kept) == 0:
            self.first = self.end
            return
        first, end = self.first + int(kept[0]), self.first + int(kept[-1]) + 1
        self.alive[:, self.first : first] = 0.0
        self.alive[:, end : self.end] = 0.0
        self.first, self.end = first, end

    def ask_everybody(self) -> None:
        """Whoever asked everybody knows: the rest is decided as a census is."""
        codes = np.repeat([AGREE, DISAGREE], [self.n_agree, self.n_population - self.n_agree])
        rest = float(self.alive[:, self.first : self.end].sum())
        self.ended[census(self.gate, codes)][self.n_population] += rest
