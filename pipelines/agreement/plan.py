"""What a round is expected to cost and to decide, before anybody labels."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from pipelines.agreement.active_simulation import simulate_active
from pipelines.agreement.decision import DECISIONS, Decision, Gate
from pipelines.agreement.decision_curve import decision_curve
from pipelines.agreement.fixed_sample import fixed_sample_size, right_decision
from pipelines.errors import BadInput

Mode = Literal["uniform", "active"]

THETAS = (0.60, 0.65, 0.70, 0.75, 0.78, 0.80, 0.82, 0.85, 0.90, 0.95)
POWER = 0.80
MAX_CURVE = 20_000  # decisive labels up to which the exact law is followed when sizing a sample
CLEAR_MARGIN = 0.05  # an agreement this far beyond a line should be decided by a sensible sample
RARELY = 0.50


@dataclass(frozen=True)
class PlanRow:
    """One plausible agreement: how the planned round would end, and what it would cost.

    Labels count every pair that people look at, ties included; an undecided round costs all that
    were drawn.
    """

    theta: float
    trust: float  # chance of each ending, summing to 1
    warn: float
    between: float
    undecided: float
    mean_labels: float
    median_labels: int
    p90_labels: int
    mean_hours: float
    right: Decision  # what the gate should say of this agreement
    sample_for_power: int | None  # pairs to draw so that it says so with chance POWER
    fixed_sample: int | None  # pairs that a fixed sample with the same errors and power must label


@dataclass(frozen=True)
class Plan:
    """Rows for plausible agreements, and a sentence where the planned sample is too small."""

    gate: Gate
    n_population: int
    n_drawn: int
    mode: Mode
    tie_share: float
    auroc: float | None  # assumed of the judge's confidence; active mode only
    seconds_per_pair: float
    power: float
    method: str  # how the figures were made: "exact", or how many rounds were simulated
    rows: tuple[PlanRow, ...]
    warning: str | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values only, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Planner:
    """Everything that is fixed over the rows of a plan.

    Args:
        gate: The gate that will be declared.
        n_population: Pairs in the audited population.
        n_drawn: Pairs to be drawn.
        mode: "uniform", computed exactly; "active", simulated.
        tie_share: Share of pairs that a human will call a tie; counts under `decisive` only.
        auroc: How well the judge's confidence predicts agreement; active mode only.
        seconds_per_pair: Time of one label.
        power: Chance of the right decision that sample sizes are made for.
        n_rounds: Simulated rounds per agreement; active mode only.
        seed: Of the simulation.

    Raises:
        BadInput: Nothing to draw from, or shares outside [0, 1).
    """

    gate: Gate
    n_population: int
    n_drawn: int
    mode: Mode = "uniform"
    tie_share: float = 0.0
    auroc: float = 0.80
    seconds_per_pair: float = 45.0
    power: float = POWER
    n_rounds: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.n_drawn <= self.n_population:
            raise BadInput(
                f"a round draws between 1 and all {self.n_population} pairs, not {self.n_drawn}; "
                "change the share or the number of pairs"
            )
        if not 0.0 <= self.tie_share < 1.0:
            raise BadInput(f"share of ties = {self.tie_share} must lie in [0, 1); try 0.1")
        if not (0.0 < self.power < 1.0 and self.seconds_per_pair > 0.0):
            raise BadInput("power must lie between 0 and 1, and seconds per pair above 0")
        if self.mode == "active" and not 0.5 <= self.auroc <= 0.99:
            raise BadInput(f"AUROC = {self.auroc} must lie between 0.5 and 0.99; try 0.8")

    @property
    def decisive_share(self) -> float:
        """Decisive labels per label: all of them under `strict`."""
        return 1.0 - self.tie_share if self.gate.ties == "decisive" else 1.0

    @property
    def decisive_pairs(self) -> int:
        """Decisive pairs expected in the population; as many as are drawn at the least."""
        drawn = round(self.n_drawn * self.decisive_share)
        return max(1, drawn, round(self.n_population * self.decisive_share))

    def row(self, theta: float) -> PlanRow:
        """The plan for one agreement, in [0, 1]."""
        if not 0.0 <= theta <= 1.0:
            raise BadInput(f"agreement {theta} must lie between 0 and 1")
        return self._active_row(theta) if self.mode == "active" else self._uniform_row(theta)

    def _uniform_row(self, theta: float) -> PlanRow:
        """Exact under `strict`; ties only stretch the decisive labels (see the tests)."""
        draw = max(1, round(self.n_drawn * self.decisive_share))
        right = right_decision(self.gate, theta)
        seek = None if right == "UNDECIDED" else (right, self.power, MAX_CURVE)
        curve = decision_curve(self.gate, self.decisive_pairs, theta, draw, seek=seek)
        enough = curve.labels_for(right, self.power) if seek else None
        return self._as_row(
            theta,
            {decision: curve.chance(decision, draw) for decision in DECISIONS},
            curve.mean_labels(draw) / self.decisive_share,
            self._all_labels(curve.quantile(0.5, draw)),
            self._all_labels(curve.quantile(0.9, draw)),
            None if enough is None else self._all_labels(enough),
        )

    def _active_row(self, theta: float) -> PlanRow:
        rounds = simulate_active(
            self.gate,
            self.n_population,
            theta,
            self.n_drawn,
            self.n_rounds,
            np.random.default_rng([self.seed, round(theta * 1e6)]),
            auroc=self.auroc,
            tie_share=self.tie_share,
        )
        right = right_decision(self.gate, theta)
        mine = np.where(rounds.decision == DECISIONS.index(right), rounds.n_labels, np.inf)
        enough = float(np.quantile(mine, self.power, method="higher"))
        reachable = right != "UNDECIDED" and np.isfinite(enough)
        return self._as_row(
            theta,
            {decision: rounds.share(decision) for decision in DECISIONS},
            float(rounds.n_labels.mean()),
            int(np.median(rounds.n_labels)),
            int(np.quantile(rounds.n_labels, 0.9)),
            int(enough) if reachable else None,
        )

    def _as_row(
        self,
        theta: float,
        chance: dict[Decision, float],
        mean_labels: float,
        median_labels: int,
        p90_labels: int,
        enough: int | None,
    ) -> PlanRow:
        fixed = fixed_sample_size(self.gate, self.decisive_pairs, theta, self.power)
        return PlanRow(
            theta=theta,
            trust=chance["TRUST"],
            warn=chance["WARN"],
            between=chance["BETWEEN"],
            undecided=max(0.0, chance["UNDECIDED"]),
            mean_labels=mean_labels,
            median_labels=median_labels,
            p90_labels=p90_labels,
            mean_hours=mean_labels * self.seconds_per_pair / 3600.0,
            right=right_decision(self.gate, theta),
            sample_for_power=enough,
            fixed_sample=None if fixed is None else self._all_labels(fixed),
        )

    def _all_labels(self, n_decisive: int) -> int:
        """Pairs to label until so many are decisive, on average."""
        return min(self.n_population, round(n_decisive / self.decisive_share))

    def assemble(self, rows: Sequence[PlanRow]) -> Plan:
        """The plan of these rows, with a warning where the sample will rarely decide."""
        return Plan(
            gate=self.gate,
            n_population=self.n_population,
            n_drawn=self.n_drawn,
            mode=self.mode,
            tie_share=self.tie_share,
            auroc=self.auroc if self.mode == "active" else None,
            seconds_per_pair=self.seconds_per_pair,
            power=self.power,
            method=self._method(),
            rows=tuple(rows),
            warning=self._warning({row.theta: row for row in rows}),
        )

    def _method(self) -> str:
        if self.mode == "active":
            return f"{self.n_rounds} simulated rounds"
        return "exact" if self.decisive_share == 1.0 else "exact tables of decisive labels"

    def _warning(self, known_rows: Mapping[float, PlanRow]) -> str | None:
        """Said where even a clear agreement on either side would mostly stay undecided."""
        clear = (
            min(round(self.gate.trust_above + CLEAR_MARGIN, 6), 1.0),
            max(round(self.gate.warn_below - CLEAR_MARGIN, 6), 0.0),
        )
        rows = [known_rows.get(theta) or self.row(theta) for theta in clear]
        chances = [rows[0].trust, rows[1].warn]
        if min(chances) >= RARELY:
            return None
        high, low = rows
        sizes = [row.sample_for_power for row in rows]
        known = [size for size in sizes if size is not None]
        remedy = (
            f"draw {max(known):,} pairs to decide both with probability {self.power:.0%}"
            if len(known) == len(sizes)
            else "draw more pairs, or declare lines further from what you expect"
        )
        return (
            f"{self.n_drawn:,} of {self.n_population:,} pairs will rarely decide: if people agree "
            f"with {high.theta:.0%} of the labels the gate says TRUST with probability "
            f"{high.trust:.0%}, if with {low.theta:.0%} it says WARN with probability "
            f"{low.warn:.0%}; {remedy}."
        )


def plan(
    gate: Gate,
    n_population: int,
    thetas: Sequence[float] = THETAS,
    *,
    n_drawn: int,
    mode: Mode = "uniform",
    tie_share: float = 0.0,
    auroc: float = 0.80,
    seconds_per_pair: float = 45.0,
    power: float = POWER,
    n_rounds: int = 200,
    seed: int = 0,
) -> Plan:
    """The whole plan at once; the arguments are those of `Planner`."""
    planner = Planner(
        gate, n_population, n_drawn, mode, tie_share, auroc, seconds_per_pair, power, n_rounds, seed
    )
    return planner.assemble([planner.row(theta) for theta in thetas])
