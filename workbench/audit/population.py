"""The pairs a round draws from: who is in N, who left it and why, and which stratum each is in."""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.agreement.annotations import LABEL_NAMES, NONE, Annotations
from pipelines.errors import BadInput
from pipelines.preferences.combine import RULES, combine, is_derived
from pipelines.records import PreferencePair
from workbench.audit.design import MAIN, SAFETY, SafetyRule, Stratum
from workbench.project import Project

IN_N, FAILED, ABSTAINED, NO_VERDICT, OTHER_ROUND = 0, 1, 2, 3, 4
REASONS = ("", "failed", "abstained", "no verdict", "drawn in another round")


@dataclass(frozen=True)
class Population:
    """The imported pairs as a round sees them, in store order.

    `label` (n_pairs,) holds the codes A, B, tie or none of the audited label; `p_a` (n_pairs,) is
    NaN where nothing is known; `reason` (n_pairs,) says why a pair is not in N (0: it is);
    `safety` (n_pairs,) marks safety-critical pairs.
    """

    pair_ids: Sequence[str]
    label: npt.NDArray[np.int8]
    p_a: npt.NDArray[np.float64]
    reason: npt.NDArray[np.int8]
    safety: npt.NDArray[np.bool_]

    def member_rows(self, stratum: str) -> npt.NDArray[np.intp]:
        """All rows of a stratum, whether in N or not."""
        return np.flatnonzero(self.safety == (stratum == SAFETY))

    def rows(self, stratum: str) -> npt.NDArray[np.intp]:
        """Rows of a stratum that are in N."""
        return np.flatnonzero((self.reason == IN_N) & (self.safety == (stratum == SAFETY)))

    def excluded(self, stratum: str) -> dict[str, int]:
        """Pairs of a stratum that left N, by reason."""
        counts = Counter(self.reason[self.member_rows(stratum)].tolist())
        return {REASONS[code]: counts[code] for code in sorted(counts) if code != IN_N}

    def hash(self, stratum: str) -> str:
        """SHA-256 of the stratum's pairs in N with their labels, whatever their order."""
        rows = self.rows(stratum)
        label, p_a = self.label[rows].tolist(), self.p_a[rows].tolist()
        lines = [
            f"{self.pair_ids[row]}\t{LABEL_NAMES[value]}\t{'' if p != p else f'{p:.9g}'}\n"
            for row, value, p in zip(rows.tolist(), label, p_a, strict=True)
        ]
        return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def choose_label(annotations: Annotations, label: str) -> str:
    """The label to audit: the one asked for, or the only judge's.

    Raises:
        BadInput: No judge, an unknown name, or several judges and none named.
    """
    judges = annotations.judges
    if not judges:
        raise BadInput("this project holds no AI verdict; import pairs with an `ai` entry")
    if not label:
        originals = [judge for judge in judges if not is_derived(judge)]
        if len(originals) == 1:
            return originals[0]
        raise BadInput(
            f"this project holds several judges ({', '.join(judges)}); say whose labels to audit: "
            f"--label JUDGE, or a rule over them ({', '.join(RULES)})"
        )
    if label not in judges and label not in RULES:
        raise BadInput(
            f"no judge is called {label!r}; choose one of {', '.join([*judges, *RULES])}"
        )
    return label


def read_population(
    project: Project,
    label: str,
    safety: SafetyRule,
    n_imported: int | None = None,
    without: frozenset[str] = frozenset(),
) -> Population:
    """The pairs imported so far (or the first `n_imported`), with the audited label of each.

    The store only grows at its end, so the first rows are the same at every later time.

    Args:
        project: Whose store is read.
        label: A judge's name or a rule over judges.
        safety: Which pairs are safety-critical.
        n_imported: Rows to read; all of them where None.
        without: Ids of pairs that leave N, because another round drew them.
    """
    annotations = project.annotations()
    pair_ids = list(project.store.pair_ids())
    n = len(pair_ids) if n_imported is None else n_imported
    if n > len(pair_ids):
        raise BadInput(
            f"the round was drawn from {n} imported pairs and the store holds {len(pair_ids)}; "
            "restore runs/imported as it was"
        )
    combined = combine(annotations, label)
    pair_ids = pair_ids[:n]
    values = combined.label[:n].astype(np.int8)
    reason = np.where(values != NONE, IN_N, _why_none(annotations, label)[:n]).astype(np.int8)
    if without:
        drawn = np.fromiter((pair_id in without for pair_id in pair_ids), np.bool_, n)
        reason[drawn] = OTHER_ROUND
    return Population(
        pair_ids=pair_ids,
        label=values,
        p_a=combined.p_a[:n],
        reason=reason,
        safety=_safety_critical(project, safety, n),
    )


def critical_pairs(project: Project) -> npt.NDArray[np.bool_]:
    """Which pairs are safety-critical by `[audit.safety]`, shape (n_pairs,)."""
    section = project.config.audit.safety
    rule = SafetyRule(subsets=section.subsets, tags=section.tags, pattern=section.pattern)
    return _safety_critical(project, rule, len(project.store))


def _why_none(annotations: Annotations, label: str) -> npt.NDArray[np.int8]:
    """Reason of each pair, (n_pairs,), where its label turns out to be none."""
    mine = np.ones(len(annotations.verdict_pair), dtype=np.bool_)
    if label in annotations.judges:
        mine = annotations.verdict_judge == annotations.judges.index(label)
    answered = annotations.verdict_failure == -1
    reason = np.full(annotations.n_pairs, NO_VERDICT, dtype=np.int8)
    reason[annotations.verdict_pair[mine]] = FAILED
    reason[annotations.verdict_pair[mine & answered]] = ABSTAINED
    return reason


def _safety_critical(project: Project, rule: SafetyRule, n: int) -> npt.NDArray[np.bool_]:
    critical = np.zeros(n, dtype=np.bool_)
    if rule.subsets:
        critical |= np.isin(project.store.features()["subset"][:n], rule.subsets)
    if rule.tags:
        wanted = frozenset(rule.tags)
        for key in ("tags", "tag"):
            found = project.store.meta_values(key)[:n]
            for row in np.flatnonzero(found != None):  # noqa: E711  # elementwise
                critical[row] |= not wanted.isdisjoint(_texts(found[row]))
    if rule.pattern:
        pattern = re.compile(rule.pattern, re.IGNORECASE)
        for place, pair in zip(range(n), project.store.iter_pairs(), strict=False):
            critical[place] |= pattern.search(prompt_text(pair)) is not None
    return critical


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str)]


def prompt_text(pair: PreferencePair) -> str:
    """The prompt as one text, turns on lines of their own."""
    if isinstance(pair.prompt, str):
        return pair.prompt
    return "\n".join(turn.content for turn in pair.prompt)


def strata_of(population: Population) -> list[Stratum]:
    """The strata that this population has: main always, safety where a pair is critical."""
    return [MAIN, SAFETY] if population.safety.any() else [MAIN]
