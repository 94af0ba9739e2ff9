"""What came of a suite's prompts, counted: shares by policy and group, and paired changes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.agreement.annotations import IntArray
from pipelines.agreement.comparison import defined
from pipelines.agreement.intervals import Clusters, mean_of
from pipelines.agreement.paired import compare_paired, holm
from pipelines.evaluate.result import ChangeFound, GroupFound
from pipelines.generate.records import Candidate, text_hash

ALL = ""  # the group of all outcomes


@dataclass(frozen=True)
class Outcome:
    """Whether it happened (an attack succeeded, say) with one response."""

    policy: str
    prompt: str  # hash of the prompt's text
    group: str
    happened: bool
    candidate: Candidate

    @classmethod
    def of(cls, candidate: Candidate, group: str, happened: bool) -> "Outcome":
        """Of a response."""
        return cls(candidate.model, text_hash(candidate.prompt), group, happened, candidate)


def groups_found(
    outcomes: Sequence[Outcome], policies: Sequence[str], confidence: float
) -> tuple[GroupFound, ...]:
    """Shares of every policy: all of it first, then by group; prompts are the clusters."""
    names = _group_names(outcomes)
    found = []
    for group in names:
        for policy in policies:
            mine = [
                one
                for one in outcomes
                if one.policy == policy and (group == ALL or one.group == group)
            ]
            happened = np.array([one.happened for one in mine], dtype=np.float64)
            clusters = Clusters.of(_codes([one.prompt for one in mine]))
            share = defined(mean_of, happened, clusters, confidence=confidence)
            found.append(GroupFound(policy=policy, group=group, share=share))
    return tuple(found)


def changes_found(
    outcomes: Sequence[Outcome], policies: Sequence[str], confidence: float
) -> tuple[ChangeFound, ...]:
    """Every later policy against the first one, on the prompts to which both have an outcome."""
    found = []
    for group in _group_names(outcomes):
        sides = [
            {
                (one.prompt, one.group): float(one.happened)
                for one in outcomes
                if one.policy == policy and (group == ALL or one.group == group)
            }
            for policy in policies
        ]
        for policy, after in zip(policies[1:], sides[1:], strict=True):
            both = sorted(after.keys() & sides[0].keys())
            change = defined(
                compare_paired,
                np.array([after[key] for key in both]),
                np.array([sides[0][key] for key in both]),
                _codes([prompt for prompt, _ in both]),
                confidence=confidence,
            )
            if change is not None:
                found.append(
                    ChangeFound(
                        before=policies[0], after=policy, group=group, change=change, p_adjusted=1.0
                    )
                )
    adjusted = holm([one.change.p_value for one in found])
    return tuple(
        one.model_copy(update={"p_adjusted": p}) for one, p in zip(found, adjusted, strict=True)
    )


def _group_names(outcomes: Sequence[Outcome]) -> list[str]:
    names = sorted({one.group for one in outcomes})
    return [ALL] if len(names) < 2 else [ALL, *names]


def _codes(texts: Sequence[str]) -> IntArray:
    known: dict[str, int] = {}
    return np.array([known.setdefault(text, len(known)) for text in texts], dtype=np.int64)
