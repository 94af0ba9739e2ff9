"""The constitution in `workbench pairs`: whose findings count, and what they do to the pairs."""

import numpy as np
import numpy.typing as npt

from pipelines.config import PairsSection
from pipelines.errors import BadInput
from pipelines.judge.ruled import Known, Ruled
from pipelines.judge.rules import RuleOptions, WeightOptions, filtered_out, weight
from pipelines.preferences.curate import AI, Curated
from pipelines.preferences.sieve import Sieve
from pipelines.records import LABELS
from workbench.project import Project


def rule_options(options: PairsSection) -> RuleOptions:
    """The hard rule as `[pairs]` sets it."""
    return RuleOptions(
        principles=options.principles,
        from_severity=options.from_severity,
        worse_loses=options.worse_loses,
        both=options.both_violate,
        both_severe=options.both_severe,
    )


def checker_of(project: Project, asked: str) -> str | None:
    """The judge of mode check whose findings count; None where there is none.

    Args:
        project: The project.
        asked: Its name; empty for the only one.

    Raises:
        BadInput: Several have checked, and none is named.
    """
    if asked:
        return asked
    there = {file.judge for file in project.store.manifest().judged}
    found = [
        spec.name for spec in project.config.judges if spec.mode == "check" and spec.name in there
    ]
    if len(found) > 1:
        raise BadInput(
            f"several judges have checked the pairs ({', '.join(found)}); name one as checks in "
            "the section pairs of project.toml, or by --checks"
        )
    return found[0] if found else None


def uphold(
    curated: Curated,
    sieve: Sieve,
    known: Known | None,
    ruled: Ruled | None,
    options: PairsSection,
) -> npt.NDArray[np.float64]:
    """The constitution's step; returns what each pair weighs by it. People's labels stand."""
    n = len(sieve.alive)
    weights = np.ones(n)
    if known is None:
        sieve.drop("constitution", "off", {})
        return weights
    broken: dict[str, npt.NDArray[np.bool_]] = {}
    notes = {"not checked": int((sieve.alive & ~known.checked).sum())}
    by_weight = WeightOptions(
        principles=options.principles, minor=options.minor_weight, severe=options.severe_weight
    )
    by_ai = curated.source == AI
    for row, violations in known.broken.items():
        if not sieve.alive[row]:
            continue
        why = None
        label = LABELS[int(curated.label[row])]
        if options.constitution == "weights":
            weights[row] = weight(label, violations, by_weight)
        elif options.constitution == "filter":
            why = filtered_out(label, violations, rule_options(options))
        elif ruled is not None and by_ai[row]:
            flag = ruled.flags.get(row)
            if flag is not None:
                notes[flag] = notes.get(flag, 0) + 1
            why = flag if ruled.dropped[row] else None
        if why is not None:
            broken.setdefault(why, np.zeros(n, dtype=np.bool_))[row] = True
    if not known.checked.any():
        notes = {}
    sieve.drop("constitution", options.constitution, broken, notes)
    return weights
