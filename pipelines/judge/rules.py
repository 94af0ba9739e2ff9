"""The constitution as a rule over judgments: as a hard rule, as a filter, as weights.

Pure functions on a pair's label and on what each response violates (`pipelines.judge.checks`, a
critique, or `meta.violations` of an imported pair). A pair that was not checked is never ruled on.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from pipelines.errors import BadInput
from pipelines.records import Label, Record

Severity = Literal["minor", "severe"]
Flag = Literal["unchecked", "both violate", "both violate severely", "the rule overturns the judge"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]

_GRAVITY: dict[Severity | None, int] = {None: 0, "minor": 1, "severe": 2}


class Violation(Record):
    """A principle that a response breaks."""

    principle: Annotated[str, Field(min_length=1)]
    severity: Severity = "severe"


class PairViolations(Record):
    """What each response of a pair violates; both were checked."""

    a: tuple[Violation, ...] = ()
    b: tuple[Violation, ...] = ()

    def swap(self) -> "PairViolations":
        """The same for the pair with its responses exchanged."""
        return PairViolations(a=self.b, b=self.a)


class RuleOptions(Record):
    """How the constitution rules.

    `principles` are those that count (all, if empty), `from_severity` the least gravity that does.
    When both responses violate, the judge decides and the pair is flagged, or the worse one loses
    first (`worse_loses`), or the pair is dropped; `both_severe` says so for severe on both sides.
    """

    principles: tuple[str, ...] = ()
    from_severity: Severity = "minor"
    worse_loses: bool = False
    both: Literal["judge", "drop"] = "judge"
    both_severe: Literal["judge", "drop"] = "drop"


class WeightOptions(Record):
    """What a pair weighs by the worst violation of its preferred response.

    `upheld` multiplies pairs in which the preferred response is clean and the other is not.
    """

    principles: tuple[str, ...] = ()
    minor: Share = 0.5
    severe: Share = 0.0
    upheld: Annotated[float, Field(gt=0.0)] = 1.0


@dataclass(frozen=True)
class Ruling:
    """A pair's label after the rule. A dropped pair has none; `p_a` is 1 or 0 where it ruled."""

    label: Label | None
    p_a: float | None
    by: Literal["rule", "judge"]
    flag: Flag | None = None
    dropped: bool = False


def read_violations(given: object, pair_id: str | None) -> PairViolations:
    """The value of `meta.violations` of a pair.

    Raises:
        BadInput: It says something else.
    """
    try:
        return TypeAdapter(PairViolations).validate_python(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in ("meta", "violations", *first["loc"]))
        raise BadInput(
            f'pair "{pair_id}": {where}: {first["msg"].lower()}; write '
            '{"a": [{"principle": "...", "severity": "minor" or "severe"}], "b": []}'
        ) from error


def worst(violations: Iterable[Violation], principles: tuple[str, ...] = ()) -> Severity | None:
    """The gravest severity among the principles that count; None for a clean response."""
    counted = [one.severity for one in violations if not principles or one.principle in principles]
    return max(counted, key=lambda severity: _GRAVITY[severity], default=None)


def rule(
    label: Label | None,
    p_a: float | None,
    violations: PairViolations | None,
    options: RuleOptions,
) -> Ruling:
    """The hard rule: a response that violates loses to one that does not, whatever the judge says.

    Args:
        label: The judge's label; None when it failed or abstained.
        p_a: Its soft label.
        violations: What both responses violate; None when they were not checked.
        options: Who wins when both violate.
    """
    if violations is None:
        return Ruling(label, p_a, by="judge", flag="unchecked")
    least = _GRAVITY[options.from_severity]
    a = _GRAVITY[worst(violations.a, options.principles)]
    b = _GRAVITY[worst(violations.b, options.principles)]
    a, b = (a if a >= least else 0), (b if b >= least else 0)
    if (a > 0) != (b > 0) or (options.worse_loses and a != b):
        winner: Label = "A" if a < b else "B"
        overturned = label is not None and label != winner
        return Ruling(
            winner,
            1.0 if winner == "A" else 0.0,
            by="rule",
            flag="the rule overturns the judge" if overturned else None,
        )
    if a == 0:
        return Ruling(label, p_a, by="judge")
    severe = a == b == _GRAVITY["severe"]
    flag: Flag = "both violate severely" if severe else "both violate"
    if (options.both_severe if severe else options.both) == "drop":
        return Ruling(None, None, by="rule", flag=flag, dropped=True)
    return Ruling(label, p_a, by="judge", flag=flag)


def filtered_out(
    label: Label | None, violations: PairViolations | None, options: RuleOptions
) -> str | None:
    """As a filter: why a pair is left out, or None for one that stays.

    A pair stays when the response that it prefers is clean; a tie when both are. Unlike the hard
    rule, no label changes.
    """
    if violations is None:
        return None
    least = _GRAVITY[options.from_severity]
    bad_a = _GRAVITY[worst(violations.a, options.principles)] >= least
    bad_b = _GRAVITY[worst(violations.b, options.principles)] >= least
    if bad_a and bad_b:
        return "both responses violate the constitution"
    if (label == "A" and bad_a) or (label == "B" and bad_b):
        return "the preferred response violates the constitution"
    if label == "tie" and (bad_a or bad_b):
        return "one response of a tie violates the constitution"
    return None


def weight(label: Label | None, violations: PairViolations | None, options: WeightOptions) -> float:
    """As weights: what a pair counts in training, 1 where the constitution has nothing to say."""
    if violations is None or label is None:
        return 1.0
    a = worst(violations.a, options.principles)
    b = worst(violations.b, options.principles)
    factor: dict[Severity | None, float] = {
        None: 1.0,
        "minor": options.minor,
        "severe": options.severe,
    }
    if label == "tie":
        return min(factor[a], factor[b])
    preferred, other = (a, b) if label == "A" else (b, a)
    return factor[preferred] * (options.upheld if preferred is None and other is not None else 1.0)
