"""Pairs on their way through the steps of `workbench pairs`: who is left, who went, and why."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pipelines.agreement.annotations import BoolArray
from pipelines.preferences.curate import Counts, Step, tallies

KEPT = ""


class Sieve:
    """Each pair leaves at one step, for one reason; the counts of all steps add up."""

    def __init__(self, n_pairs: int):
        self.alive: BoolArray = np.ones(n_pairs, dtype=np.bool_)
        self._reasons: list[str] = [KEPT]
        self._reason = np.zeros(n_pairs, dtype=np.int16)
        self.steps: list[Step] = []

    def drop(
        self,
        name: str,
        policy: str,
        reasons: Mapping[str, BoolArray],
        notes: Mapping[str, int] | None = None,
    ) -> Step:
        """One step: pairs still here leave under the first reason that holds for them.

        Args:
            name: What the step is called.
            policy: Its setting, as a person reads it.
            reasons: Which pairs each reason holds for, shape (n_pairs,) each.
            notes: Further counts.
        """
        n_in = int(self.alive.sum())
        dropped: dict[str, int] = {}
        for reason, holds in reasons.items():
            gone = self.alive & holds
            if gone.any():
                dropped[reason] = int(gone.sum())
                self._reason[gone] = len(self._reasons)
                self._reasons.append(reason)
                self.alive &= ~gone
        step = Step(name, policy, n_in, int(self.alive.sum()), dropped, dict(notes or {}))
        self.steps.append(step)
        return step

    def reasons(self) -> list[str]:
        """Why each pair left, "" for those that are here; in pair order."""
        return [self._reasons[code] for code in self._reason.tolist()]

    def counts(self, source: npt.NDArray[np.integer], label: npt.NDArray[np.integer]) -> Counts:
        """All steps, and where the labels of the pairs that are here come from.

        Args:
            source: Index into `curate.SOURCES`, shape (n_pairs,).
            label: Label codes, same shape.
        """
        by_source, by_label = tallies(source[self.alive], label[self.alive])
        return Counts(
            len(self.alive), int(self.alive.sum()), tuple(self.steps), by_source, by_label
        )
