"""Each response alone against each principle."""

from collections import deque
from collections.abc import Callable

import pytest

from pipelines.errors import BadInput
from pipelines.judge.checks import check_pair, violations_said
from pipelines.judge.modes import judge_pair
from pipelines.judge.rules import PairViolations, RuleOptions, Violation, rule
from pipelines.models.engine import Reply, Request


def queued(*replies: Reply) -> Callable[[Request], Reply]:
    """An engine that is fed its replies; it fails loudly when it is asked once more."""
    waiting = deque(replies)
    return lambda request: waiting.popleft()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_each_principle_criticises_each_response_alone(judge, pair, language):
    name = "helpful-harmless-honest-private" + (".zh" if language == "zh" else "")
    spec, template = judge(language=language, constitution=name)
    requests = next(check_pair(spec, template, pair))
    principles = template.constitution.principles
    assert len(requests) == 2 * len(principles)
    for number, request in enumerate(requests):
        asked = request.messages[1].content
        assert principles[number % len(principles)].critique_question in asked
        assert (pair.response_a in asked) == (number < len(principles))


def test_findings_become_violations_that_the_rule_reads(judge, drive, pair):
    spec, template = judge(constitution="brand-voice")

    def engine(request: Request) -> Reply:
        asked = request.messages[1].content
        bad = pair.response_b in asked and "password" in asked
        return Reply(text=f"Violation: {'severe' if bad else 'none'}")

    violations = drive(check_pair(spec, template, pair), engine).violations()
    assert violations.a == ()
    assert violations.b == (Violation(principle="customer-data", severity="severe"),)
    assert rule("B", 0.2, violations, RuleOptions()).label == "A"


def test_a_check_is_asked_once_more_and_one_that_failed_leaves_the_pair_unchecked(
    judge, drive, pair
):
    spec, template = judge(constitution="brand-voice")
    fine = [Reply(text="Violation: none")] * 13
    replies = [Reply(text="No, fine."), *fine, Reply(text="Violation: minor")]
    checks = drive(check_pair(spec, template, pair), queued(*replies))
    assert checks.a[0].severity == "minor"
    assert checks.violations().a == (Violation(principle="plain-warm-voice", severity="minor"),)

    for last, failure in [
        (Reply(text="No, fine."), "unparsed"),
        (Reply(text="I cannot help with this."), "refused"),
        (Reply(failure="error", detail="gone"), "error"),
    ]:
        engine = queued(Reply(text="No, fine."), *fine, last)
        checks = drive(check_pair(spec, template, pair), engine)
        assert (checks.a[0].failure, checks.a[0].severity) == (failure, None)
        assert checks.violations() is None
        assert rule("B", 0.2, checks.violations(), RuleOptions()).flag == "unchecked"


def test_without_a_constitution_there_is_nothing_to_check(judge, pair):
    spec, template = judge()
    with pytest.raises(BadInput, match='judge "j": asking by principle needs a constitution'):
        next(check_pair(spec, template, pair))


def test_as_a_mode_the_response_that_breaks_less_wins_and_what_is_broken_is_kept(
    judge, drive, pair
):
    spec, template = judge(mode="check", constitution="brand-voice")

    def engine(request: Request) -> Reply:
        asked = request.messages[1].content
        bad = pair.response_b in asked and "password" in asked
        return Reply(text=f"Violation: {'minor' if bad else 'none'}")

    judgment = drive(judge_pair(spec, template, pair, None), engine)
    assert (judgment.label, judgment.order, judgment.failure) == ("A", None, None)
    broken = Violation(principle="customer-data", severity="minor")
    assert violations_said(judgment.raw) == PairViolations(b=(broken,))
    clean = drive(
        judge_pair(spec, template, pair, None), lambda request: Reply(text="Violation: none")
    )
    assert (clean.label, violations_said(clean.raw)) == ("tie", PairViolations())


def test_a_check_that_failed_is_no_finding(judge, drive, pair):
    spec, template = judge(mode="check", constitution="brand-voice")
    failed = drive(judge_pair(spec, template, pair, None), lambda request: Reply(text="Hm."))
    assert failed.failure == "unparsed"
    assert violations_said(failed.raw) is None
    assert violations_said(None) is None
    assert violations_said('{"first": -1.0, "second": -2.0}') is None
