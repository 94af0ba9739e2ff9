"""The hard rule over a whole project: what is known to be violated, and the labels after it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from pipelines.agreement.annotations import LABEL_NAMES, NONE, BoolArray, FloatArray, IntArray
from pipelines.errors import BadInput
from pipelines.judge.checks import violations_said
from pipelines.judge.rules import PairViolations, RuleOptions, read_violations, rule
from pipelines.records import LABELS, Judgment
from pipelines.store import PairStore

_CODES = {name: code for code, name in enumerate(LABEL_NAMES)}


@dataclass(frozen=True)
class Known:
    """What the responses of a project's pairs violate."""

    checked: BoolArray  # (n_pairs,)
    broken: Mapping[int, PairViolations]  # by row; where both responses are clean there is none

    def of(self, row: int) -> PairViolations | None:
        """What a pair's responses violate; None where nobody checked."""
        return self.broken.get(row, PairViolations()) if self.checked[row] else None


@dataclass(frozen=True)
class Ruled:
    """The labels after the rule; arrays have n_pairs rows."""

    label: IntArray  # codes
    p_a: FloatArray  # 1 or 0 where the rule decided, else as it was
    dropped: BoolArray  # both violate, and such pairs go
    flags: dict[int, str]  # by row; "unchecked" is not among them, it is the pairs not checked
    n_ruled: int  # pairs that the rule decided
    n_overturned: int  # of them, against the judge's label

    def counts(self) -> dict[str, int]:
        """How many pairs have each flag."""
        found: dict[str, int] = {}
        for flag in self.flags.values():
            found[flag] = found.get(flag, 0) + 1
        return found


def known_violations(store: PairStore, checker: str | None) -> Known:
    """What a judge of mode check found, else what `meta.violations` says.

    Args:
        store: The project's pairs.
        checker: The judge; None where there is none.

    Raises:
        BadInput: The judge has no verdicts of its own here, or none that are checks; or
            `meta.violations` says something else than violations.
    """
    checked = np.zeros(len(store), dtype=np.bool_)
    broken: dict[int, PairViolations] = {}
    ids: list[str] = []
    meta = store.meta_values("violations")
    for row in np.flatnonzero(meta != None).tolist():  # noqa: E711  # elementwise
        ids = ids or store.pair_ids()
        _note(row, read_violations(meta[row], ids[row]), checked, broken)
    if checker is None:
        return Known(checked, broken)
    n_checks = 0
    for row, raw in store.said_by(checker):
        said = violations_said(raw)
        if said is not None:
            n_checks += 1
            broken.pop(row, None)
            _note(row, said, checked, broken)
    if not n_checks:
        raise BadInput(
            f'judge "{checker}" has checked no pair; give it mode = "check" and a constitution, '
            f"then run `workbench judge {checker}`"
        )
    return Known(checked, broken)


def apply_rule(label: IntArray, p_a: FloatArray, known: Known, options: RuleOptions) -> Ruled:
    """Every label under the hard rule.

    Args:
        label: A judge's labels, codes of shape (n_pairs,).
        p_a: Its soft labels.
        known: What is violated.
        options: Who wins when both violate.
    """
    made, soft = label.astype(np.int8), p_a.copy()
    dropped = np.zeros(len(label), dtype=np.bool_)
    flags: dict[int, str] = {}
    n_ruled = n_overturned = 0
    for row, violations in known.broken.items():
        said = None if label[row] == NONE else LABELS[int(label[row])]
        p = float(p_a[row])
        ruling = rule(said, None if p != p else p, violations, options)
        if ruling.flag is not None:
            flags[row] = ruling.flag
        dropped[row] = ruling.dropped
        if ruling.by == "rule" and ruling.label is not None and ruling.p_a is not None:
            n_ruled += 1
            n_overturned += ruling.flag == "the rule overturns the judge"
            made[row], soft[row] = _CODES[ruling.label], ruling.p_a
    return Ruled(made, soft, dropped, flags, n_ruled, n_overturned)


def ruled_judgments(made: Ruled, name: str) -> Iterator[tuple[int, Judgment]]:
    """The labels as judgments by row, in order; a pair that the rule drops has none."""
    for row in np.flatnonzero((made.label != NONE) & ~made.dropped).tolist():
        p = float(made.p_a[row])
        label = LABELS[int(made.label[row])]
        yield (
            row,
            Judgment(
                judge=name, label=label, p_a=None if p != p else p, rationale=made.flags.get(row)
            ),
        )


def _note(
    row: int, said: PairViolations, checked: BoolArray, broken: dict[int, PairViolations]
) -> None:
    checked[row] = True
    if said.a or said.b:
        broken[row] = said
