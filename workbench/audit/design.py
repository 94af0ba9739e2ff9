"""The design of a round: everything that is decided before the first label, frozen with the draw.

Changing any of it starts a new round. The design is stored with the round as JSON, and its hash
stands in every certificate.
"""

import hashlib
import json
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from pipelines.records import Record

Mode = Literal["uniform", "active"]
Ties = Literal["decisive", "strict"]

Stratum = Literal["main", "safety"]

MAIN: Stratum = "main"
SAFETY: Stratum = "safety"
EDGE = "edge"  # of items queued in addition; never of a certificate

DRAW_RULE = (
    "uniform without replacement: a stratum's pairs, with a label, sorted by the SHA-256 of "
    "'seed|round|stratum|pair id' in UTF-8; the draw takes them from the start"
)
LABEL_RULE = (
    "the mean p_a of a judge's verdicts on a pair, above one half A, below it B; without p_a the "
    "verdicts must agree, else the judge abstains, as it does where it is less sure than its "
    "abstain_below; failures and abstentions are not in N"
)


class GateDesign(Record):
    """The lines of a gate, declared before the draw; equal lines are a single one.

    `alpha` is the level of each one-sided test before earlier rounds on the same labels are paid.
    """

    trust_above: float = Field(default=0.80, gt=0.0, lt=1.0)
    warn_below: float = Field(default=0.75, gt=0.0, lt=1.0)
    alpha: float = Field(default=0.05, gt=0.0, lt=0.5)
    ties: Ties = "decisive"

    @model_validator(mode="after")
    def _lines_in_order(self) -> Self:
        if self.warn_below > self.trust_above:
            raise ValueError(
                f"warn_below ({self.warn_below}) must not be above trust_above ({self.trust_above})"
            )
        return self


class SafetyRule(Record):
    """Which pairs are safety-critical: any of these makes a pair one."""

    subsets: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()  # of meta.tags, or meta.tag
    pattern: str = ""  # a regular expression, searched in the prompt, upper and lower case alike


class EarlierRound(Record):
    """A round drawn before on the same labels; each that had a chance to decide halves alpha."""

    name: str
    alpha: float
    decision: str | None
    spends: bool  # false only for a round that was closed before its first label


class SliceCount(Record):
    """How many pairs of a stratum's population each value of a slice has."""

    name: str
    declared: bool
    counts: dict[str, int]


class StratumDesign(Record):
    """One population with its own permutation, gate and alpha."""

    name: Stratum
    gate: GateDesign
    n_population: int = Field(ge=0)
    n_asked: int = Field(ge=0)  # pairs drawn at first; an extension goes on from there
    excluded: dict[str, int]  # pairs that left N, by reason
    population_hash: str  # SHA-256 of the sorted lines "pair id<TAB>label<TAB>p_a"
    earlier_rounds: tuple[EarlierRound, ...] = ()
    slices: tuple[SliceCount, ...] = ()

    @property
    def n_earlier(self) -> int:
        """How many earlier rounds on the same labels this one pays for."""
        return sum(earlier.spends for earlier in self.earlier_rounds)

    @property
    def alpha(self) -> float:
        """The level of each test after paying for the earlier rounds."""
        return float(self.gate.alpha / 2**self.n_earlier)


class RoundDesign(Record):
    """What a round audits, how its pairs are drawn, and how its labels will be read."""

    version: Literal[1] = 1
    name: str = Field(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]*$")
    label: str = Field(min_length=1)  # a judge's name, or a rule over judges
    label_rule: str = LABEL_RULE
    kind_of_label: Literal["the judge's own labels"] = "the judge's own labels"
    seed: int
    mode: Mode = "uniform"
    draw_rule: str = DRAW_RULE
    n_imported: int  # rows in the store at the draw; later imports are not in the population
    strata: tuple[StratumDesign, ...]
    safety: SafetyRule = SafetyRule()
    overlap: float = Field(default=0.15, ge=0.0, le=1.0)
    slices: tuple[str, ...] = ("complexity",)
    edge_cases: int = Field(default=0, ge=0)
    without_rounds: tuple[str, ...] = ()  # pairs drawn in these rounds left N
    lease_minutes: float = Field(default=10.0, gt=0.0)
    seconds_per_pair: float = Field(default=45.0, gt=0.0)
    criteria: tuple[str, ...] = ()
    error_tags: tuple[str, ...] = ()
    guidelines: str = ""  # the text that annotators read, as it stood at the draw
    guidelines_hash: str = ""

    def stratum(self, name: str) -> StratumDesign | None:
        """The stratum of that name, where the round has it."""
        return next((stratum for stratum in self.strata if stratum.name == name), None)

    def is_active(self, stratum: str) -> bool:
        """Whether a stratum is drawn in stages by the judge's confidence; safety never is."""
        return self.mode == "active" and stratum == MAIN

    def as_json(self) -> dict[str, Any]:
        """The form that the round's row and the certificate hold."""
        return self.model_dump(mode="json")

    def hash(self) -> str:
        """SHA-256 of the design as canonical JSON (sorted keys, no blanks)."""
        return canonical_hash(self.as_json())


def text_hash(text: str) -> str:
    """SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def canonical_hash(value: object) -> str:
    """SHA-256 of a JSON value: sorted keys, no blanks, UTF-8."""
    return text_hash(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False))
