"""One simulated audit, drawn from a law: verdicts, votes and everything the statistics read."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipelines.agreement.annotations import FloatArray, IntArray
from workbench.selftest.law import Law

# Clustered worlds: share of pairs that repeat their prompt's first pair, with its votes.
TOGETHER = 0.4


@dataclass(frozen=True, eq=False)  # a world is its own, so that a diagnosis of it can be kept
class World:
    """Arrays of shape (n_pairs,) in draw order; the first `n_overlap` pairs have a second vote."""

    law: Law
    atom: IntArray
    prompt: IntArray
    human: IntArray  # the vote of whom the first slot fell to
    person: IntArray
    second: IntArray  # (n_overlap,)
    second_person: IntArray  # (n_overlap,)
    spare: FloatArray  # uniform, for a second stage of drawing

    @cached_property
    def label(self) -> IntArray:
        """The judge's combined labels."""
        return self.law.label[self.atom]

    @cached_property
    def p_a(self) -> FloatArray:
        """The judge's combined probabilities."""
        return self.law.p_a[self.atom]

    @property
    def n_overlap(self) -> int:
        """Pairs with two votes."""
        return len(self.second)

    @cached_property
    def overlap_counts(self) -> IntArray:
        """How many people gave each label, shape (n_overlap, 3)."""
        first = np.eye(3, dtype=np.int64)[self.human[: self.n_overlap]]
        return np.asarray(first + np.eye(3, dtype=np.int64)[self.second])


def draw_world(law: Law, rng: np.random.Generator) -> World:
    """An audit of pairs drawn from a population so large that draws do not change it."""
    plants = law.plants
    n = plants.n_pairs
    prompt = np.arange(n)
    u = rng.random((5, n))
    person = rng.integers(0, 3, n)
    if plants.clustered:
        prompt = np.sort(rng.integers(0, n // 2, n))
        _, start, inverse = np.unique(prompt, return_index=True, return_inverse=True)
        same = rng.random(n) < TOGETHER
        source = np.where(same, start[inverse], np.arange(n))
        u, person = u[:, source], person[source]
        shuffled = rng.permutation(n)
        prompt, u, person = prompt[shuffled], u[:, shuffled], person[shuffled]
    atom = np.minimum(np.searchsorted(law.cumulative, u[0], side="right"), len(law.chance) - 1)
    n_overlap = round(plants.overlap * n)
    other = (person + 1 + (u[3] < 0.5)) % 3
    return World(
        law=law,
        atom=atom,
        prompt=prompt,
        human=_votes(law, atom, person, u[1]),
        person=person,
        second=_votes(law, atom[:n_overlap], other[:n_overlap], u[2, :n_overlap]),
        second_person=other[:n_overlap],
        spare=u[4],
    )


def _votes(law: Law, atom: IntArray, person: IntArray, u: FloatArray) -> IntArray:
    odds = np.cumsum(law.human[person, atom], axis=1)
    return np.asarray((u[:, None] > odds[:, :2]).sum(axis=1))
