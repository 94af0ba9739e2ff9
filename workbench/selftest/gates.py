"""The gate on the very lines that it guards: how often a round says what is not so.

Watched after every label, in populations whose agreement is exactly the line: whatever it then
says, TRUST above it or WARN below it, is an error.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.agreement.active_simulation import simulate_active
from pipelines.agreement.decision import Decision, Gate
from pipelines.agreement.sequence import ppr_interval
from pipelines.agreement.simulation import Simulated, simulate_uniform
from workbench.selftest.coverage import ErrorRow

N_POPULATION, N_DRAW = 4000, 600
TIE_SHARE = 0.2
_BATCH = 500


@dataclass(frozen=True)
class GateWorlds:
    """Rounds of one kind on one line; `auroc` None is a uniform draw."""

    name: str
    gate: Gate
    theta: float
    tie_share: float = 0.0
    auroc: float | None = None

    def simulate(self, n_rounds: int, rng: np.random.Generator) -> Simulated:
        """So many rounds."""
        if self.auroc is None:
            return simulate_uniform(
                self.gate,
                N_POPULATION,
                self.theta,
                N_DRAW,
                n_rounds,
                rng,
                tie_share=self.tie_share,
            )
        return simulate_active(
            self.gate,
            N_POPULATION,
            self.theta,
            N_DRAW // 2,
            n_rounds,
            rng,
            auroc=self.auroc,
            tie_share=self.tie_share,
        )


def gate_worlds() -> list[GateWorlds]:
    """On both lines: uniform rounds that count ties and that do not, and active ones."""
    found = []
    for theta in (0.80, 0.75):
        line = f"agreement {theta:.2f}"
        found += [
            GateWorlds(f"{line}, ties count", Gate(ties="strict"), theta),
            GateWorlds(f"{line}, decisive, 20% ties", Gate(), theta, TIE_SHARE),
            GateWorlds(f"{line}, active, AUROC .85", Gate(ties="strict"), theta, auroc=0.85),
            GateWorlds(
                f"{line}, active, confidence reversed", Gate(ties="strict"), theta, auroc=0.15
            ),
        ]
    return found


def run_gates(worlds: GateWorlds, n_rounds: int, seed: Sequence[int]) -> list[ErrorRow]:
    """The share of rounds that end on each side on which nothing is so."""
    rng = np.random.default_rng(list(seed))
    wrong: list[Decision] = (
        ["TRUST", "BETWEEN"] if worlds.theta >= worlds.gate.trust_above else ["WARN", "BETWEEN"]
    )
    counts = dict.fromkeys(wrong, 0)
    left = n_rounds
    while left:
        n = min(left, _BATCH)
        done = worlds.simulate(n, rng)
        for decision in wrong:
            counts[decision] += round(done.share(decision) * n)
        left -= n
    return [
        ErrorRow(worlds.name, f"gate says {decision}", n_rounds, count)
        for decision, count in counts.items()
    ]


def run_interval(n_rounds: int, seed: Sequence[int]) -> ErrorRow:
    """How often the gate's anytime interval leaves the truth at any label at all."""
    rng = np.random.default_rng(list(seed))
    n_agree = round(0.8 * N_POPULATION)
    labels = np.arange(1, N_DRAW + 1)
    left_it = 0
    for _ in range(n_rounds):
        drawn = rng.choice(N_POPULATION, N_DRAW, replace=False)
        low, high = ppr_interval(np.cumsum(drawn < n_agree), labels, N_POPULATION, 0.05)
        left_it += bool(((low > 0.8 + 1e-9) | (high < 0.8 - 1e-9)).any())
    return ErrorRow(
        "agreement 0.80, ties count", "anytime interval, at every label", n_rounds, left_it
    )
