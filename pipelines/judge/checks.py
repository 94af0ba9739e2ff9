"""Mode check: each response alone against each principle, for the violations that rules need.

A comparison says which of two is better under a principle; only a check says whether one breaks it.
The judgment's label is the response that breaks less; what each breaks is in its `raw`.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.constitution.records import Principle
from pipelines.judge.asking import (
    FORM_TOKENS,
    Asking,
    Form,
    Step,
    ask_form,
    together,
)
from pipelines.judge.parse import Severity, parse_violation
from pipelines.judge.principles import asked_principles
from pipelines.judge.question import fill, response_text
from pipelines.judge.rules import PairViolations, RuleOptions, Violation, rule
from pipelines.judge.rules import Severity as Gravity
from pipelines.judge.spec import JudgeSpec
from pipelines.judge.template import Template
from pipelines.records import Failure, Judgment, PreferencePair


@dataclass(frozen=True)
class Check:
    """Whether one response breaks one principle, or why that is not known."""

    principle: str
    severity: Severity | None = None
    failure: Failure | None = None
    said: str | None = None


@dataclass(frozen=True)
class PairChecks:
    """All checks of a pair, in the order of the principles."""

    a: tuple[Check, ...]
    b: tuple[Check, ...]

    def violations(self) -> PairViolations | None:
        """What both violate; None when a check failed, for the rule must not guess."""
        if any(check.failure is not None for check in (*self.a, *self.b)):
            return None
        return PairViolations(a=_broken(self.a), b=_broken(self.b))


def check_pair(spec: JudgeSpec, template: Template, pair: PreferencePair) -> Step[PairChecks]:
    """Both responses against every principle of weight, by its critique question.

    Raises:
        BadInput: The template has no constitution.
    """
    asking = Asking(spec, template)
    principles = checked_principles(spec, template)
    shown_a = response_text(template.parts, pair.prompt, pair.response_a)
    shown_b = response_text(template.parts, pair.prompt, pair.response_b)
    checks = yield from together(
        [_check(asking, shown, one) for shown in (shown_a, shown_b) for one in principles]
    )
    return PairChecks(tuple(checks[: len(principles)]), tuple(checks[len(principles) :]))


def checked_principles(spec: JudgeSpec, template: Template) -> list[Principle]:
    """The principles that have weight; the judge's own weights go before the file's.

    Raises:
        BadInput: The template has no constitution.
    """
    return [principle for principle, _ in asked_principles(spec, template)]


def judge_by_checks(spec: JudgeSpec, template: Template, pair: PreferencePair) -> Step[Judgment]:
    """A judgment made of checks: who breaks what less badly is the better one, else it is a tie.

    One check that fails fails the judgment, for a rule must not guess.
    """
    checks = yield from check_pair(spec, template, pair)
    raw = json.dumps(
        {
            "checks": [
                {"principle": a.principle, "a": _kept(a), "b": _kept(b)}
                for a, b in zip(checks.a, checks.b, strict=True)
            ]
        },
        ensure_ascii=False,
    )
    violations = checks.violations()
    if violations is None:
        failures = Counter(
            check.failure for check in (*checks.a, *checks.b) if check.failure is not None
        )
        return Judgment(judge=spec.name, failure=failures.most_common(1)[0][0], raw=raw)
    ruling = rule("tie", None, violations, RuleOptions(worse_loses=True, both_severe="judge"))
    return Judgment(judge=spec.name, label=ruling.label, raw=raw)


def violations_said(raw: str | None) -> PairViolations | None:
    """What both responses break, by the `raw` of a judgment of mode check; None for any other."""
    if raw is None:
        return None
    try:
        kept = _AllKept.model_validate_json(raw)
    except ValidationError:  # the raw text of another mode, or of a check that failed
        return None
    return PairViolations(
        a=tuple(Violation(principle=one.principle, severity=one.a) for one in kept.checks if one.a),
        b=tuple(Violation(principle=one.principle, severity=one.b) for one in kept.checks if one.b),
    )


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid")

    principle: str
    a: Gravity | None
    b: Gravity | None


class _AllKept(BaseModel):
    model_config = ConfigDict(extra="forbid")

    checks: tuple[_Kept, ...]


def _kept(check: Check) -> str | dict[str, str | None] | None:
    if check.failure is not None:
        return {"failure": check.failure, "said": check.said}
    return None if check.severity == "none" else check.severity


def _check(asking: Asking, shown: str, principle: Principle) -> Step[Check]:
    ending = asking.template.parts.ending
    question = fill(ending.check, {"question": principle.critique_question.strip()})
    asked: Step[Form[Severity]] = ask_form(
        asking,
        asking.text(asking.opening(shown, question), FORM_TOKENS),
        parse_violation,
        fill(ending.check_repair, {}),
    )
    form = yield from asked
    said = form.said if form.failure is not None else None
    return Check(principle.id, form.value, form.failure, said)


def _broken(checks: Sequence[Check]) -> tuple[Violation, ...]:
    return tuple(
        Violation(principle=check.principle, severity=check.severity)
        for check in checks
        if check.severity is not None and check.severity != "none"
    )
