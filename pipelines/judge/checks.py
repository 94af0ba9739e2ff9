"""Each response alone against each principle: the violations that the hard rule needs.

A comparison says which of two is better under a principle; only a check says whether one breaks it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.constitution.records import Principle
from pipelines.errors import BadInput
from pipelines.judge.asking import (
    FORM_TOKENS,
    Asking,
    Step,
    ask_form,
    together,
)
from pipelines.judge.parse import Severity, parse_violation
from pipelines.judge.question import fill, response_text
from pipelines.judge.rules import PairViolations, Violation
from pipelines.judge.spec import JudgeSpec
from pipelines.judge.template import Template
from pipelines.records import Failure, PreferencePair


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
    if template.constitution is None:
        raise BadInput(f'judge "{spec.name}": checks need a constitution; set constitution')
    asking = Asking(spec, template)
    principles = [one for one in template.constitution.principles if one.weight > 0]
    shown_a = response_text(template.parts, pair.prompt, pair.response_a)
    shown_b = response_text(template.parts, pair.prompt, pair.response_b)
    checks = yield from together(
        [_check(asking, shown, one) for shown in (shown_a, shown_b) for one in principles]
    )
    return PairChecks(tuple(checks[: len(principles)]), tuple(checks[len(principles) :]))


def _check(asking: Asking, shown: str, principle: Principle) -> Step[Check]:
    ending = asking.template.parts.ending
    question = fill(ending.check, {"question": principle.critique_question.strip()})
    form = yield from ask_form(
        asking,
        asking.text(asking.opening(shown, question), FORM_TOKENS),
        parse_violation,
        fill(ending.check_repair, {}),
    )
    said = form.said if form.failure is not None else None
    severity = None if form.value is None else form.value.severity
    return Check(principle.id, severity, form.failure, said)


def _broken(checks: Sequence[Check]) -> tuple[Violation, ...]:
    return tuple(
        Violation(principle=check.principle, severity=check.severity)
        for check in checks
        if check.severity is not None and check.severity != "none"
    )
