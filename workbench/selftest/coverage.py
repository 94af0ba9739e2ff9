"""Many worlds of each scenario: how often the 95% intervals hold what was planted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from pipelines.agreement.estimate import Estimate
from pipelines.errors import Undefined
from workbench.selftest.law import law_of
from workbench.selftest.scenarios import Scenario
from workbench.selftest.world import World, draw_world

LEVEL = 0.95
# limit: below 95%, not below what is claimed for an interval that is known to be approximate.
Finding = Literal["holds", "wide", "limit", "short"]


@dataclass(frozen=True)
class Row:
    """One diagnosis in one scenario.

    Attributes:
        scenario: What was planted.
        diagnosis: What was measured.
        planted: The truth.
        example: What the first world's audit says.
        mean: Mean of the estimates.
        n: Worlds in which the diagnosis is defined.
        n_undefined: Worlds in which it is not.
        above: Worlds whose whole interval lies above the truth.
        below: Worlds whose whole interval lies below it.
        least: The coverage that is claimed.
    """

    scenario: str
    diagnosis: str
    planted: float
    example: Estimate
    mean: float
    n: int
    n_undefined: int
    above: int
    below: int
    least: float = LEVEL

    @property
    def coverage(self) -> float:
        """Share of the worlds whose interval holds the truth."""
        return 1.0 - (self.above + self.below) / self.n

    def finding(self, n_rows: int) -> Finding:
        """Whether coverage differs from 95% by more than binomial error, all rows at 5%."""
        held = self.n - self.above - self.below
        if stats.binomtest(held, self.n, LEVEL).pvalue * n_rows >= 1.0 - LEVEL:
            return "holds"
        if self.coverage > LEVEL:
            return "wide"
        below = stats.binomtest(held, self.n, self.least, alternative="less").pvalue
        return "limit" if self.least < LEVEL and below * n_rows >= 1.0 - LEVEL else "short"


@dataclass(frozen=True)
class ErrorRow:
    """One test or gate where it must not reject: how often it does."""

    scenario: str
    test: str
    n: int
    rejected: int
    allowed: float = 1.0 - LEVEL

    @property
    def rate(self) -> float:
        """Share of the worlds in which it errs."""
        return self.rejected / self.n

    def exceeds(self, n_rows: int) -> bool:
        """Whether the rate is above what is allowed, all rows at 5%."""
        above = stats.binomtest(self.rejected, self.n, self.allowed, alternative="greater")
        return bool(above.pvalue * n_rows < 1.0 - LEVEL)


@dataclass
class _Tally:
    planted: float
    example: Estimate | None = None
    total: float = 0.0
    n: int = 0
    n_undefined: int = 0
    above: int = 0
    below: int = 0

    def add(self, found: Estimate | None) -> None:
        if found is None:
            self.n_undefined += 1
            return
        self.example = self.example or found
        self.n += 1
        self.total += found.estimate
        # Sums of the same numbers in another order differ in their last bits.
        self.above += found.low > self.planted + 1e-9
        self.below += found.high < self.planted - 1e-9


def run_scenario(
    scenario: Scenario, n_worlds: int, seed: Sequence[int]
) -> tuple[list[Row], list[ErrorRow]]:
    """All diagnoses and tests of a scenario, over worlds of its own seeds."""
    law = law_of(scenario.plants)
    tallies = [_Tally(one.planted(law)) for one in scenario.diagnoses]
    rejected = [0] * len(scenario.tests)
    for number in range(n_worlds):
        world = draw_world(law, np.random.default_rng([*seed, number]))
        for tally, one in zip(tallies, scenario.diagnoses, strict=True):
            tally.add(_measured(one.measure, world))
        for place, test in enumerate(scenario.tests):
            rejected[place] += test.p_value(world) <= 1.0 - LEVEL
    rows = [
        Row(
            scenario.name,
            one.name,
            t.planted,
            t.example,
            t.total / t.n,
            t.n,
            t.n_undefined,
            t.above,
            t.below,
            one.least,
        )
        for one, t in zip(scenario.diagnoses, tallies, strict=True)
        if t.example is not None
    ]
    errors = [
        ErrorRow(scenario.name, test.name, n_worlds, count)
        for test, count in zip(scenario.tests, rejected, strict=True)
    ]
    return rows, errors


def _measured(measure: Callable[[World], Estimate | None], world: World) -> Estimate | None:
    try:
        return measure(world)
    except Undefined:
        return None
